"""What a column holds, by cell: counts of its values in fine bins, means and squares.

A bin is all doubles that share sign, exponent and the first 14 bits of the
mantissa: 16,384 bins from one power of two to the next, whatever the unit of the
column, so no range has to be declared. A bin remembers whether it has met more
than one value. Only bins that hold something take memory.

**Error.** Let F_a - F_b be known at the edges of the bins. Inside a bin that
holds p_a and p_b of the two samples it moves from its value s at the left edge
by at most +p_a and -p_b, so its absolute value stays below max(s + p_a, p_b - s).
The Kolmogorov-Smirnov distance therefore lies between its largest absolute value
at an edge and the largest of these over the bins with more than one value; where
every bin holds one value the two are equal and the distance is exact. A quantile
is off by less than its bin is wide, a relative 2**-14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.columns import kernels

FloatArray = NDArray[np.float64]
CellCodes = NDArray[np.uint8]
Bins: TypeAlias = tuple[FloatArray, NDArray[np.bool_], NDArray[np.int64]]

_FIRST_PLACES = 1 << 12
_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class KsDistance:
    """A Kolmogorov-Smirnov distance between proven limits.

    Parameters
    ----------
    lower, upper : float
        The distance of the two samples is not below the one nor above the other.
    """

    lower: float
    upper: float


class ValueCounts:
    """Counts of the values of one column in each of several cells.

    Parameters
    ----------
    cells : int
        Number of cells; at most 255.
    """

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.skipped = np.zeros(cells, dtype=np.int64)
        self.number = np.zeros(cells)
        self.mean = np.zeros(cells)
        self.squares = np.zeros(cells)
        self._used = np.zeros(2, dtype=np.int64)
        self._sorted: Bins | None = None
        self._allocate(_FIRST_PLACES)

    def update(self, values: FloatArray, cell: CellCodes) -> None:
        """Add rows; values that are not finite are counted apart.

        Parameters
        ----------
        values : ndarray, shape (n,)
            The column.
        cell : ndarray of uint8, shape (n,)
            Cell of each row.
        """
        self._sorted = None
        values = np.ascontiguousarray(values, dtype=np.float64) + 0.0  # -0.0 becomes 0.0
        bits = values.view(np.int64)
        self._used[1] = 0
        while self._used[1] < bits.size:
            kernels.count_values(
                bits, cell, self._keys, self._first, self._mixed, self._counts, self.skipped, self._used
            )
            if self._used[1] < bits.size:
                self._grow(2 * self._keys.size)
        number, total, squares = (np.zeros(self.cells) for _ in range(3))
        kernels.sum_cells(values, cell, number, total)
        mean = total / np.maximum(number, 1.0)
        kernels.square_cells(values, cell, mean, squares)
        self._add_moments(number, mean, squares)

    def merge(self, other: Self) -> None:
        """Add what another accumulator of the same column has met."""
        self._sorted = None
        needed = 4 * int(self._used[0] + other._used[0]) // 3
        if needed > self._keys.size:
            self._grow(1 << needed.bit_length())
        self._add_table(other._keys, other._first, other._mixed, other._counts)
        self.skipped += other.skipped
        self._add_moments(other.number, other.mean, other.squares)

    def ks(self, a: Sequence[int], b: Sequence[int]) -> KsDistance:
        """Return the Kolmogorov-Smirnov distance between two groups of cells.

        Raises
        ------
        DataError
            If either group has no finite value.
        """
        _, mixed, counts = self.bins()
        in_a, in_b = counts[:, list(a)].sum(axis=1), counts[:, list(b)].sum(axis=1)
        if not in_a.sum() or not in_b.sum():
            raise DataError(describe("Sample of nothing", expected="finite values in both", got="none"))
        # integers over a common denominator: equal samples are at distance zero, not at 1e-16
        p_a, p_b = in_a * float(in_b.sum()), in_b * float(in_a.sum())
        every = float(in_a.sum()) * float(in_b.sum())
        right = np.cumsum(p_a - p_b)
        left = right - (p_a - p_b)
        lower = float(np.abs(right).max())
        inside = np.maximum(left + p_a, p_b - left)[mixed]
        upper = max(lower, float(inside.max(initial=0.0)))
        return KsDistance(lower / every, min(1.0, upper / every))

    def quantile(self, q: float, cells: Sequence[int] | None = None) -> float:
        """Return a quantile of some cells, or of all: the smallest value whose share is not below ``q``."""
        low, _, counts = self.bins()
        chosen = counts.sum(axis=1) if cells is None else counts[:, list(cells)].sum(axis=1)
        rank = np.searchsorted(np.cumsum(chosen), max(1.0, q * chosen.sum()), side="left")
        return float(low[min(int(rank), len(low) - 1)])

    def histogram(self, edges: FloatArray, cells: Sequence[int]) -> NDArray[np.int64]:
        """Return the counts of some cells between edges, bins taken whole at their first value."""
        low, _, counts = self.bins()
        chosen = counts[:, list(cells)].sum(axis=1)
        return np.histogram(low, bins=edges, weights=chosen)[0].astype(np.int64)

    def is_constant(self) -> bool:
        """Say whether no two finite values differ, in any cell."""
        return bool(self._used[0] <= 1 and not self._mixed.any())

    def variance(self, cells: Sequence[int]) -> tuple[int, float, float]:
        """Return number, mean and sum of squared distances from it over a group of cells."""
        chosen = list(cells)
        number = self.number[chosen]
        total = number.sum()
        mean = float((number * self.mean[chosen]).sum() / max(total, 1.0))
        between = number * (self.mean[chosen] - mean) ** 2
        return int(total), mean, float((self.squares[chosen] + between).sum())

    def bins(self) -> Bins:
        """Return a value of every bin, whether it holds others, and its counts, in rising order."""
        if self._sorted is None:
            self._sorted = self._in_order()
        return self._sorted

    def _in_order(self) -> Bins:
        held = np.flatnonzero(self._keys != kernels.EMPTY)
        held = held[np.argsort(self._keys[held])]
        ordered = self._first[held]
        bits = ordered ^ ((ordered >> np.int64(63)) & _SIGN)
        mixed = self._mixed[held] == 1
        # a bin of several values is named by its edge, so that the name does not depend on their order
        edge = (self._keys[held] << np.int64(52 - kernels.BIN_BITS)).astype(np.int64)
        edge ^= (edge >> np.int64(63)) & _SIGN
        values = np.where(mixed, edge.view(np.float64), bits.view(np.float64))
        return values, mixed, self._counts[held].astype(np.int64)

    def _add_moments(self, number: FloatArray, mean: FloatArray, squares: FloatArray) -> None:
        """Chan, Golub & LeVeque (1983), American Statistician 37, 242, eq. 2.1."""
        total = self.number + number
        share = np.divide(number, total, out=np.zeros(self.cells), where=total > 0.0)
        step = mean - self.mean
        self.squares += squares + step**2 * self.number * share
        self.mean += step * share
        self.number = total

    def _add_table(self, keys: Any, first: Any, mixed: Any, counts: Any) -> None:
        kernels.add_bins(
            keys, first, mixed, counts, self._keys, self._first, self._mixed, self._counts, self._used
        )

    def _grow(self, places: int) -> None:
        table = self._keys, self._first, self._mixed, self._counts
        self._allocate(places)
        self._used[0] = 0
        self._add_table(*table)

    def _allocate(self, places: int) -> None:
        self._keys = np.full(places, kernels.EMPTY, dtype=np.int64)
        self._first = np.zeros(places, dtype=np.int64)
        self._mixed = np.zeros(places, dtype=np.uint8)
        self._counts = np.zeros((places, self.cells), dtype=np.uint32)
