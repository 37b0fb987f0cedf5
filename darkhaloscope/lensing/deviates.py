"""Normal deviates of a field of pixels: a counter-based generator, defined in plain numpy.

Deviate number i of a key is a function of (key, i) alone, so any part of a
field can be made without the rest, in vectors, and on any processor. This is
the definition; ``exposure_kernels`` makes the same field in single precision.
What the deviates are for is no concern of this module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe

FloatArray = NDArray[np.float64]
Words = NDArray[np.uint64]

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
"""Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3, table 2."""

NEIGHBOUR_CORRELATION = 0.25
"""Correlation of neighbouring coadd pixels, 0.1 to 0.4 in DR10 after Lanczos resampling."""

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox(counter: Any, key: Any) -> Words:
    """Return four random 32-bit words per counter: Philox4x32-10.

    Parameters
    ----------
    counter : array_like of int, shape (..., 4)
        32-bit words.
    key : array_like of int, shape (2,)
        32-bit words.

    Returns
    -------
    ndarray of uint64, shape (..., 4)
        32-bit words.
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = (np.uint64(word) for word in key)
    for _ in range(ROUNDS):
        left, right = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (right >> _SHIFT) ^ c1 ^ k0,
            right & _MASK,
            (left >> _SHIFT) ^ c3 ^ k1,
            left & _MASK,
        )
        k0, k1 = (k0 + np.uint64(WEYL[0])) & _MASK, (k1 + np.uint64(WEYL[1])) & _MASK
    return np.stack([c0, c1, c2, c3], axis=-1)


def blocks_per_row(width: int) -> int:
    """Return how many counters, of four deviates each, a row of ``width`` pixels takes."""
    return -(-width // 4)


def white_normals(key: Any, planes: int, height: int, width: int) -> FloatArray:
    """Draw independent normal deviates of unit variance.

    The counter of plane p, row y, block j is (y n + j, p, key[2], key[3]) with
    n blocks per row; deviate q of a block belongs to column q n + j. Words are
    turned into pairs of deviates by Box & Muller (1958).

    Parameters
    ----------
    key : array_like of int, shape (4,)
        32-bit words, from :func:`darkhaloscope.streams.keys`.
    planes, height, width : int
        Shape of the field.

    Returns
    -------
    ndarray, shape (planes, height, width)
    """
    words = np.asarray(key, dtype=np.uint64)
    n = blocks_per_row(width)
    counter = np.empty((planes, height * n, 4), dtype=np.uint64)
    counter[..., 0] = np.arange(height * n, dtype=np.uint64)
    counter[..., 1] = np.arange(planes, dtype=np.uint64)[:, None]
    counter[..., 2:] = words[2:]
    uniform = (philox(counter, words[:2]).astype(np.float64) + 0.5) / 2.0**32
    radius = np.sqrt(-2.0 * np.log(uniform[..., 0::2]))
    angle_rad = 2.0 * np.pi * uniform[..., 1::2]
    pair = np.stack([radius * np.cos(angle_rad), radius * np.sin(angle_rad)], axis=-1)
    columns = pair.reshape(planes, height, n, 4).swapaxes(2, 3)
    return np.asarray(columns.reshape(planes, height, 4 * n)[..., :width])


def neighbour_weight(correlation: float) -> float:
    """Return the weight a for which (a, 1, a) correlates neighbours: 2 a / (1 + 2 a^2) = correlation.

    Raises
    ------
    DataError
        If the correlation cannot be made with three weights.
    """
    if not 0.0 <= correlation <= 0.7:
        raise DataError(describe("Noise", field="correlation", expected="in [0, 0.7]", got=correlation))
    if correlation == 0.0:
        return 0.0
    return float((1.0 - np.sqrt(1.0 - 2.0 * correlation**2)) / (2.0 * correlation))


def correlated_normals(
    key: Any, shape: tuple[int, int, int], correlation: float = NEIGHBOUR_CORRELATION
) -> FloatArray:
    """Draw normal deviates of unit variance, correlated between neighbours in y and x.

    White noise on a field one pixel larger on every side is passed along y and
    x through the weights (a, 1, a) / sqrt(1 + 2 a^2).

    Parameters
    ----------
    key : array_like of int, shape (4,)
        32-bit words.
    shape : (planes, height, width)
        Shape of the field.
    correlation : float
        Of horizontal and of vertical neighbours, in [0, 0.7].

    Raises
    ------
    DataError
        If the correlation cannot be made with three weights.
    """
    a = neighbour_weight(correlation)
    planes, height, width = shape
    noise = white_normals(key, planes, height + 2, width + 2)
    noise = noise[:, 1:-1] + a * (noise[:, :-2] + noise[:, 2:])
    noise = noise[..., 1:-1] + a * (noise[..., :-2] + noise[..., 2:])
    return np.asarray(noise / (1.0 + 2.0 * a * a))
