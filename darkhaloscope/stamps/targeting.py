"""Which groups of stamps reach the shards: the S/N target, applied to whole groups.

A group is a positive with the controls made for it; it stays or goes as one, so
no cut can favour a class. The measured S/N of the positive decides. Where the
flux was chosen for the target (``flux_target``) nothing is left to reject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.config import SnrTargeting
from darkhaloscope.stamps.snr_target import declared_target
from darkhaloscope.statistics import total_variation

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MAX_VARIATION = 0.05
"""Total variation distance from the target that thinning may leave, as gate Q7 allows.

To it comes the distance that a sample of that size shows though it is drawn
from the target: sqrt((bins - 1) / (2 pi n)). Small samples need not be flatter.
"""

KEPT = "kept"


@dataclass(frozen=True)
class Target:
    """What targeting decided for the groups of one split.

    Parameters
    ----------
    outcome : ndarray of str, shape (n,)
        ``kept``, ``snr_low``, ``snr_high`` or ``snr_thinned``.
    weight : ndarray, shape (n,)
        1 / probability of a group like this one to be kept; what lies outside
        [low, high] is out of the population, not thinned.
    variation : float
        Total variation distance of what is kept from the declared target over
        its bins; NaN where none is declared.
    """

    outcome: NDArray[np.str_]
    weight: FloatArray
    variation: float

    @property
    def kept(self) -> BoolArray:
        """Groups that stay."""
        return np.asarray(self.outcome == KEPT, dtype=bool)


def target_groups(targeting: SnrTargeting, snr: FloatArray, ids: NDArray[np.str_], seed: int) -> Target:
    """Decide which groups of a split stay.

    Parameters
    ----------
    targeting : SnrTargeting
        Mode and limits.
    snr : ndarray of float64, shape (n,)
        Footprint S/N in r of each group's positive.
    ids : ndarray of str, shape (n,)
        Pair ids: the key of the thinning.
    seed : int
        Seed of the experiment.

    Returns
    -------
    Target
    """
    outcome = np.full(len(snr), KEPT, dtype="<U11")
    weight = np.ones(len(snr))
    target = declared_target(targeting)
    if targeting.mode in {"floor", "log_uniform"}:
        outcome[snr < targeting.low] = "snr_low"
        outcome[snr > targeting.high] = "snr_high"
    if targeting.mode == "log_uniform" and target is not None:
        inside = np.flatnonzero(outcome == KEPT)
        bins = np.clip(np.searchsorted(target.edges, snr[inside], side="right"), 1, len(target.shares)) - 1
        counts = np.bincount(bins, minlength=len(target.shares))
        limit = _largest_even_limit(counts)
        order = np.argsort(streams.uniform(seed, "snr_thinning", ids[inside]), kind="stable")
        for number in np.flatnonzero(counts > limit):
            members = order[bins[order] == number]
            weight[inside[members]] = counts[number] / limit
            outcome[inside[members[limit:]]] = "snr_thinned"
    variation = float("nan") if target is None else target.variation(snr[outcome == KEPT])
    return Target(outcome, weight, variation)


def thin_evenly(ids: NDArray[np.str_], share: float, seed: int) -> BoolArray:
    """Keep a share of rows that belong to no positive, by id hash.

    Parameters
    ----------
    ids : ndarray of str, shape (n,)
        Task ids.
    share : float
        Share of groups that were kept in the same split.
    seed : int
        Seed of the experiment.
    """
    kept = np.zeros(len(ids), dtype=bool)
    order = np.argsort(streams.uniform(seed, "snr_thinning", ids), kind="stable")
    kept[order[: round(share * len(ids))]] = True
    return kept


def _largest_even_limit(counts: NDArray[np.intp]) -> int:
    """Return the largest number per bin that stays within the tolerated distance, or the best there is."""
    limits = np.arange(1, max(int(counts.max(initial=0)), 1) + 1)
    kept = np.minimum(counts[None, :], limits[:, None])
    even = np.full(len(counts), 1.0 / len(counts))
    distance = np.array([total_variation(row, even) for row in kept])
    scatter = np.sqrt((len(counts) - 1) / (2.0 * np.pi * np.maximum(kept.sum(axis=1), 1)))
    within = distance <= np.maximum(MAX_VARIATION + scatter, distance.min())
    return int(limits[within].max())
