"""Which galaxies may be sources: what is measured on each, and the cuts in order.

A cut is a named limit on stored quantities, so the same cut that decides while
a bank is built can be checked on the finished file. Writing the bank is not
done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.sources.bankfile import TEMPLATE_PX, TEMPLATE_SCALE_ARCSEC
from darkhaloscope.sources.psf import match_psf
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.sources.template import (
    centroid_px,
    cut_template,
    half_light_radius_px,
    ring_background,
    segment,
)

ACS_F814W_ZEROPOINT_MAG = 25.94
"""AB magnitude of 1 count/s in the COSMOS F814W mosaics (GalSim's COSMOSCatalog)."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class BankLimits:
    """Limits of what may be a source.

    Parameters
    ----------
    hlr_arcsec : (low, high)
        Half-light radius, catalogued and measured. Below: stars; above: does
        not fit the template.
    min_snr : float
        Flux in the segmentation over its white-noise error.
    max_hlr_ratio : float
        Measured and catalogued radius agree within this factor; a larger
        disagreement is a blend or a failed segmentation.
    max_flux_offset_mag : float
        Flux in the segmentation and catalogued magnitude agree within this.
    min_flux_fraction : float
        Share of the segment's flux that the template box must hold.
    duplicate_arcsec : float
        Of galaxies nearer to each other than this, one is kept.
    """

    hlr_arcsec: tuple[float, float] = (0.1, 1.0)
    min_snr: float = 30.0
    max_hlr_ratio: float = 1.5
    max_flux_offset_mag: float = 0.5
    min_flux_fraction: float = 0.95
    duplicate_arcsec: float = 0.5

    def as_dict(self) -> dict[str, Any]:
        """Return the limits as JSON values."""
        return {**asdict(self), "hlr_arcsec": list(self.hlr_arcsec)}


DEFAULT_LIMITS = BankLimits()

CUTS: dict[str, Callable[[Values, BankLimits], Any]] = {
    "hlr_catalogue_outside": lambda v, c: (
        (v["hlr_catalogue_arcsec"] >= c.hlr_arcsec[0]) & (v["hlr_catalogue_arcsec"] <= c.hlr_arcsec[1])
    ),
    "snr_low": lambda v, c: v["snr"] >= c.min_snr,
    "hlr_measured_outside": lambda v, c: (
        (v["hlr_arcsec"] >= c.hlr_arcsec[0]) & (v["hlr_arcsec"] <= c.hlr_arcsec[1])
    ),
    "flux_disagrees": lambda v, c: (
        np.abs(2.5 * np.log10(v["flux"] / v["flux_catalogue"])) <= c.max_flux_offset_mag
    ),
    "hlr_disagrees": lambda v, c: (
        np.abs(np.log(v["hlr_arcsec"] / v["hlr_catalogue_arcsec"])) <= np.log(c.max_hlr_ratio)
    ),
    "larger_than_template": lambda v, c: v["flux_fraction_in_box"] >= c.min_flux_fraction,
}
"""Reason of rejection to the condition a source satisfies, in the order they are applied.
Values may be numbers or columns; NaN satisfies nothing."""


class Measured(NamedTuple):
    """A galaxy's template and its numbers.

    Parameters
    ----------
    template : ndarray of float32, shape (96, 96)
        Sums to 1.
    numbers : dict
        By the names of ``bankfile.NUMBER_COLUMNS``.
    background_from : str
        ``ring`` or ``catalogue``.
    """

    template: NDArray[np.float32]
    numbers: dict[str, float]
    background_from: str


def first_failed_cut(values: Values, limits: BankLimits) -> str | None:
    """Return the reason of the first cut that one galaxy does not satisfy, or None."""
    return next((reason for reason, passes in CUTS.items() if not passes(values, limits)), None)


def read_stamp(catalog: RealGalaxyCatalog, row: int) -> NDArray[np.float32] | str:
    """Return a galaxy's stamp, or why it cannot be used.

    Raises
    ------
    MissingDataError
        If the image file is absent altogether.
    """
    if not (
        np.isfinite(catalog.flux_radius_px[row])
        and np.isfinite(catalog.mag_f814w[row])
        and catalog.noise_variance[row] > 0.0
    ):
        return "catalogue_values_missing"
    try:
        stamp = catalog.stamp(row)
    except MissingDataError:
        raise
    except DataError:
        return "unreadable_stamp"
    return stamp if np.isfinite(stamp).all() else "non_finite_pixels"


def measure(catalog: RealGalaxyCatalog, row: int, stamp: NDArray[np.float32], psf: bool) -> Measured | str:
    """Measure one galaxy and cut its template.

    Parameters
    ----------
    catalog : RealGalaxyCatalog
        Gives size, magnitude, noise and PSF.
    row : int
        Row of the galaxy.
    stamp : ndarray of float32, shape (ny, nx)
        Its image, counts/s per pixel.
    psf : bool
        Whether to replace the telescope's PSF by the bank's common Gaussian.

    Returns
    -------
    Measured or str
        ``not_detected`` if there is no galaxy at the stamp's centre.
    """
    variance = float(catalog.noise_variance[row])
    image = stamp.astype(np.float64)
    sky = ring_background(
        image,
        hlr_px=float(catalog.flux_radius_px[row]),
        noise_mean=float(catalog.noise_mean[row]),
        noise_variance=variance,
    )
    image -= sky.level
    mask = segment(image, sigma=float(np.sqrt(variance)), hlr_px=float(catalog.flux_radius_px[row]))
    if not mask.any():
        return "not_detected"
    if psf:
        image = match_psf(image, catalog.psf(row).astype(np.float64))
    light = np.where(mask, image, 0.0)
    flux = float(light.sum())
    centre = centroid_px(image, mask)
    cutout = cut_template(light, centre, TEMPLATE_PX)
    z_phot = float(catalog.z_phot[row])
    numbers = {
        "hlr_arcsec": TEMPLATE_SCALE_ARCSEC * half_light_radius_px(light, centre),
        "hlr_catalogue_arcsec": float(catalog.flux_radius_px[row] * catalog.pixel_scale_arcsec[row]),
        "mag_f814w": float(catalog.mag_f814w[row]),
        "z_phot": z_phot if z_phot > 0.0 else float("nan"),
        "snr": flux / float(np.sqrt(variance * mask.sum())),
        "flux": max(flux, np.finfo(np.float64).tiny),
        "flux_catalogue": float(10.0 ** (0.4 * (ACS_F814W_ZEROPOINT_MAG - catalog.mag_f814w[row]))),
        "flux_fraction_in_box": cutout.flux_fraction,
        "negative_flux_fraction": float(-light[light < 0.0].sum() / np.abs(light).sum()),
        "segment_px": float(mask.sum()),
        "background": sky.level,
        "noise_sigma": sky.sigma,
        "ra_deg": float(catalog.ra_deg[row]),
        "dec_deg": float(catalog.dec_deg[row]),
    }
    return Measured(cutout.image, numbers, "ring" if sky.n_px else "catalogue")


def repeated_rows(catalog: RealGalaxyCatalog, order: NDArray[np.int64], arcsec: float) -> dict[int, str]:
    """Return the rows that repeat an identifier or a position met earlier in ``order``, with the reason.

    Parameters
    ----------
    catalog : RealGalaxyCatalog
        Of n galaxies.
    order : ndarray of int64, shape (n,)
        Order in which galaxies are tried.
    arcsec : float
        Two galaxies nearer than this are one.
    """
    ra, dec = np.radians(catalog.ra_deg), np.radians(catalog.dec_deg)
    unit = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    placed = np.flatnonzero(np.isfinite(unit).all(axis=1))
    close: dict[int, list[int]] = {}
    for a, b in placed[cKDTree(unit[placed]).query_pairs(np.radians(arcsec / 3600.0), output_type="ndarray")]:
        close.setdefault(int(a), []).append(int(b))
        close.setdefault(int(b), []).append(int(a))
    reasons: dict[int, str] = {}
    idents: set[int] = set()
    first: set[int] = set()
    for row in order.tolist():
        if int(catalog.ident[row]) in idents:
            reasons[row] = "duplicate_ident"
        elif any(other in first for other in close.get(row, [])):
            reasons[row] = "duplicate_position"
        else:
            first.add(row)
        idents.add(int(catalog.ident[row]))
    return reasons
