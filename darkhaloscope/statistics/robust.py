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


def median_and_sigma(stamps: FloatImages, region: NDArray[np.intp]) -> tuple[FloatImages, FloatImages]:
    """Return the median and 1.4826 MAD of each plane over the pixels of ``region``.

    One short buffer is partitioned in place per plane: it stays in the first
    cache, where the axis-wise calls of numpy would copy whole batches.

    Parameters
    ----------
    stamps : ndarray of float32, shape (n, bands, side, side)
    region : ndarray of int, shape (m,)
        Flat pixel indices.

    Returns
    -------
    median, sigma : ndarray of float32, shape (n, bands)
    """
    n, bands = stamps.shape[:2]
    planes = stamps.reshape(n * bands, math.prod(stamps.shape[2:]))
    median = np.empty(n * bands, dtype=np.float32)
    sigma = np.empty(n * bands, dtype=np.float32)
    buffer = np.empty(len(region), dtype=np.float32)
    for i in range(n * bands):
        np.take(planes[i], region, out=buffer)
        median[i] = _partition_median(buffer)
        buffer -= median[i]
        np.abs(buffer, out=buffer)
        sigma[i] = MAD_TO_SIGMA * _partition_median(buffer)
    return median.reshape(n, bands), sigma.reshape(n, bands)


def _partition_median(buffer: FloatImages) -> np.float32:
    """Return the median of ``buffer``, which is reordered."""
    half = len(buffer) // 2
    buffer.partition(half)
    if len(buffer) % 2:
        return np.float32(buffer[half])
    # the largest of the lower half is its neighbour; partitioning for both costs twice
    return np.float32(0.5) * np.float32(buffer[:half].max() + buffer[half])
