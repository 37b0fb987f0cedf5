"""Round point-spread functions: profile, enclosed flux, transfer function, kernels.

Functions of arrays only; PSFs as objects, measured images among them, are in
``psf_models``. A Moffat profile is (1 + r^2 / a^2)^-beta. The survey's PSF is
described by its FWHM per band and position; the data sets take beta = 3.5.

FWHM here is that of the optics and atmosphere before the pixel: the renderer
applies the pixel window itself. Read instead as the width of stars on the
pixels, 1.3 arcsec on 0.262 arcsec pixels would be 1.29 before them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe

FloatArray = NDArray[np.float64]

MOFFAT_BETA = 3.5


def moffat_scale_arcsec(fwhm_arcsec: Any, beta: float = MOFFAT_BETA) -> FloatArray:
    """Return the scale radius a = FWHM / (2 sqrt(2^(1/beta) - 1))."""
    return np.asarray(fwhm_arcsec, dtype=np.float64) / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))


def moffat_profile(radius_arcsec: Any, fwhm_arcsec: Any, beta: float = MOFFAT_BETA) -> FloatArray:
    """Return the surface brightness of a Moffat of unit flux. Unit: 1/arcsec^2."""
    a = moffat_scale_arcsec(fwhm_arcsec, beta)
    r = np.asarray(radius_arcsec, dtype=np.float64)
    return np.asarray((beta - 1.0) / (np.pi * a * a) * (1.0 + (r / a) ** 2) ** -beta)


def moffat_enclosed_flux(radius_arcsec: Any, fwhm_arcsec: Any, beta: float = MOFFAT_BETA) -> FloatArray:
    """Return the share of the flux inside a circle: 1 - (1 + r^2 / a^2)^(1 - beta)."""
    a = moffat_scale_arcsec(fwhm_arcsec, beta)
    return np.asarray(1.0 - (1.0 + (np.asarray(radius_arcsec) / a) ** 2) ** (1.0 - beta))


def moffat_radius_arcsec(enclosed: float, fwhm_arcsec: Any, beta: float = MOFFAT_BETA) -> FloatArray:
    """Return the radius of the circle that holds a share of the flux."""
    a = moffat_scale_arcsec(fwhm_arcsec, beta)
    return np.asarray(a * math.sqrt((1.0 - enclosed) ** (1.0 / (1.0 - beta)) - 1.0))


def moffat_transfer(x: Any, beta: float = MOFFAT_BETA) -> FloatArray:
    r"""Return the transfer function of a Moffat of unit flux.

    The two-dimensional Fourier transform of the profile is
    :math:`2 (x/2)^{\beta-1} K_{\beta-1}(x) / \Gamma(\beta - 1)`, elementary for
    half-integer orders; for beta = 3.5 it is :math:`e^{-x}(1 + x + x^2/3)`.

    Parameters
    ----------
    x : array_like
        Wavenumber times scale radius, k a, with k in rad/arcsec and a in arcsec.
    beta : float
        Moffat index.

    Returns
    -------
    ndarray
        1 at x = 0.
    """
    x = np.asarray(x, dtype=np.float64)
    if beta == 2.5:
        return np.asarray(np.exp(-x) * (1.0 + x))
    if beta == 3.5:
        return np.asarray(np.exp(-x) * (1.0 + x + x * x / 3.0))
    if beta == 4.5:
        return np.asarray(np.exp(-x) * (1.0 + x + 0.4 * x * x + x**3 / 15.0))
    from scipy.special import gammaln, kve

    order = beta - 1.0
    safe = np.maximum(x, 1e-8)  # K diverges at 0 where the product tends to 1
    with np.errstate(divide="ignore"):  # log 0 far out
        logarithm = order * np.log(safe / 2.0) + np.log(kve(order, safe)) - safe - gammaln(order)
        found = 2.0 * np.exp(logarithm)
    # K of a high order overflows near 0, where two terms of the series suffice.
    near = 1.0 - x * x / (4.0 * (order - 1.0)) if order > 1.0 else np.ones_like(x)
    return np.asarray(np.where(np.isfinite(found) & (x > 0.0), found, near))


def gaussian_transfer(wavenumber: Any, fwhm_arcsec: Any) -> FloatArray:
    """Return the transfer function of a round Gaussian of unit flux: exp(-k^2 sigma^2 / 2).

    Parameters
    ----------
    wavenumber : array_like
        k. Unit: rad/arcsec.
    fwhm_arcsec : array_like
        sigma = FWHM / sqrt(8 ln 2).
    """
    sigma = np.asarray(fwhm_arcsec, dtype=np.float64) / math.sqrt(8.0 * math.log(2.0))
    return np.asarray(np.exp(-((np.asarray(wavenumber) * sigma) ** 2) / 2.0))


def moffat_kernel(
    fwhm_arcsec: float,
    pixel_scale_arcsec: float,
    *,
    beta: float = MOFFAT_BETA,
    enclosed: float = 0.9995,
    subsampling: int = 5,
) -> FloatArray:
    """Return a pixel-integrated kernel whose size follows the PSF, never the stamp.

    Parameters
    ----------
    fwhm_arcsec, pixel_scale_arcsec : float
        PSF width and pixel side.
    beta : float
        Moffat index.
    enclosed : float
        Share of the flux that the inscribed circle of the kernel must hold.
    subsampling : int
        Points along a pixel side over which the profile is averaged.

    Returns
    -------
    ndarray, shape (2 h + 1, 2 h + 1)
        Sum 1, centred on pixel (h, h).

    Raises
    ------
    DataError
        If the kernel's sum before it is normalised is further from 1 than ``enclosed``.
    """
    half = math.ceil(float(moffat_radius_arcsec(enclosed, fwhm_arcsec, beta)) / pixel_scale_arcsec)
    side = 2 * half + 1
    fine = (np.arange(side * subsampling) + 0.5) / subsampling - side / 2.0
    radius = np.hypot(fine[:, None], fine[None, :]) * pixel_scale_arcsec
    values = moffat_profile(radius, fwhm_arcsec, beta) * pixel_scale_arcsec**2
    kernel = values.reshape(side, subsampling, side, subsampling).mean(axis=(1, 3))
    total = float(kernel.sum())
    if not enclosed <= total <= 2.0 - enclosed:
        raise DataError(
            describe(
                "PSF kernel is truncated or undersampled",
                field="enclosed",
                expected=f"a flux within {1.0 - enclosed:.1e} of 1",
                got=f"{total:.5f} at FWHM {fwhm_arcsec} arcsec",
                hint="use a finer subsampling for a PSF that is narrow against the pixel",
            )
        )
    return np.asarray(kernel / total)


def convolve(image: Any, kernel: Any) -> FloatArray:
    """Convolve an image with a centred kernel of any size, light beyond the edge being lost.

    Parameters
    ----------
    image : array_like, shape (H, W)
        Any size, smaller than the kernel or not.
    kernel : array_like, shape (odd, odd)
        Centred on its middle pixel.

    Returns
    -------
    ndarray, shape (H, W)
        Not shifted: an impulse stays on its pixel.

    Raises
    ------
    DataError
        If the kernel has an even side and so no middle pixel.
    """
    from scipy.signal import fftconvolve

    image, kernel = np.asarray(image, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    if not all(side % 2 for side in kernel.shape):
        raise DataError(describe("PSF kernel", field="shape", expected="odd sides", got=kernel.shape))
    full = fftconvolve(image, kernel, mode="full")
    y0, x0 = (side // 2 for side in kernel.shape)
    return np.asarray(full[y0 : y0 + image.shape[0], x0 : x0 + image.shape[1]])
