"""A stamp around a position, or the reason there is none, and how pixels are judged.

Where the pixels come from, a brick or the cutout service, does not matter here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.survey.release import Release

OK = "ok"
OUTSIDE = "outside_footprint"

CORE_PX = 11
"""Side of the central box in which each band must have been observed."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Cutout:
    """A stamp around a position, or the reason there is none.

    Parameters
    ----------
    status : str
        ``ok``; ``outside_footprint``, ``off_edge``, ``missing_band_<b>``,
        ``missing_<product>``, ``unreadable_<product>``, ``no_psf_<b>``,
        ``non_finite``, ``zero_invvar_<b>``.
    brickname : str
        Brick the pixels come from, empty if none was found.
    x_offset_px, y_offset_px : float
        Position minus stamp centre ((size - 1) / 2); NaN if not located.
    psf_fwhm_arcsec : ndarray, shape (bands,)
        From the psfsize maps at the position; NaN where unknown.
    bad_pixel_frac : ndarray, shape (bands,)
        Share of pixels with invvar <= 0, not finite, or a bad bit of the band.
    nan_pixels : int
        Not finite image or invvar values.
    image, invvar : ndarray of float32, shape (bands, size, size), or None
        nMgy/px and 1/nMgy^2; None unless ``ok``.
    maskbits : ndarray of int32, shape (size, size), or None
        DR10 MASKBITS.
    """

    status: str
    brickname: str
    x_offset_px: float
    y_offset_px: float
    psf_fwhm_arcsec: FloatArray
    bad_pixel_frac: FloatArray
    nan_pixels: int = 0
    image: NDArray[np.float32] | None = None
    invvar: NDArray[np.float32] | None = None
    maskbits: NDArray[np.int32] | None = None


def no_cutout(status: str, release: Release, brickname: str = "") -> Cutout:
    """Return a cutout without pixels."""
    unknown = np.full(len(release.bands), np.nan)
    return Cutout(status, brickname, np.nan, np.nan, unknown, unknown.copy())


def judge_pixels(
    located: Cutout,
    image: NDArray[np.float32],
    invvar: NDArray[np.float32],
    maskbits: NDArray[np.int32],
    release: Release,
) -> Cutout:
    """Give a located cutout its pixels, or the status that says why they are no use.

    Parameters
    ----------
    located : Cutout
        With its offsets and, where known, its PSF.
    image, invvar : ndarray of float32, shape (bands, size, size)
        nMgy/px and 1/nMgy^2.
    maskbits : ndarray of int32, shape (size, size)
        DR10 MASKBITS.
    release : Release
        Bands and bad bits.

    Returns
    -------
    Cutout
        ``ok`` with pixels; ``non_finite`` or ``zero_invvar_<b>`` without.
    """
    used = np.isfinite(image) & np.isfinite(invvar) & (invvar > 0.0)
    for k, band in enumerate(release.bands):
        used[k] &= (maskbits & release.pixel_mask(band)) == 0
    judged = replace(
        located,
        bad_pixel_frac=1.0 - used.mean(axis=(1, 2)),
        nan_pixels=int((~np.isfinite(image)).sum() + (~np.isfinite(invvar)).sum()),
    )
    if judged.nan_pixels:
        return replace(judged, status="non_finite")
    low = (invvar.shape[-1] - min(CORE_PX, invvar.shape[-1])) // 2
    core = invvar[:, low : invvar.shape[-1] - low, low : invvar.shape[-1] - low]
    for k, band in enumerate(release.bands):
        if not (core[k] > 0.0).any():
            return replace(judged, status=f"zero_invvar_{band}")
    return replace(judged, status=OK, image=image, invvar=invvar, maskbits=maskbits)
