"""The loops over rows, compiled. What is counted, and why, is said in their callers."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkhaloscope.lensing.native import native

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_MIX_SHIFT = np.uint64(33)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TABLE_SHIFT = np.uint64(20)

BIN_BITS = 14
"""Leading bits of the mantissa that name a bin: 16,384 bins from one power of two to the next."""

_DROPPED = np.int64(52 - BIN_BITS)
_MANTISSA_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)
_EXPONENT = np.int64(0x7FF0000000000000)
EMPTY = np.int64(-(2**62))
"""Key of a place of the table that holds no bin; no finite double has it."""


@native("void(int64[::1], uint8[::1], uint64[::1])")
def hash_texts(offsets: Any, text: Any, out: Any) -> None:
    """Hash texts that lie one after another: FNV-1a, its bits mixed as MurmurHash3 does at the end."""
    for i in range(out.size):
        h = _FNV_OFFSET
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(text[j])) * _FNV_PRIME
        h = (h ^ (h >> _MIX_SHIFT)) * _MIX_1
        h = (h ^ (h >> _MIX_SHIFT)) * _MIX_2
        out[i] = h ^ (h >> _MIX_SHIFT)


@native(
    "void(int64[::1], uint8[::1], int64[::1], int64[::1], uint8[::1], uint32[:, ::1], int64[::1], int64[::1])"
)
def count_values(
    bits: Any, cell: Any, keys: Any, first: Any, mixed: Any, counts: Any, skipped: Any, state: Any
) -> None:
    """Add doubles, given by their bits, to the table; stop where it is three quarters full.

    ``state`` holds the bins in the table and the next row. Integers of doubles'
    bits, those of negative numbers turned round, sort as the numbers do.
    """
    mask = np.uint64(keys.size - 1)
    room = keys.size // 4 * 3
    for i in range(state[1], bits.size):
        raw = bits[i]
        if (raw & _EXPONENT) == _EXPONENT:
            skipped[cell[i]] += 1
            continue
        ordered = raw ^ ((raw >> np.int64(63)) & _MANTISSA_SIGN)
        key = ordered >> _DROPPED
        place = ((np.uint64(key) * _GOLDEN) >> _TABLE_SHIFT) & mask
        while keys[place] != key and keys[place] != EMPTY:
            place = (place + np.uint64(1)) & mask
        if keys[place] == EMPTY:
            if state[0] >= room:
                state[1] = i
                return
            keys[place] = key
            first[place] = ordered
            state[0] += 1
        elif first[place] != ordered:
            mixed[place] = 1
        counts[place, cell[i]] += np.uint32(1)
    state[1] = bits.size


@native(
    "void(int64[::1], int64[::1], uint8[::1], uint32[:, ::1], int64[::1], int64[::1], uint8[::1], "
    "uint32[:, ::1], int64[::1])"
)
def add_bins(
    from_keys: Any,
    from_first: Any,
    from_mixed: Any,
    from_counts: Any,
    keys: Any,
    first: Any,
    mixed: Any,
    counts: Any,
    state: Any,
) -> None:
    """Add the bins of one table to another that has room for them all."""
    mask = np.uint64(keys.size - 1)
    for i in range(from_keys.size):
        key = from_keys[i]
        if key == EMPTY:
            continue
        place = ((np.uint64(key) * _GOLDEN) >> _TABLE_SHIFT) & mask
        while keys[place] != key and keys[place] != EMPTY:
            place = (place + np.uint64(1)) & mask
        if keys[place] == EMPTY:
            keys[place] = key
            first[place] = from_first[i]
            mixed[place] = from_mixed[i]
            state[0] += 1
        elif from_mixed[i] == 1 or first[place] != from_first[i]:
            mixed[place] = 1
        for c in range(from_counts.shape[1]):
            counts[place, c] += from_counts[i, c]


@native("void(float64[::1], uint8[::1], float64[::1], float64[::1])")
def sum_cells(values: Any, cell: Any, number: Any, total: Any) -> None:
    """Count and add up the finite values of each cell."""
    for i in range(values.size):
        if abs(values[i]) < np.inf:
            number[cell[i]] += 1.0
            total[cell[i]] += values[i]


@native("void(float64[::1], uint8[::1], float64[::1], float64[::1])")
def square_cells(values: Any, cell: Any, mean: Any, squares: Any) -> None:
    """Add up the squared distances of the finite values of each cell from its mean."""
    for i in range(values.size):
        if abs(values[i]) < np.inf:
            distance = values[i] - mean[cell[i]]
            squares[cell[i]] += distance * distance
