"""How well scores rank two classes, with limits resampled over groups (galaxies)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.statistics.intervals import CONFIDENCE, Interval, checked_sample, normal_quantile
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]


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
    from scipy import stats  # 25 MB that workers of injection do without

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


def linearised_auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: Sequence[str] | NDArray[Any],
    confidence: float = CONFIDENCE,
    weights: ArrayLike | None = None,
) -> Interval:
    """Return the AUC with a normal interval over whole groups, without resampling.

    The influence of a row is its placement, the share of the other class that it
    beats (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837), summed by
    group. For many intervals of high coverage, which resamples reach slowly, and
    for rows that do not count alike.

    Parameters
    ----------
    labels : array-like of bool, shape (n,)
        True for positives.
    scores : array-like of float, shape (n,)
        Larger means more positive.
    groups : sequence, length n
        Galaxy of each row.
    confidence : float
        Coverage.
    weights : array-like of float, shape (n,), optional
        How much each row counts within its class; alike by default.

    Raises
    ------
    DataError
        If a class is missing or a score is not finite.
    """
    positive, score = _checked_scores(labels, scores)
    weight = np.ones(score.size) if weights is None else np.asarray(weights, dtype=np.float64).copy()
    for members in (positive, ~positive):
        weight[members] /= weight[members].sum()
    placement = np.empty(score.size)
    placement[positive] = _share_below(score[~positive], weight[~positive], score[positive])
    placement[~positive] = 1.0 - _share_below(score[positive], weight[positive], score[~positive])
    value = float(weight[positive] @ placement[positive])
    sums = np.bincount(group_index(groups), weights=weight * (placement - value))
    error = math.sqrt(float((sums**2).sum()) * sums.size / max(1, sums.size - 1))
    half = normal_quantile(confidence) * error
    return Interval(value, max(0.0, value - half), min(1.0, value + half), sums.size)


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


def _share_below(scores: FloatArray, weights: FloatArray, values: FloatArray) -> FloatArray:
    """Return the weight of the scores below each value, equal ones counted half; weights sum to 1."""
    order = np.argsort(scores, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    left, right = (np.searchsorted(scores[order], values, side=side) for side in ("left", "right"))
    return np.asarray(0.5 * (below[left] + below[right]), dtype=np.float64)


def _weighted_auc(positive: NDArray[np.bool_], weight: FloatArray, tie: NDArray[np.intp]) -> float:
    """AUC of weighted rows in rising score order; ``tie`` holds the first row of each score."""
    plus = np.add.reduceat(np.where(positive, weight, 0.0), tie)
    minus = np.add.reduceat(np.where(positive, 0.0, weight), tie)
    total = plus.sum() * minus.sum()
    if total == 0.0:
        return math.nan
    below = np.cumsum(minus) - minus
    return float((plus * (below + 0.5 * minus)).sum() / total)


def _checked_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], FloatArray]:
    positive = np.asarray(labels).astype(bool).reshape(-1)
    score = checked_sample(scores, "scores")
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
