"""How well a few numbers tell positives from each control kind, and the verdict on it.

One measure and one judge for S2, S2p, S4 and S5, which differ in what the
classifier is shown and in their limits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.features import MATCHED, Sample
from darkhaloscope.gates.judging import Measured, failed, not_applicable, passed
from darkhaloscope.gates.result import GateStatus, Verdict
from darkhaloscope.gates.shortcut.classes import (
    by_kind,
    column,
    galaxies_of,
    hosts_of,
    kinds_of,
    pair,
    starved,
)
from darkhaloscope.gates.shortcut.probe import logistic_scores
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval, grouped_auc_interval

FloatArray = NDArray[np.float64]

_ROC_POINTS = 101


def measure_classifier(sample: Sample, features: FloatArray, *, seed: int, n_boot: int) -> Measured:
    """Cross-validate a logistic regression against every control kind.

    Parameters
    ----------
    sample : Sample
        Classes and galaxies.
    features : ndarray, shape (n, k)
        What the classifier is shown; constant columns are left out.
    seed : int
        Key of folds and resamples.
    n_boot : int
        Resamples of galaxies behind each interval.

    Returns
    -------
    dict
        ``auc`` with interval and ``roc`` per kind, ``galaxies``, number of
        ``features`` and of ``constant_features``.
    """
    measured: Measured = {"auc": {}, "roc": {}, "galaxies": galaxies_of(sample)}
    varies = features.min(axis=0) < features.max(axis=0)
    measured["constant_features"] = int((~varies).sum())
    measured["features"] = int(varies.sum())
    if not varies.any():
        return measured
    for kind in kinds_of(sample):
        a, b = pair(sample, kind)
        rows = np.flatnonzero(a | b)
        if a.sum() < 2 or b.sum() < 2:
            continue
        labels, galaxies = a[rows], hosts_of(sample, rows)
        scores = logistic_scores(features[rows][:, varies], labels, galaxies, seed)
        measured["auc"][kind] = grouped_auc_interval(labels, scores, galaxies, n_boot, seed).to_dict()
        measured["roc"][kind] = roc_curve(labels, scores)
    return measured


def judge_classifier(
    measured: Measured, limits: Thresholds, *, gate: str, what: str, nothing_added: bool
) -> Verdict:
    """Fail when what the classifier was shown tells positives from a control kind.

    Parameters
    ----------
    measured : dict
        Of :func:`measure_classifier`.
    limits : Thresholds
        Limits of ``gate``.
    gate : str
        Gate id.
    what : str
        What the classifier was shown, for the reason.
    nothing_added : bool
        Whether controls without added light are judged, or inform.
    """
    starving = starved(measured, limits)
    if starving is not None:
        return starving
    strict = limits.get(gate, "max_auc_matched_light")
    wide = limits.get(gate, "max_auc_nothing_added") if nothing_added else None
    if measured["features"] == 0:
        return failed(strict, "every feature is constant: nothing was tested", measured)
    judged, columns = [], {}
    for kind, raw in measured["auc"].items():
        value, held = Interval(**raw), strict if kind == MATCHED else wide
        if held is None:
            columns[kind] = column(value, None, GateStatus.NOT_APPLICABLE)
            continue
        status = GateStatus.FAIL if value.above(held.value) else GateStatus.PASS
        columns[kind] = column(value, held, status)
        judged.append((value.lower - held.value, held, kind, value))
    told = {**measured, "by_kind": by_kind(columns)}
    if not judged:
        informs = "; ".join(f"{kind} {Interval(**raw)}" for kind, raw in measured["auc"].items())
        return not_applicable(f"no {MATCHED} controls; {what} informs: AUC {informs}", told)
    excess, limit, kind, value = max(judged, key=lambda item: item[0])
    reason = f"{what} tells positives from {kind} with AUC {value}"
    return (failed if excess > 0.0 else passed)(limit, reason, told).measured(value)


def worse(first: Verdict, second: Verdict | None) -> Verdict:
    """Return the failing one of two verdicts on one measurement, the first where neither or both fail."""
    if second is None or first.status is GateStatus.FAIL or second.status is not GateStatus.FAIL:
        return first
    return replace(second, values=first.values)


def roc_curve(labels: NDArray[np.bool_], scores: FloatArray) -> dict[str, list[float]]:
    """Return the ROC curve at fixed false-positive rates, for the figure."""
    rates = np.linspace(0.0, 1.0, _ROC_POINTS)
    threshold = np.quantile(scores[~labels], 1.0 - rates)
    ranked = np.sort(scores[labels])
    above: Any = 1.0 - np.searchsorted(ranked, threshold, side="left") / len(ranked)
    return {"fpr": rates.tolist(), "tpr": above.tolist()}
