"""How visible an arc is once the deflector's own light is gone.

The subtraction is named in every record: an elliptical Sersic surface (astropy
``Sersic2D``) corrected along its isophotes, both with positive outliers clipped
so that the arc does not enter the model. What is left is counted only where it
stands out after smoothing with the seeing, in units of the noise measured on
the same stamp. The galaxy's own light must not count as an arc; a companion
inside the annulus does count, visible is not lensed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from astropy.modeling import fitting, models
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # ships no types

SUBTRACTION = "astropy Sersic2D with isophotal correction, positive residuals clipped"
"""Name of the deflector subtraction behind every arc S/N of a real object."""

ANNULUS_ARCSEC = (0.5, 3.0)
"""Where arcs of galaxy-scale lenses lie; inside half the seeing nothing can be told apart."""

DETECTION_SIGMA = 3.5
"""Smoothed residual, in units of its noise, above which a pixel belongs to the footprint."""

MODEL_ERROR = 0.07
"""Share of the model's light by which a smooth surface misses a real galaxy, pixel by pixel.

De Vaucouleurs galaxies of r = 17.5 to 20 mag in Moffat seeing stay below 3 with it; arcs of known S/N
are found as often as with 0.03.
"""

_SKY_ARCSEC = 5.0
_MODEL_ARCSEC = 6.0
_CLIP_SIGMA = 3.0
_ISOPHOTE_CLIP_SIGMA = 2.0
_ROUNDS = 4
_ISOPHOTES = 24
_MIN_PIXELS = 50
# The survey gives the galaxy its position; a free centre would follow the arc.
_CENTRE_PX = 0.4
_MAD_TO_SIGMA = 1.4826
_FWHM_TO_SIGMA = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class ArcVisibility:
    """Light that stands out about a galaxy.

    Parameters
    ----------
    snr : float
        Flux over error inside the footprint; 0 where there is none.
    flux_nmgy : float
        Flux inside the footprint.
    footprint : ndarray of bool, shape (size, size)
        Pixels that stand out.
    model : ndarray, shape (size, size)
        Subtracted deflector, nMgy/px.
    """

    snr: float
    flux_nmgy: float
    footprint: BoolArray
    model: FloatArray


def arc_visibility(
    image: NDArray[Any],
    invvar: NDArray[Any],
    *,
    x_offset_px: float,
    y_offset_px: float,
    psf_fwhm_arcsec: float,
    pixel_scale_arcsec: float,
) -> ArcVisibility | None:
    """Measure the light that stands out about a galaxy after its smooth model is subtracted.

    Parameters
    ----------
    image, invvar : ndarray, shape (size, size)
        One band, nMgy/px and 1/nMgy^2; pixels with invvar 0 do not count.
    x_offset_px, y_offset_px : float
        Galaxy minus stamp centre.
    psf_fwhm_arcsec : float
        Seeing.
    pixel_scale_arcsec : float
        Arcsec per pixel.

    Returns
    -------
    ArcVisibility or None
        None where too few pixels are good or the fit fails.

    Notes
    -----
    With residual r, model m and v = 1/ivar + (f m)^2, f = ``MODEL_ERROR``, the
    significance is t = (G * r/v) / sqrt(G^2 * 1/v) for a Gaussian G of the
    seeing, over its own robust spread beyond 5 arcsec, which carries the pixel
    correlation of resampled coadds. S/N = sum r / sqrt(sum v) over the footprint
    (t > ``DETECTION_SIGMA`` inside the annulus), over the same spread.
    """
    data = np.asarray(image, dtype=np.float64)
    weight = np.asarray(invvar, dtype=np.float64)
    good = (weight > 0.0) & np.isfinite(data)
    axis = np.arange(data.shape[-1]) - (data.shape[-1] - 1) / 2.0
    x, y = np.meshgrid(axis - x_offset_px, axis - y_offset_px)
    radius_arcsec = np.hypot(x, y) * pixel_scale_arcsec
    inner = max(ANNULUS_ARCSEC[0], 0.5 * psf_fwhm_arcsec)
    annulus = good & (radius_arcsec >= inner) & (radius_arcsec <= ANNULUS_ARCSEC[1])
    sky = good & (radius_arcsec > _SKY_ARCSEC)
    if annulus.sum() < _MIN_PIXELS or sky.sum() < _MIN_PIXELS:
        return None
    near = good & (radius_arcsec < _MODEL_ARCSEC)
    # The fit solves many small systems: threads cost more than they bring, 16 times on a busy machine.
    with _blas().limit(limits=1, user_api="blas"):
        model = _smooth_surface(data, weight, near, x, y, psf_fwhm_arcsec / pixel_scale_arcsec)
    if model is None:
        return None
    model = _follow_isophotes(data, model, near)
    residual = np.where(good, data - model, 0.0)
    variance = np.divide(1.0, weight, out=np.ones_like(weight), where=good)
    variance += (MODEL_ERROR * np.maximum(model, 0.0)) ** 2
    sigma_px = psf_fwhm_arcsec * _FWHM_TO_SIGMA / pixel_scale_arcsec
    significance = _smoothed_significance(residual, np.where(good, 1.0 / variance, 0.0), sigma_px)
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(significance[sky] - np.median(significance[sky]))))
    # Correlated pixels widen the spread above 1; a stamp cannot be quieter than its inverse variance.
    spread = max(1.0, spread)
    footprint = annulus & (significance > DETECTION_SIGMA * spread)
    flux = float(residual[footprint].sum())
    error = float(np.sqrt(variance[footprint].sum())) * spread
    return ArcVisibility(flux / error if footprint.any() else 0.0, flux, footprint, model)


def _smoothed_significance(residual: FloatArray, weight: FloatArray, sigma_px: float) -> FloatArray:
    """Return the matched significance of each pixel for a Gaussian of the seeing."""
    numerator = gaussian_filter(residual * weight, sigma_px, mode="constant")
    # The square of a normalised Gaussian is one of width sigma / sqrt 2 over 4 pi sigma^2.
    noise = gaussian_filter(weight, sigma_px / np.sqrt(2.0), mode="constant") / (4.0 * np.pi * sigma_px**2)
    significance: FloatArray = numerator / np.sqrt(np.maximum(noise, np.finfo(np.float64).tiny))
    return significance


def _smooth_surface(
    data: FloatArray, weight: FloatArray, good: BoolArray, x: FloatArray, y: FloatArray, fwhm_px: float
) -> FloatArray | None:
    """Fit a Sersic surface to the pixels that are not brighter than it; None if that fails."""
    core = good & (np.hypot(x, y) < 2.0)
    if not core.any() or data[core].max() <= 0.0:
        return None
    surface = models.Sersic2D(
        amplitude=max(float(data[core].mean()) / 3.0, 1e-6),
        r_eff=1.2 * fwhm_px,
        n=2.0,
        x_0=0.0,
        y_0=0.0,
        ellip=0.2,
        theta=0.0,
        bounds={
            "amplitude": (0.0, None),
            "r_eff": (0.5, data.shape[0] / 2.0),
            "n": (0.3, 6.0),
            "ellip": (0.0, 0.8),
            "x_0": (-_CENTRE_PX, _CENTRE_PX),
            "y_0": (-_CENTRE_PX, _CENTRE_PX),
        },
    )
    used = good.copy()
    root = np.sqrt(np.where(good, weight, 0.0))
    fitter = fitting.TRFLSQFitter()
    for _ in range(_ROUNDS):
        if used.sum() < _MIN_PIXELS:
            return None
        with warnings.catch_warnings():
            # A fit at a bound is still a smooth surface; it is judged by what it leaves behind.
            warnings.simplefilter("ignore", AstropyUserWarning)
            surface = fitter(surface, x[used], y[used], data[used], weights=root[used], maxiter=200)
        model = np.asarray(surface(x, y), dtype=np.float64)
        if not np.isfinite(model[good]).all():
            return None
        error = np.sqrt(1.0 / np.where(good, weight, 1.0) + (MODEL_ERROR * model) ** 2)
        kept = good & (data - model <= _CLIP_SIGMA * error)
        if (kept == used).all():
            break
        used = kept
    return model


def _follow_isophotes(data: FloatArray, model: FloatArray, inside: BoolArray) -> FloatArray:
    """Add the clipped median residual along the model's isophotes, inside a region.

    A Sersic surface has no seeing; along an isophote the misfit is nearly
    constant, while an arc covers a part of it and is clipped.
    """
    level = np.log(np.maximum(model, 1e-6))
    ranked = np.flatnonzero(inside)
    ranked = ranked[np.argsort(-level.ravel()[ranked], kind="stable")]
    edges = np.unique(np.round(np.geomspace(4, ranked.size, _ISOPHOTES)).astype(int))
    bins = [pixels for pixels in np.split(ranked, edges) if pixels.size >= 4]
    if len(bins) < 2:
        return model
    corrected = model
    for _ in range(2):
        residual = (data - corrected).ravel()
        heights = np.array([float(level.ravel()[pixels].mean()) for pixels in bins])
        medians = np.array([_lower_median(residual[pixels]) for pixels in bins])
        order = np.argsort(heights)
        correction = np.interp(level, heights[order], medians[order])
        corrected = corrected + np.where(inside, correction, 0.0)
    return corrected


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _lower_median(values: FloatArray) -> float:
    """Return the median after values far above it, by the spread below it, are dropped."""
    middle = float(np.median(values))
    for _ in range(3):
        below = values[values <= middle]
        spread = _MAD_TO_SIGMA * float(np.median(middle - below))
        kept = values[values <= middle + _ISOPHOTE_CLIP_SIGMA * spread]
        if kept.size < 3:
            break
        middle = float(np.median(kept))
    return middle
