"""How visible an arc is once the deflector's own light is gone.

The subtraction is named in every record: a smooth elliptical Sersic surface
(astropy ``Sersic2D``) fitted with positive outliers clipped, so that the arc
does not enter the model. Light of the galaxy itself must not count as an arc.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.modeling import fitting, models
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

SUBTRACTION = "astropy Sersic2D, positive residuals clipped at 3 sigma"
"""Name of the deflector subtraction behind every arc S/N of a real object."""

ANNULUS_ARCSEC = (0.8, 3.5)
"""Where arcs of galaxy-scale lenses lie; the inner edge grows with the seeing."""

MODEL_ERROR = 0.03
"""Share of the model's light in the annulus by which a smooth surface misses a real galaxy."""

_CLIP_SIGMA = 3.0
_ROUNDS = 4
_MIN_PIXELS = 50

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ArcVisibility:
    """Residual light about a galaxy.

    Parameters
    ----------
    snr : float
        Residual flux in the annulus over its error, signed.
    flux_nmgy : float
        Residual flux in the annulus.
    model : ndarray, shape (size, size)
        Fitted deflector, nMgy/px.
    """

    snr: float
    flux_nmgy: float
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
    """Measure the light left about a galaxy after its smooth model is subtracted.

    Parameters
    ----------
    image, invvar : ndarray, shape (size, size)
        One band, nMgy/px and 1/nMgy^2; pixels with invvar 0 do not count.
    x_offset_px, y_offset_px : float
        Galaxy minus stamp centre.
    psf_fwhm_arcsec : float
        Seeing; the annulus begins at 0.8 FWHM or ``ANNULUS_ARCSEC``, whichever is larger.
    pixel_scale_arcsec : float
        Arcsec per pixel.

    Returns
    -------
    ArcVisibility or None
        None where too few pixels are good or the fit does not converge.

    Notes
    -----
    S/N = sum r / sqrt(sum 1/ivar + (f sum m)^2) over the good pixels of the
    annulus, with residual r, model m and f = ``MODEL_ERROR``: a misfit of the
    smooth surface is common to all pixels and does not average out.
    """
    data = np.asarray(image, dtype=np.float64)
    weight = np.asarray(invvar, dtype=np.float64)
    good = (weight > 0.0) & np.isfinite(data)
    size = data.shape[-1]
    axis = np.arange(size) - (size - 1) / 2.0
    x, y = np.meshgrid(axis - x_offset_px, axis - y_offset_px)
    radius_arcsec = np.hypot(x, y) * pixel_scale_arcsec
    inner = max(ANNULUS_ARCSEC[0], 0.8 * psf_fwhm_arcsec)
    annulus = good & (radius_arcsec >= inner) & (radius_arcsec <= ANNULUS_ARCSEC[1])
    if annulus.sum() < _MIN_PIXELS:
        return None
    model = _smooth_surface(data, weight, good, x, y, psf_fwhm_arcsec / pixel_scale_arcsec)
    if model is None:
        return None
    residual = data - model
    flux = float(residual[annulus].sum())
    noise = float((1.0 / weight[annulus]).sum())
    error = np.sqrt(noise + (MODEL_ERROR * float(model[annulus].sum())) ** 2)
    return ArcVisibility(flux / float(error), flux, model)


def _smooth_surface(
    data: FloatArray,
    weight: FloatArray,
    good: NDArray[np.bool_],
    x: FloatArray,
    y: FloatArray,
    fwhm_px: float,
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
            "x_0": (-1.5, 1.5),
            "y_0": (-1.5, 1.5),
        },
    )
    used = good.copy()
    sigma = np.zeros_like(weight)
    np.sqrt(weight, out=sigma, where=good)
    fitter = fitting.TRFLSQFitter()
    for _ in range(_ROUNDS):
        if used.sum() < _MIN_PIXELS:
            return None
        with warnings.catch_warnings():
            # A fit at a bound is still a smooth surface; its value is judged by what it leaves behind.
            warnings.simplefilter("ignore", AstropyUserWarning)
            surface = fitter(surface, x[used], y[used], data[used], weights=sigma[used], maxiter=200)
        model = np.asarray(surface(x, y), dtype=np.float64)
        if not np.isfinite(model[good]).all():
            return None
        error = np.sqrt(1.0 / np.where(good, weight, 1.0) + (MODEL_ERROR * model) ** 2)
        kept = good & (data - model <= _CLIP_SIGMA * error)
        if (kept == used).all():
            break
        used = kept
    return model
