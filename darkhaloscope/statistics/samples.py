"""How two samples differ: effect sizes and distances with limits over groups (galaxies)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from darkhaloscope.errors import DataError, describe
from darkhaloscope.statistics.intervals import CONFIDENCE, Interval, checked_sample, normal_quantile
from darkhaloscope.statistics.ranking import group_index

FloatArray = NDArray[np.float64]


def cohen_d(
    a: ArrayLike,
    b: ArrayLike,
    groups_a: Sequence[str] | NDArray[Any] | None = None,
    groups_b: Sequence[str] | NDArray[Any] | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return Cohen's d, (mean a - mean b) / pooled standard deviation.

    The interval is the linearised one: the influence of each row on d is summed
    by group, so a galaxy present in both samples (a pair) or many times in one
    is counted once.

    Parameters
    ----------
    a, b : array-like of float
        The two samples.
    groups_a, groups_b : sequence, optional
        Galaxy of each row; each row is its own galaxy by default.
    confidence : float
        Coverage.

    Raises
    ------
    DataError
        If a sample has fewer than two rows, a value is not finite, or all
        values are equal (an effect size of a constant does not exist).
    """
    x, y = checked_sample(a, "a"), checked_sample(b, "b")
    var_x, var_y = x.var(ddof=1), y.var(ddof=1)
    pooled = math.sqrt(((x.size - 1) * var_x + (y.size - 1) * var_y) / (x.size + y.size - 2))
    if pooled == 0.0:
        raise DataError(describe("Effect size of a constant", expected="values that vary", got=x[0]))
    d = (x.mean() - y.mean()) / pooled
    n = x.size + y.size
    zx, zy = (x - x.mean()) / pooled, (y - y.mean()) / pooled
    influence_x = zx / x.size - d * (zx**2 - 1.0) / (2 * n)
    influence_y = -zy / y.size - d * (zy**2 - 1.0) / (2 * n)
    return _clustered(float(d), influence_x, influence_y, groups_a, groups_b, confidence)


def mean_ratio_interval(
    a: ArrayLike,
    b: ArrayLike,
    groups_a: Sequence[str] | NDArray[Any] | None = None,
    groups_b: Sequence[str] | NDArray[Any] | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return mean(a) / mean(b) with a linearised interval over groups.

    Raises
    ------
    DataError
        If a sample has fewer than two rows, a value is not finite, or the mean
        of ``b`` is zero.
    """
    x, y = checked_sample(a, "a"), checked_sample(b, "b")
    mean_x, mean_y = float(x.mean()), float(y.mean())
    if mean_y == 0.0:
        raise DataError(describe("Ratio to a mean of zero", field="b", expected="a non-zero mean", got=0.0))
    ratio = mean_x / mean_y
    influence_x = (x - mean_x) / mean_y / x.size
    influence_y = -ratio * (y - mean_y) / mean_y / y.size
    return _clustered(ratio, influence_x, influence_y, groups_a, groups_b, confidence)


def mean_interval(
    a: ArrayLike,
    groups: Sequence[str] | NDArray[Any] | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the mean of ``a`` with a normal interval over groups.

    Raises
    ------
    DataError
        If there are fewer than two rows or a value is not finite.
    """
    x = checked_sample(a, "a")
    empty = np.empty(0)
    return _clustered(float(x.mean()), (x - x.mean()) / x.size, empty, groups, None, confidence)


def ks_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return the two-sample Kolmogorov-Smirnov distance, exact with ties.

    Raises
    ------
    DataError
        If a sample has fewer than two rows or a value is not finite.
    """
    x, y = np.sort(checked_sample(a, "a")), np.sort(checked_sample(b, "b"))
    every = np.concatenate([x, y])
    cdf_x = np.searchsorted(x, every, side="right") / x.size
    cdf_y = np.searchsorted(y, every, side="right") / y.size
    return float(np.abs(cdf_x - cdf_y).max())


def ks_two_sample(
    a: ArrayLike,
    b: ArrayLike,
    n_a: int | None = None,
    n_b: int | None = None,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the Kolmogorov-Smirnov distance with a uniform confidence band.

    The band is D +- K sqrt(1/n_a + 1/n_b), K the Kolmogorov quantile (1.358 at
    95 %): the supremum of the difference of two empirical processes. D itself is
    biased upwards by noise, so only the lower limit is evidence of a difference.

    Parameters
    ----------
    a, b : array-like of float
        The two samples.
    n_a, n_b : int, optional
        Galaxies behind each sample; its rows by default.
    confidence : float
        Coverage.

    Raises
    ------
    DataError
        If a sample has fewer than two rows or a value is not finite.
    """
    n_a = np.size(a) if n_a is None else n_a
    n_b = np.size(b) if n_b is None else n_b
    return ks_interval(ks_distance(a, b), n_a, n_b, confidence)


def ks_interval(
    distance: float,
    n_a: int,
    n_b: int,
    confidence: float = CONFIDENCE,
    *,
    at_most: float | None = None,
) -> Interval:
    """Return the band of :func:`ks_two_sample` about a distance that is known already.

    Parameters
    ----------
    distance : float
        Kolmogorov-Smirnov distance, or a lower limit of it.
    n_a, n_b : int
        Galaxies behind each sample.
    confidence : float
        Coverage.
    at_most : float, optional
        An upper limit of the distance, where it is known between limits.
    """
    half = float(special.kolmogi(1.0 - confidence)) * math.sqrt(1.0 / n_a + 1.0 / n_b)
    upper = distance if at_most is None else at_most
    return Interval(distance, max(0.0, distance - half), min(1.0, upper + half), n_a + n_b)


def ks_p_value(distance: float, n_a: int, n_b: int) -> float:
    """Return the asymptotic p-value of a Kolmogorov-Smirnov distance.

    Informative only: at 10^6 rows it is small for harmless differences.
    """
    return float(special.kolmogorov(distance * math.sqrt(n_a * n_b / (n_a + n_b))))


def _clustered(
    value: float,
    influence_a: FloatArray,
    influence_b: FloatArray,
    groups_a: Sequence[str] | NDArray[Any] | None,
    groups_b: Sequence[str] | NDArray[Any] | None,
    confidence: float,
) -> Interval:
    """Interval from influence values summed within groups."""
    influence = np.concatenate([influence_a, influence_b])
    if groups_a is None and groups_b is None:
        sums, n = influence, influence.size
    else:
        names = np.concatenate(
            [
                np.asarray(groups_a) if groups_a is not None else _own_groups("a", influence_a.size),
                np.asarray(groups_b) if groups_b is not None else _own_groups("b", influence_b.size),
            ]
        )
        group = group_index(names)
        sums = np.bincount(group, weights=influence)
        n = sums.size
    if n < 2:
        raise DataError(describe("Too few galaxies for an interval", expected="at least 2", got=n))
    error = math.sqrt(float((sums**2).sum()) * n / (n - 1))
    half = normal_quantile(confidence) * error
    return Interval(value, value - half, value + half, n)


def _own_groups(label: str, n: int) -> NDArray[Any]:
    return np.array([f"\x1f{label}{i}" for i in range(n)], dtype=str)
