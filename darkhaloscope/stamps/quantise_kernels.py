"""Counting pixels in dithered steps and back, compiled.

What is computed, and why, is said in ``quantise``; only the loops are here. No
product is followed by a sum, so nothing is fused and the bytes do not depend on
the platform.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from darkhaloscope.lensing.exposure_kernels import fill_words
from darkhaloscope.lensing.native import inlined, native

_SHIFT = np.int32(128)
"""Added to a count before it is cut into bytes: sky noise then leaves the high byte alone."""

_LARGEST = float(2**31 - 1024)


@inlined
def fill_dither(key: Any, plane: Any, words: Any, dither: Any) -> None:
    """Fill ``dither`` for one plane: odd multiples of 2**-17 in (-1/2, 1/2).

    A counter gives eight numbers of 16 bits, which land an eighth of the plane apart.
    """
    eighth = words.shape[1]
    fill_words(key, plane, 0, eighth, words)
    for part in range(8):
        first, shift = part * eighth, np.uint32(16 * (part % 2))
        for i in range(min(eighth, dither.size - first)):
            number = (words[part // 2, i] >> shift) & np.uint32(0xFFFF)
            dither[first + i] = (np.float32(number) - np.float32(32767.5)) * np.float32(2.0**-16)


@native(
    "void(float32[:, :, ::1], float32[:, ::1], uint32[:, ::1], uint32[:, ::1], float32[::1], uint8[:, ::1], "
    "uint8[:, ::1], int16[:, ::1], int64[::1], int64[::1])"
)
def encode(
    images: Any,
    steps: Any,
    keys: Any,
    words: Any,
    dither: Any,
    low: Any,
    high: Any,
    upper: Any,
    beyond: Any,
    wide: Any,
) -> None:
    """Fill the planes; count the pixels of a row that no plane holds, and those that need ``upper``."""
    n, bands, pixels = images.shape
    for row in range(n):
        outside, tall = np.int32(0), np.int32(0)
        for band in range(bands):
            fill_dither(keys[row], band, words, dither)
            step = np.float64(steps[row, band])
            first = band * pixels
            for i in range(pixels):
                # a division, not a product with 1 / step: nothing to fuse, the same on every processor
                value = np.float64(images[row, band, i]) / step
                inside = abs(value) < _LARGEST  # neither infinite nor NaN
                outside += np.int32(0 if inside else 1)
                count = np.int32(np.rint((value if inside else 0.0) + dither[i])) + _SHIFT
                low[row, first + i] = np.uint8(count)
                high[row, first + i] = np.uint8(count >> 8)
                upper[row, first + i] = np.int16(count >> 16)
                tall += np.int32(1 if np.int16(count) != count else 0)
        beyond[row], wide[row] = outside, tall


@native(
    "void(uint8[:, ::1], uint8[:, ::1], int16[:, ::1], int64[::1], float32[:, ::1], uint32[:, ::1], "
    "uint32[:, ::1], float32[::1], float32[:, :, ::1])"
)
def decode(
    low: Any,
    high: Any,
    upper: Any,
    place: Any,
    steps: Any,
    keys: Any,
    words: Any,
    dither: Any,
    images: Any,
) -> None:
    """Fill ``images`` from the planes: (count - dither) x step."""
    n, bands, pixels = images.shape
    for row in range(n):
        for band in range(bands):
            fill_dither(keys[row], band, words, dither)
            step = np.float64(steps[row, band])
            first = band * pixels
            if place[row] < 0:
                for i in range(pixels):
                    count = (np.int32(np.int8(high[row, first + i])) << 8) | np.int32(low[row, first + i])
                    images[row, band, i] = (np.float64(count - _SHIFT) - dither[i]) * step
            else:
                for i in range(pixels):
                    count = (np.int32(upper[place[row], first + i]) << 16) | (
                        np.int32(high[row, first + i]) << 8 | np.int32(low[row, first + i])
                    )
                    images[row, band, i] = (np.float64(count - _SHIFT) - dither[i]) * step
