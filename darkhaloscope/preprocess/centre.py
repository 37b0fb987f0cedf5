"""The predecessor's remedies for bright centres: mask, blur, noise. In numpy.

They take the arc with the shortcut (gate S6); they exist so that this can be
measured. Images are those of ``linear``, in units of the sky's noise.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import ndtri

from darkhaloscope.lensing.geometry import StampGeometry

FloatImages = NDArray[np.float32]

BLUR_SIGMA_PX = 3.0
BLUR_REACH_PX = 12
"""Taps on either side, four sigma."""


def treat(images: FloatImages, treatment: str, radius_px: float, stamps: FloatImages | None) -> FloatImages:
    """Return images with their centre treated.

    Parameters
    ----------
    images : ndarray of float32, shape (n, bands, side, side)
        Normalised.
    treatment : str
        ``mask`` sets r < ``radius_px`` to 0; ``blur`` replaces it by the image
        smoothed with a Gaussian of 3 px; ``noise`` by unit normal noise keyed by
        the stamp's content.
    radius_px : float
        Radius about the centre of the stamp.
    stamps : ndarray of float32, shape (n, bands, side, side), optional
        The stamps before normalising, whose bytes key the noise.
    """
    centre = centre_pixels(images.shape[-1], radius_px)
    out = images.copy()
    if treatment == "mask":
        out[:, :, centre] = 0.0
    elif treatment == "blur":
        out[:, :, centre] = blurred(images)[:, :, centre]
    else:
        assert stamps is not None
        out[:, :, centre] = noise(stamps, int(centre.sum()))
    return out


def blurred(images: FloatImages) -> FloatImages:
    """Smooth with a Gaussian of 3 px, edges mirrored."""
    taps = blur_taps()
    first = correlate1d(images, taps, axis=2, mode="reflect")
    return np.asarray(correlate1d(first, taps, axis=3, mode="reflect"), dtype=np.float32)


def noise(stamps: FloatImages, pixels: int) -> FloatImages:
    """Return unit normal noise that is a function of each stamp's bytes, shape (n, bands, pixels)."""
    return np.stack([_content_noise(stamp, (stamps.shape[1], pixels)) for stamp in stamps])


@lru_cache(maxsize=16)
def centre_pixels(side: int, radius_px: float) -> NDArray[np.bool_]:
    """Return the pixels inside the radius, shape (side, side)."""
    return np.asarray(StampGeometry(side, 1.0).radius_px() < radius_px)


@lru_cache(maxsize=1)
def blur_taps() -> NDArray[np.float64]:
    """Return the weights of the Gaussian along one axis; their sum is 1."""
    at = np.arange(-BLUR_REACH_PX, BLUR_REACH_PX + 1)
    taps = np.exp(-0.5 * (at / BLUR_SIGMA_PX) ** 2)
    return np.asarray(taps / taps.sum())


def _content_noise(stamp: FloatImages, shape: tuple[int, int]) -> FloatImages:
    key = np.frombuffer(hashlib.blake2b(stamp.tobytes(), digest_size=16).digest(), dtype=np.uint64)
    uniform = np.random.Generator(np.random.Philox(key=key)).random(shape)
    # the generator yields [0, 1); half a step keeps 0 out of the inverse
    return np.asarray(ndtri(uniform + 2.0**-54), dtype=np.float32)
