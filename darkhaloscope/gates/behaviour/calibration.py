"""B9: is a score of 0.3 a lens three times in ten, at the prior the model was trained at.

Probabilities hold at a prior only, so the classes are weighted to the share of
positives among the training rows, which is the prior that a checkpoint declares.
An expected calibration error is a sum of absolute values and never zero in a
sample, so its interval is taken from how far resamples lie from the sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.behaviour.scored import FloatArray, Scored
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import CONFIDENCE, Interval, group_index, mean_interval
from darkhaloscope.streams import generator

CONDITIONS = ("psf_fwhm_r_arcsec", "psfdepth_r_mag", "host_mag_r")
_MOST_BINS = 10
_ROWS_PER_BIN = 80


def measure_calibration(scored: Scored, *, prior: float, n_boot: int, seed: int) -> Measured:
    """Measure expected calibration error, Brier score and reliability by condition (B9).

    Parameters
    ----------
    scored : Scored
        Rows of the validation split.
    prior : float
        Share of positives at which a score is to be a probability.
    n_boot : int
        Resamples of galaxies.
    seed : int
        Key of the resamples.

    Returns
    -------
    dict
        ``ece`` (interval), ``brier``, ``brier_of_prior`` (the score of one who
        says the prior of every stamp), ``bins`` (mean score, share of lenses,
        weight) and ``conditions``: by third of each, share minus mean score.
    """
    positive = scored.positive
    counts = {"positives": scored.galaxies_of(positive), "controls": scored.galaxies_of(~positive)}
    measured: Measured = {"galaxies": min(counts.values()), "prior": prior, **counts}
    if measured["galaxies"] < 2:
        return measured
    weight = np.where(positive, prior / positive.sum(), (1.0 - prior) / (~positive).sum())
    bins = max(2, min(_MOST_BINS, len(scored.p) // _ROWS_PER_BIN))
    edges = np.quantile(scored.p, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    place = np.searchsorted(edges, scored.p, side="right")
    return {
        **measured,
        "ece": _ece_interval(scored, weight, place, bins, n_boot, seed).to_dict(),
        "brier": float(weight @ (scored.p - positive) ** 2),
        "brier_of_prior": prior * (1.0 - prior),
        "bins": _reliability(scored.p, positive, weight, place, bins),
        "conditions": _by_condition(scored, weight),
    }


def judge_calibration(measured: Measured, limits: Thresholds) -> Verdict:
    """Say whether scores are probabilities; a rank is enough to find lenses, so this informs (B9)."""
    least, limit = limits.get("B", "min_galaxies"), limits.get("B9", "max_ece")
    n = measured["galaxies"]
    if n < least.value:
        return failed(least, f"{n} galaxies of a class; {least.value:g} needed", measured, n=n)
    ece = Interval(**measured["ece"])
    reason = (
        f"calibration error {ece} at a prior of {measured['prior']:.3f}, Brier score {measured['brier']:.3f}"
    )
    return (failed if ece.above(limit.value) else passed)(limit, reason, measured).measured(ece)


def _ece_interval(
    scored: Scored, weight: FloatArray, place: NDArray[np.intp], bins: int, n_boot: int, seed: int
) -> Interval:
    """Return the calibration error with limits by the triangle inequality, over galaxies."""
    gap = weight * (scored.positive - scored.p)
    group = group_index(scored.galaxies)
    n = int(group.max()) + 1
    by_group = np.zeros((n, bins))
    np.add.at(by_group, (group, place), gap)
    total = by_group.sum(axis=0)
    rng = generator(seed, "calibration_bootstrap", f"{n}:{bins}")
    distance = np.empty(n_boot)
    for i in range(n_boot):
        drawn = np.bincount(rng.integers(0, n, n), minlength=n)
        distance[i] = np.abs(drawn @ by_group - total).sum()
    radius, value = float(np.quantile(distance, CONFIDENCE)), float(np.abs(total).sum())
    return Interval(value, max(0.0, value - radius), min(1.0, value + radius), n)


def _reliability(
    p: FloatArray, positive: NDArray[np.bool_], weight: FloatArray, place: NDArray[np.intp], bins: int
) -> list[Measured]:
    mass, said, found = (
        np.bincount(place, weights=values, minlength=bins)
        for values in (weight, weight * p, weight * positive)
    )
    return [
        {"weight": float(m), "mean_p": float(s / m), "share": float(f / m)}
        for m, s, f in zip(mass, said, found, strict=True)
        if m > 0.0
    ]


def _by_condition(scored: Scored, weight: FloatArray) -> Measured:
    error = (scored.positive - scored.p) * weight * len(weight)
    confidence = simultaneous(3 * len(CONDITIONS))
    out: Measured = {}
    for name in CONDITIONS:
        values = scored.column(name)
        third = np.searchsorted(np.nanquantile(values, [1 / 3, 2 / 3]), values, side="right")
        out[name] = [
            {
                "mean": float(values[third == t].mean()),
                **mean_interval(error[third == t], scored.galaxies[third == t], confidence).to_dict(),
            }
            for t in range(3)
            if (third == t).sum() >= 2
        ]
    return out
