"""Differences between two groups of cells, with limits: all rows give the value, sampled galaxies the error.

Value and distance are those of all rows. The scatter of a galaxy's influence on
Cohen's d is taken from the galaxies whose rows were kept and scaled to all of
them, which is exact where all were kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.columns.scan import Columns
from darkhaloscope.statistics import Interval, ks_interval
from darkhaloscope.statistics.intervals import normal_quantile


@dataclass(frozen=True)
class TwoGroups:
    """Two groups of cells and the sampled rows in them.

    Parameters
    ----------
    a, b : sequence of int
        Cells.
    rows : ndarray of int, shape (n,)
        Sampled rows in either.
    in_a : ndarray of bool, shape (n,)
        Which of them are in the first group.
    galaxy : ndarray of int, shape (n,)
        Number of the galaxy, 0..m-1.
    galaxies : int
        Galaxies in either group, sampled or not.
    hosts_a, hosts_b : int
        Galaxies in each.
    """

    a: Sequence[int]
    b: Sequence[int]
    rows: NDArray[np.intp]
    in_a: NDArray[np.bool_]
    galaxy: NDArray[np.intp]
    galaxies: int
    hosts_a: int
    hosts_b: int

    @classmethod
    def of(cls, columns: Columns, a: Sequence[int], b: Sequence[int]) -> TwoGroups:
        """Find the sampled rows of two groups of cells."""
        cell = columns.sample.cell
        rows = np.flatnonzero(np.isin(cell, [*a, *b]))
        galaxy = np.unique(columns.sample.host[rows], return_inverse=True)[1]
        galaxies = columns.galaxies
        return cls(
            a,
            b,
            rows,
            np.isin(cell[rows], list(a)),
            galaxy.reshape(-1),
            columns.hosts_of_either(a, b),
            int(galaxies.within(a).sum()),
            int(galaxies.within(b).sum()),
        )


def ks_distance_of(columns: Columns, name: str, groups: TwoGroups, confidence: float) -> Interval:
    """Return the Kolmogorov-Smirnov distance of a column with its band.

    The value is the proven lower limit of the distance and the lower end of the
    band starts from it, the upper end from the proven upper limit.
    """
    distance = columns.values[name].ks(groups.a, groups.b)
    return ks_interval(distance.lower, groups.hosts_a, groups.hosts_b, confidence, at_most=distance.upper)


def cohen_d_of(columns: Columns, name: str, groups: TwoGroups, confidence: float) -> Interval:
    """Return Cohen's d of a column, as ``statistics.cohen_d`` has it.

    Raises
    ------
    DataError
        If a group has fewer than two finite values, or all values are equal.
    """
    values = columns.values[name]
    n_a, mean_a, squares_a = values.variance(groups.a)
    n_b, mean_b, squares_b = values.variance(groups.b)
    n = n_a + n_b
    if min(n_a, n_b) < 2 or groups.rows.size == 0:
        raise DataError(
            describe("Sample too small", field=name, expected="at least 2 rows", got=min(n_a, n_b))
        )
    pooled = math.sqrt((squares_a + squares_b) / (n - 2))
    if pooled <= 1e-14 * max(abs(mean_a), abs(mean_b)):
        raise DataError(describe("Effect size of a constant", field=name, got=mean_a))
    d = (mean_a - mean_b) / pooled
    x = columns.sample.values[groups.rows, list(columns.values).index(name)]
    z = (x - np.where(groups.in_a, mean_a, mean_b)) / pooled
    influence = np.where(groups.in_a, z / n_a, -z / n_b) - d * (z**2 - 1.0) / (2 * n)
    finite = np.isfinite(influence)
    sums = np.bincount(groups.galaxy[finite], weights=influence[finite], minlength=groups.galaxy.max() + 1)
    m = sums.size
    if m < 2:
        raise DataError(describe("Too few galaxies for an interval", expected="at least 2", got=m))
    error = math.sqrt(float((sums**2).sum()) * groups.galaxies / m * m / (m - 1))
    half = normal_quantile(confidence) * error
    return Interval(d, d - half, d + half, groups.galaxies)
