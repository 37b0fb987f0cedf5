"""Median and scatter of pixels, unmoved by the galaxies among them.

One implementation for what a model sees, for the step of quantised stamps and
for whatever else asks how noisy a stamp is. Which pixels count is the caller's
business.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatImages = NDArray[np.float32]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


_PLANES_AT_ONCE = 12
"""Their pixels stay in the second cache."""


def median_and_sigma(stamps: FloatImages, region: NDArray[np.intp]) -> tuple[FloatImages, FloatImages]:
    """Return the median and 1.4826 MAD of each plane over the pixels of ``region``.

    A few planes at a time are gathered and partitioned in place: they stay in
    the cache, where the axis-wise calls of numpy would copy whole batches.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, bands, side, side)
        Finite.
    region : ndarray of int, shape (m,)
        Flat pixel indices.

    Returns
    -------
    median, sigma : ndarray of float32, shape (n, bands)
    """
    n, bands = stamps.shape[:2]
    planes = stamps.reshape(n * bands, math.prod(stamps.shape[2:]))
    median, sigma = np.empty((2, n * bands), dtype=np.float32)
    for first in range(0, n * bands, _PLANES_AT_ONCE):
        few = slice(first, first + _PLANES_AT_ONCE)
        # 'clip' because the default mode copies by way of a buffer; the indices are in range
        pixels = planes[few].take(region, axis=1, mode="clip")
        median[few] = partition_medians(pixels)
        pixels -= median[few, None]
        np.abs(pixels, out=pixels)
        sigma[few] = MAD_TO_SIGMA * partition_medians(pixels)
    return median.reshape(n, bands), sigma.reshape(n, bands)


def partition_medians(rows: FloatImages) -> FloatImages:
    """Return the median of each row of ``rows``, which is reordered; shape (n,)."""
    half = rows.shape[1] // 2
    rows.partition(half, axis=1)
    upper: FloatImages = rows[:, half].copy()
    if rows.shape[1] % 2:
        return upper
    # the largest of the lower half is its neighbour; partitioning for both costs twice
    lower: FloatImages = rows[:, :half].max(axis=1)
    return np.asarray(np.float32(0.5) * (lower + upper))
