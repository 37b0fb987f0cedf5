"""The steps before any treatment: crop, representation, scale. Linear in the light, in numpy.

Each function is one step on arrays of stamps; which steps a model takes, and in
which order, is said by the spec. ``batch`` takes the same steps on tensors.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.statistics.robust import partition_medians

FloatImages = NDArray[np.float32]

RING_PX = 1.0
"""Width of the rings of a radial profile."""

_PLANES_AT_ONCE = 48
"""Enough to share the cost of a call per ring, few enough for the second cache."""


def crop(stamps: NDArray[np.float32], crop_px: int, bands: int) -> FloatImages:
    """Cut the central square of stamps, shape (n, bands, crop_px, crop_px), contiguous.

    With sides of different parity the centre moves by half a pixel.

    Raises
    ------
    DataError
        If the shape is not (n, bands, side, side) with side >= ``crop_px``.
    """
    shape = stamps.shape
    wrong = stamps.ndim != 4 or shape[1] != bands or shape[2] != shape[3]
    if wrong or shape[2] < crop_px:
        expected = f"(n, {bands}, side >= {crop_px}, same side)"
        raise DataError(describe("Stamps have the wrong shape", expected=expected, got=shape))
    start = (shape[2] - crop_px) // 2
    window = slice(start, start + crop_px)
    return np.ascontiguousarray(stamps[:, :, window, window], dtype=np.float32)


def less_radial_profile(images: FloatImages) -> FloatImages:
    """Subtract from each pixel the median of its ring of 1 px about the centre, per stamp and band.

    What is round goes, whatever its profile; an arc that fills less than half of
    its ring stays.
    """
    side = images.shape[-1]
    order, back, starts = rings(side)
    planes = images.reshape(-1, side * side)
    out = np.empty_like(planes)
    for first in range(0, len(planes), _PLANES_AT_ONCE):
        few = slice(first, first + _PLANES_AT_ONCE)
        pixels = planes[few].take(order, axis=1, mode="clip")
        for start, stop in pairwise(starts):
            ring = pixels[:, start:stop]
            ring -= partition_medians(ring.copy())[:, None]
        pixels.take(back, axis=1, out=out[few], mode="clip")
    return out.reshape(images.shape)


def scaled(images: FloatImages, median: FloatImages, sigma: FloatImages) -> FloatImages:
    """Return (image - median) / sigma per plane."""
    out: FloatImages = images - median[:, :, None, None]
    out *= (np.float32(1.0) / sigma)[:, :, None, None]
    return out


def signal_to_noise(images: FloatImages, invvar: FloatImages) -> FloatImages:
    """Return image x sqrt(invvar): each pixel in units of its own noise, 0 where there are no data."""
    out: FloatImages = images * np.sqrt(invvar, dtype=np.float32)
    return out


def finite_rows(images: FloatImages) -> NDArray[np.bool_]:
    """Say which stamps hold finite pixels only, shape (n,)."""
    flat = images.reshape(len(images), math.prod(images.shape[1:]))
    # a sum is finite only if every term is; the few others are looked at pixel by pixel
    with np.errstate(invalid="ignore", over="ignore"):
        finite: NDArray[np.bool_] = np.isfinite(flat.sum(axis=1))
    finite[~finite] = np.isfinite(flat[~finite]).all(axis=1)
    return finite


@lru_cache(maxsize=16)
def region_of(normalisation: str, side: int) -> NDArray[np.intp]:
    """Return the flat pixels whose median and MAD scale a stamp."""
    return np.arange(side * side) if normalisation == "raw_mad" else outer_pixels(side)


@lru_cache(maxsize=16)
def rings(side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], list[int]]:
    """Return the flat pixels ordered by ring, the way back, and where rings begin, with the end."""
    ring = (StampGeometry(side, 1.0).radius_px().ravel() / RING_PX).astype(np.int64)
    order = np.argsort(ring, kind="stable")
    _, starts = np.unique(ring[order], return_index=True)
    return order, np.argsort(order), [*starts.tolist(), side * side]
