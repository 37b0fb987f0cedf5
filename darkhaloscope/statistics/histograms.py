"""How far a histogram is from declared shares, with limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.statistics.intervals import CONFIDENCE, Interval
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

_RESAMPLES = 2000


def total_variation(counts: ArrayLike, shares: ArrayLike) -> float:
    """Return half the sum of absolute differences between a histogram's shares and given ones.

    0 for equal shares, 1 for disjoint ones and for an empty histogram.

    Parameters
    ----------
    counts : array_like, shape (k,)
        The histogram.
    shares : array_like, shape (k,)
        What it is compared with; sums to 1.
    """
    observed, wanted = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    total = observed.sum()
    return 1.0 if total == 0 else float(0.5 * np.abs(observed / total - wanted).sum())


def total_variation_interval(
    counts: ArrayLike, shares: ArrayLike, *, seed: int, confidence: float = CONFIDENCE
) -> Interval:
    """Return the total variation distance of a population from given shares, from a sample of it.

    The distance of a sample is too large by the sample's own scatter. By the
    triangle inequality the population's lies within r of it, r being the
    distance between sample and population; its quantile is taken from
    multinomial resamples of the sample.

    Parameters
    ----------
    counts : array_like of int, shape (k,)
        Independent units per bin.
    shares : array_like, shape (k,)
        Declared shares; sum to 1.
    seed : int
        Seed of the resamples.
    confidence : float
        Coverage.

    Raises
    ------
    DataError
        If there are no units.
    """
    observed = np.asarray(counts, dtype=np.int64)
    n = int(observed.sum())
    if n == 0:
        raise DataError(describe("Histogram of nothing", expected="at least one unit", got=0))
    rng = generator(seed, "total_variation", f"{n}:{len(observed)}")
    resampled = rng.multinomial(n, observed / n, size=_RESAMPLES) / n
    radius = float(np.quantile(0.5 * np.abs(resampled - observed / n).sum(axis=1), confidence))
    value = total_variation(observed, shares)
    return Interval(value, max(0.0, value - radius), min(1.0, value + radius), n)
