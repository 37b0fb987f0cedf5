"""Print the tables of ``darkhaloscope/sources/colour_tracks.py`` from spectra and throughputs.

    pip install galsim speclite
    python -m docs.make_colour_tracks

GalSim carries the spectra, speclite the throughputs; neither is needed to run anything else.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from darkhaloscope.sources.colour_tracks import K_Z_TO_R_MAG, REDSHIFT_STEP, TEMPLATES

FloatArray = NDArray[np.float64]
Curve = tuple[FloatArray, FloatArray]

FOREST = ((1215.67, 0.0036), (1025.72, 0.0017), (972.54, 0.0012), (949.74, 0.00093))
"""Lyman lines [Angstrom] and A_j of Madau (1995), eq. 15: tau = A_j (lambda / lambda_j)^3.46."""

LYMAN_LIMIT = 911.75
LIGHT_ANGSTROM_S = 2.99792458e18
SAMPLES = 4000


def read_spectrum(folder: Path, template: str) -> Curve:
    """Return wavelength in Angstrom and f_lambda of a template."""
    table = np.loadtxt(folder / f"CWW_{template}_ext.sed")
    return table[:, 0], table[:, 1]


def read_throughput(folder: Path, band: str) -> Curve:
    """Return wavelength in Angstrom and response of a DECam band."""
    table = Table.read(folder / f"decamDR1-{band}.ecsv")
    return np.array(table["wavelength"]), np.array(table["response"])


def transmission(wavelength: FloatArray, z: float) -> FloatArray:
    """Return the mean intergalactic transmission at observed wavelengths."""
    tau = sum(a * (wavelength / line) ** 3.46 * (wavelength < line * (1.0 + z)) for line, a in FOREST)
    return np.where(wavelength < LYMAN_LIMIT * (1.0 + z), 0.0, np.exp(-np.asarray(tau)))


def ab_magnitude(spectrum: Curve, throughput: Curve, z: float) -> float:
    """Return the AB magnitude, up to a constant, of a spectrum moved to z without its distance."""
    wavelength = np.linspace(throughput[0].min(), throughput[0].max(), SAMPLES)
    response = np.interp(wavelength, *throughput)
    flux = np.interp(wavelength / (1.0 + z), *spectrum) / (1.0 + z) * transmission(wavelength, z)
    signal = np.trapezoid(flux * response * wavelength, wavelength)
    reference = np.trapezoid(response / wavelength, wavelength) * LIGHT_ANGSTROM_S
    return float(-2.5 * np.log10(signal / reference))


@click.command(help=__doc__)
def main() -> None:
    """Print the rows of every table."""
    import galsim
    import speclite

    spectra = Path(galsim.meta_data.share_dir) / "SEDs"
    filters = Path(speclite.__file__).parent / "data" / "filters"
    bands = {band: read_throughput(filters, band) for band in "grz"}
    redshifts = REDSHIFT_STEP * np.arange(41)
    for blue, red in ("gr", "rz"):
        click.echo(f"{blue} - {red}")
        for template in TEMPLATES:
            spectrum = read_spectrum(spectra, template)
            colour = [
                ab_magnitude(spectrum, bands[blue], z) - ab_magnitude(spectrum, bands[red], z)
                for z in redshifts
            ]
            click.echo(", ".join(f"{value:.2f}" for value in colour))
    old = read_spectrum(spectra, TEMPLATES[0])
    at_rest = ab_magnitude(old, bands["r"], 0.0)
    k = [ab_magnitude(old, bands["z"], z) - at_rest for z in redshifts[: len(K_Z_TO_R_MAG)]]
    click.echo("K, z to r\n" + ", ".join(f"{value:.3f}" for value in k))


if __name__ == "__main__":
    main()
