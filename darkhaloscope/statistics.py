"""Estimates with intervals: the only place where a number gets its uncertainty.

Every function takes plain arrays and returns an :class:`Interval`, so a rate or
an effect size can never be reported without its sample. Rows of one galaxy are
not independent: where ``groups`` is taken, rows that share a group count as one
galaxy. Thresholds and verdicts do not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from darkhaloscope.errors import DataError, describe
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

CONFIDENCE = 0.95
"""Coverage of every interval unless stated otherwise."""


@dataclass(frozen=True)
class Interval:
    """An estimate, its confidence interval and the sample behind it.

    Parameters
    ----------
    value : float
        Point estimate.
    lower, upper : float
        Limits of the interval, 95 % unless the maker says otherwise.
    n : int
        Independent units behind the estimate (galaxies where groups are given).
    """

    value: float
    lower: float
    upper: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the four numbers as a JSON-serialisable dict."""
        return {"value": self.value, "lower": self.lower, "upper": self.upper, "n": self.n}

    def above(self, limit: float) -> bool:
        """Say whether the whole interval lies above ``limit``."""
        return self.lower > limit

    def below(self, limit: float) -> bool:
        """Say whether the whole interval lies below ``limit``."""
        return self.upper < limit

    def magnitude(self) -> Interval:
        """Return the interval of the absolute value.

        An interval that holds zero gives a lower limit of zero.
        """
        low, high = sorted((abs(self.lower), abs(self.upper)))
        return Interval(abs(self.value), 0.0 if self.lower <= 0.0 <= self.upper else low, high, self.n)

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}] (n={self.n})"


def clopper_pearson(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the exact binomial interval of ``k`` successes in ``n`` trials.

    Clopper & Pearson (1934), Biometrika 26, 404.

    Raises
    ------
    DataError
        If ``n`` is zero or ``k`` is outside 0..n.
    """
    _check_counts(k, n)
    tail = (1.0 - confidence) / 2.0
    lower = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    upper = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1.0 - tail))
    return Interval(k / n, lower, upper, n)


def wilson(k: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of ``k`` successes in ``n`` trials.

    Wilson (1927), JASA 22, 209: shorter than :func:`clopper_pearson` and right
    on average, for maps of many cells.

    Raises
    ------
    DataError
        If ``n`` is zero or ``k`` is outside 0..n.
    """
    _check_counts(k, n)
    z = _normal_quantile(confidence)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(
        share,
        0.0 if k == 0 else max(0.0, centre - half),
        1.0 if k == n else min(1.0, centre + half),
        n,
    )


def risk_ratio(k_a: int, n_a: int, k_b: int, n_b: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the ratio of two shares, (k_a / n_a) / (k_b / n_b).

    Half a count is added to each cell and the interval is symmetric in the
    logarithm (Pettigrew, Gart & Thomas 1986, Biometrika 73, 425), so that empty
    counts give a wide interval instead of none.

    Raises
    ------
    DataError
        If a sample is empty.
    """
    _check_counts(k_a, n_a)
    _check_counts(k_b, n_b)
    log_ratio = math.log((k_a + 0.5) / (n_a + 0.5)) - math.log((k_b + 0.5) / (n_b + 0.5))
    variance = 1 / (k_a + 0.5) - 1 / (n_a + 0.5) + 1 / (k_b + 0.5) - 1 / (n_b + 0.5)
    half = _normal_quantile(confidence) * math.sqrt(max(variance, 0.0))
    return Interval(
        math.exp(log_ratio), math.exp(log_ratio - half), math.exp(log_ratio + half), min(n_a, n_b)
    )


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve; ties count one half.

    Parameters
    ----------
    labels : array-like of bool, shape (n,)
        True for positives.
    scores : array-like of float, shape (n,)
        Larger means more positive.

    Raises
    ------
    DataError
        If a class is missing or a score is not finite.
    """
    positive, score = _checked_scores(labels, scores)
    ranks = stats.rankdata(score)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    wins = float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2
    return wins / (n_positive * n_negative)


def grouped_auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Sequence[str] | NDArray[Any],
    n_boot: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the AUC with a bootstrap interval over whole groups.

    Parameters
    ----------
    labels : array-like of bool, shape (n,)
        True for positives.
    scores : array-like of float, shape (n,)
        Larger means more positive.
    groups : sequence, length n
        Galaxy of each row; galaxies are resampled, never rows.
    n_boot : int
        Resamples.
    seed : int
        Key of the resampling stream.
    confidence : float
        Coverage.

    Returns
    -------
    Interval
        ``n`` is the number of groups.

    Raises
    ------
    DataError
        If a class is missing or a score is not finite.
    """
    values = _auc_resamples(labels, scores, groups, n_boot, seed)
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.nanquantile(values, [tail, 1.0 - tail])
    return Interval(auc(labels, scores), float(lower), float(upper), int(group_index(groups).max()) + 1)


def grouped_auc_loss(
    labels: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    groups: Sequence[str] | NDArray[Any],
    n_boot: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return AUC(before) - AUC(after) with a bootstrap interval over whole groups.

    Both scores see the same resamples, so what they share cancels.

    Parameters
    ----------
    labels : array-like of bool, shape (n,)
        True for positives.
    before, after : array-like of float, shape (n,)
        Two scores of the same rows.
    groups : sequence, length n
        Galaxy of each row.
    n_boot, seed, confidence
        As in :func:`grouped_auc_interval`.

    Raises
    ------
    DataError
        If a class is missing or a score is not finite.
    """
    value = auc(labels, before) - auc(labels, after)
    samples_before = _auc_resamples(labels, before, groups, n_boot, seed)
    difference = samples_before - _auc_resamples(labels, after, groups, n_boot, seed)
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.nanquantile(difference, [tail, 1.0 - tail])
    return Interval(value, float(lower), float(upper), int(group_index(groups).max()) + 1)


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
    x, y = _checked_sample(a, "a"), _checked_sample(b, "b")
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
    x, y = _checked_sample(a, "a"), _checked_sample(b, "b")
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
    x = _checked_sample(a, "a")
    empty = np.empty(0)
    return _clustered(float(x.mean()), (x - x.mean()) / x.size, empty, groups, None, confidence)


def ks_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return the two-sample Kolmogorov-Smirnov distance, exact with ties.

    Raises
    ------
    DataError
        If a sample has fewer than two rows or a value is not finite.
    """
    x, y = np.sort(_checked_sample(a, "a")), np.sort(_checked_sample(b, "b"))
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
    distance = ks_distance(a, b)
    n_a = np.size(a) if n_a is None else n_a
    n_b = np.size(b) if n_b is None else n_b
    half = float(special.kolmogi(1.0 - confidence)) * math.sqrt(1.0 / n_a + 1.0 / n_b)
    return Interval(distance, max(0.0, distance - half), min(1.0, distance + half), n_a + n_b)


def ks_p_value(distance: float, n_a: int, n_b: int) -> float:
    """Return the asymptotic p-value of a Kolmogorov-Smirnov distance.

    Informative only: at 10^6 rows it is small for harmless differences.
    """
    return float(special.kolmogorov(distance * math.sqrt(n_a * n_b / (n_a + n_b))))


def group_index(groups: Sequence[str] | NDArray[Any]) -> NDArray[np.intp]:
    """Return an integer 0..k-1 per row, equal for rows of one group."""
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    index: NDArray[np.intp] = inverse.reshape(-1)
    return index


def _auc_resamples(
    labels: ArrayLike, scores: ArrayLike, groups: Sequence[str] | NDArray[Any], n_boot: int, seed: int
) -> FloatArray:
    """AUC of ``n_boot`` resamples of whole groups; the resamples depend on the groups and the seed."""
    positive, score = _checked_scores(labels, scores)
    group = group_index(groups)
    n_groups = int(group.max()) + 1
    order = np.argsort(score, kind="stable")
    positive, group = positive[order], group[order]
    tie = np.concatenate([[0], np.flatnonzero(np.diff(score[order]) > 0) + 1])
    rng = generator(seed, "auc_bootstrap", f"{n_groups}:{positive.size}")
    values = np.empty(n_boot)
    for i in range(n_boot):
        draws = np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
        values[i] = _weighted_auc(positive, draws[group].astype(np.float64), tie)
    return values


def _weighted_auc(positive: NDArray[np.bool_], weight: FloatArray, tie: NDArray[np.intp]) -> float:
    """AUC of weighted rows in rising score order; ``tie`` holds the first row of each score."""
    plus = np.add.reduceat(np.where(positive, weight, 0.0), tie)
    minus = np.add.reduceat(np.where(positive, 0.0, weight), tie)
    total = plus.sum() * minus.sum()
    if total == 0.0:
        return math.nan
    below = np.cumsum(minus) - minus
    return float((plus * (below + 0.5 * minus)).sum() / total)


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
    half = _normal_quantile(confidence) * error
    return Interval(value, value - half, value + half, n)


def _own_groups(label: str, n: int) -> NDArray[Any]:
    return np.array([f"\x1f{label}{i}" for i in range(n)], dtype=str)


def _normal_quantile(confidence: float) -> float:
    return float(special.ndtri(0.5 + confidence / 2.0))


def _check_counts(k: int, n: int) -> None:
    if n <= 0 or not 0 <= k <= n:
        raise DataError(describe("Counts of a share", expected="0 <= k <= n and n > 0", got=f"k={k}, n={n}"))


def _checked_sample(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if array.size < 2:
        raise DataError(describe("Sample too small", field=name, expected="at least 2 rows", got=array.size))
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise DataError(
            describe(
                "Sample is not finite",
                field=name,
                row=int(bad[0]),
                expected="finite values",
                got=f"{bad.size} of {array.size} not finite",
            )
        )
    return array


def _checked_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], FloatArray]:
    positive = np.asarray(labels).astype(bool).reshape(-1)
    score = _checked_sample(scores, "scores")
    if positive.size != score.size:
        raise DataError(
            describe("Labels and scores differ in length", expected=positive.size, got=score.size)
        )
    if positive.all() or not positive.any():
        raise DataError(
            describe(
                "Only one class",
                field="labels",
                expected="positives and negatives",
                got=f"{int(positive.sum())} positives of {positive.size}",
            )
        )
    return positive, score
