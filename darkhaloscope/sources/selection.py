"""Which galaxies may be sources: what is measured on each, and the cuts in order.

A cut is a named limit on stored quantities, so the same cut that decides while
a bank is built can be checked on the finished file. Writing the bank is not
done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.sources.bankfile import TEMPLATE_PX, TEMPLATE_SCALE_ARCSEC
from darkhaloscope.sources.morphology import clumpiness, concentration, high_pass, light_radii_px
from darkhaloscope.sources.psf import match_psf, smoothing_sigma_px
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.sources.template import (
    RING_MIN_PX,
    Segment,
    centroid_px,
    cut_template,
    ring_background,
    segment,
    smoothed_sigma,
)
from darkhaloscope.survey.healpix import chord, unit_vectors

ACS_F814W_ZEROPOINT_MAG = 25.94
"""AB magnitude of 1 count/s in the COSMOS F814W mosaics (GalSim's COSMOSCatalog)."""

FloatArray = NDArray[np.float64]
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
    max_blended_fraction : float
        Flux of touching neighbours, cut off by deblending, over the galaxy's own.
    min_flux_fraction : float
        Share of the segment's flux that the tapered template must hold.
    duplicate_arcsec : float
        Of galaxies nearer to each other than this, one is kept.
    """

    hlr_arcsec: tuple[float, float] = (0.1, 1.0)
    min_snr: float = 30.0
    max_hlr_ratio: float = 1.5
    max_flux_offset_mag: float = 0.5
    max_blended_fraction: float = 0.2
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
    "blended": lambda v, c: v["blended_flux_fraction"] <= c.max_blended_fraction,
    "larger_than_template": lambda v, c: v["flux_fraction_in_box"] >= c.min_flux_fraction,
}
"""Reason of rejection to the condition a source satisfies, in the order they are applied.
Values may be numbers or columns; NaN satisfies nothing."""


class Images(NamedTuple):
    """What the telescope saw of one galaxy.

    Parameters
    ----------
    stamp : ndarray of float32, shape (ny, nx)
        Counts/s per pixel.
    psf : ndarray of float64, shape (my, mx), or None
        None where the catalogue comes without PSF images.
    """

    stamp: NDArray[np.float32]
    psf: FloatArray | None


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


def read_images(catalog: RealGalaxyCatalog, row: int) -> Images | str:
    """Return a galaxy's stamp and PSF, or why it cannot be used.

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
    if not np.isfinite(stamp).all():
        return "non_finite_pixels"
    if not catalog.has_psf:
        return Images(stamp, None)
    try:
        psf = catalog.psf(row).astype(np.float64)
    except MissingDataError:
        raise
    except DataError:
        return "unreadable_psf"
    return Images(stamp, psf) if np.isfinite(psf).all() and psf.sum() > 0.0 else "unusable_psf"


def measure(catalog: RealGalaxyCatalog, row: int, images: Images) -> Measured | str:
    """Measure one galaxy and cut its template.

    Parameters
    ----------
    catalog : RealGalaxyCatalog
        Gives size, magnitude and noise.
    row : int
        Row of the galaxy.
    images : Images
        Its pixels.

    Returns
    -------
    Measured or str
        ``not_detected`` if there is no galaxy at the stamp's centre.
    """
    variance, hlr_px = float(catalog.noise_variance[row]), float(catalog.flux_radius_px[row])
    image = images.stamp.astype(np.float64)
    background = partial(
        ring_background, hlr_px=hlr_px, noise_mean=float(catalog.noise_mean[row]), noise_variance=variance
    )
    level = background(image).level
    found = segment(image - level, sigma=float(np.sqrt(variance)), hlr_px=hlr_px)
    if not found.galaxy.any():
        return "not_detected"
    sky = background(image, exclude=found.galaxy | found.neighbours)
    image -= sky.level
    flux = float(image[found.galaxy].sum())
    centre = centroid_px(image, found.galaxy)
    matched = match_psf(image, images.psf)
    cutout = cut_template(matched, found, centre, TEMPLATE_PX)
    z_phot = float(catalog.z_phot[row])
    numbers = {
        "hlr_catalogue_arcsec": hlr_px * float(catalog.pixel_scale_arcsec[row]),
        "mag_f814w": float(catalog.mag_f814w[row]),
        "mag_auto": float(catalog.mag_auto[row]),
        "z_phot": z_phot if z_phot > 0.0 else float("nan"),
        "snr": flux / float(np.sqrt(variance * found.galaxy.sum())),
        "flux": max(flux, np.finfo(np.float64).tiny),
        "flux_catalogue": float(10.0 ** (0.4 * (ACS_F814W_ZEROPOINT_MAG - catalog.mag_f814w[row]))),
        "flux_fraction_in_box": cutout.flux_fraction,
        "blended_flux_fraction": found.blended_flux_fraction,
        "segment_px": float(found.galaxy.sum()),
        "background": sky.level,
        "noise_sigma": sky.sigma,
        "ra_deg": float(catalog.ra_deg[row]),
        "dec_deg": float(catalog.dec_deg[row]),
        **_shape(cutout.image.astype(np.float64), _sky_per_px(matched, found, hlr_px, sky.sigma) / flux),
    }
    return Measured(cutout.image, numbers, "ring" if sky.n_px else "catalogue")


def _shape(template: FloatArray, sky_per_px: float) -> dict[str, float]:
    """Measure the template itself, so that the numbers are those of what is lensed."""
    centre = centroid_px(template, template != 0.0)
    r20_px, r50_px, r80_px = light_radii_px(template, centre, (0.2, 0.5, 0.8))
    known = np.isfinite(r50_px)
    return {
        "hlr_arcsec": TEMPLATE_SCALE_ARCSEC * r50_px,
        "concentration": concentration(r20_px, r80_px) if known else float("nan"),
        "clumpiness": clumpiness(template, centre=centre, hlr_px=r50_px, sky_per_px=sky_per_px)
        if known
        else float("nan"),
        "negative_flux_fraction": float(-template[template < 0.0].sum() / np.abs(template).sum()),
    }


def _sky_per_px(matched: FloatArray, found: Segment, hlr_px: float, sigma: float) -> float:
    """Return what noise adds to the clumpiness, per pixel and in the stamp's units.

    Measured on the stamp's own sky; where there is little, that of Gaussian
    noise with the standard deviation of a pixel after smoothing, an upper limit.
    """
    sky = high_pass(matched, hlr_px)[~(found.galaxy | found.neighbours)]
    if len(sky) >= RING_MIN_PX:
        return float(np.maximum(sky, 0.0).mean())
    return smoothed_sigma(sigma, smoothing_sigma_px()) / float(np.sqrt(2.0 * np.pi))


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
    close: dict[int, list[int]] = {}
    for a, b in repeated_positions(catalog.ra_deg, catalog.dec_deg, arcsec):
        close.setdefault(a, []).append(b)
        close.setdefault(b, []).append(a)
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


def repeated_positions(ra_deg: FloatArray, dec_deg: FloatArray, arcsec: float) -> list[tuple[int, int]]:
    """Return the pairs of rows nearer to each other than ``arcsec``; a row without a position is in none."""
    unit = unit_vectors(ra_deg, dec_deg)
    placed = np.flatnonzero(np.isfinite(unit).all(axis=1))
    pairs = placed[cKDTree(unit[placed]).query_pairs(chord(arcsec / 3600.0), output_type="ndarray")]
    return [(int(a), int(b)) for a, b in np.sort(pairs, axis=1)]
