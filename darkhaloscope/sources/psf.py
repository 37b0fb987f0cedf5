"""Replacing the telescope's PSF by one Gaussian, the same for every template.

The COSMOS PSF is about 0.11 arcsec wide, elliptical, and differs from galaxy to
galaxy; a lens magnifies it with the galaxy. Deconvolving to zero width would
amplify noise without bound, so the target is a Gaussian a little wider than
the diffraction core, as in GalSim's RealGalaxy followed by a target PSF.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from darkhaloscope.sources.bankfile import TEMPLATE_SCALE_ARCSEC

FloatArray = NDArray[np.float64]

TARGET_FWHM_ARCSEC = 0.12
"""Width of the common PSF: the largest of the sample, so every match is nearly a convolution."""

WIENER_FLOOR = 0.02
"""Transfer values of the telescope below this are not divided by but damped."""

_SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


def match_psf(
    image: FloatArray,
    psf: FloatArray,
    *,
    fwhm_arcsec: float = TARGET_FWHM_ARCSEC,
    pixel_scale_arcsec: float = TEMPLATE_SCALE_ARCSEC,
) -> FloatArray:
    """Turn an image seen through ``psf`` into one seen through a Gaussian.

    The Fourier transform is multiplied by G conj(P) / (P conj(P) + floor^2): G is the
    transfer function of the Gaussian, P that of the PSF with its centroid at
    the origin, and the factor is scaled to 1 at frequency zero, so flux is kept.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Sky-subtracted stamp.
    psf : ndarray of float64, shape (my, mx)
        PSF at the same pixel scale, any normalisation.
    fwhm_arcsec : float
        Full width at half maximum of the Gaussian.
    pixel_scale_arcsec : float
        Pixel scale of both images.

    Returns
    -------
    ndarray of float64, shape (ny, nx)
    """
    pad = max(psf.shape) // 2
    padded = np.pad(image, pad)
    ny, nx = (fft.next_fast_len(length, real=True) for length in padded.shape)
    fy, fx = fft.fftfreq(ny)[:, None], fft.rfftfreq(nx)[None, :]
    y, x = np.indices(psf.shape)
    total = psf.sum()
    x0, y0 = float((psf * x).sum() / total), float((psf * y).sum() / total)
    transfer = fft.rfft2(psf / total, (ny, nx)) * np.exp(2j * np.pi * (fx * x0 + fy * y0))
    sigma_px = fwhm_arcsec * _SIGMA_PER_FWHM / pixel_scale_arcsec
    gaussian = np.exp(-2.0 * np.pi**2 * sigma_px**2 * (fx**2 + fy**2))
    factor = gaussian * np.conj(transfer) / (np.abs(transfer) ** 2 + WIENER_FLOOR**2)
    factor /= factor[0, 0].real
    matched = fft.irfft2(fft.rfft2(padded, (ny, nx)) * factor, (ny, nx))
    return np.asarray(matched[pad : pad + image.shape[0], pad : pad + image.shape[1]], dtype=np.float64)
