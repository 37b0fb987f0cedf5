"""A3: can a straight line through what the model sees tell injected lenses from real ones.

Recovery of injections is completeness only as far as the injections are like
real lenses. The probe reads the features that the model's last layer reads;
what it can tell, the model can use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.evaluation.selection import NOT_VALIDATED
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.result import GateReport, GateStatus, Verdict
from darkhaloscope.gates.shortcut.probe import logistic_scores
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval, grouped_auc_interval

FloatArray = NDArray[np.float64]

A3 = "A3"

NOT_MEANINGFUL = "completeness is not yet meaningful"
"""Printed on every map of recovered injections that a probe tells from real lenses."""

_BINS = 30


def measure_realism(
    injected: FloatArray,
    injected_galaxies: NDArray[Any],
    real: dict[str, tuple[FloatArray, NDArray[Any]]],
    *,
    least: int,
    n_boot: int,
    seed: int,
) -> Measured:
    """Cross-validate a logistic regression on penultimate features, tier by tier.

    Parameters
    ----------
    injected : ndarray, shape (n, k)
        Features of test injections.
    injected_galaxies : ndarray, shape (n,)
        Their hosts; folds and resamples hold whole galaxies.
    real : dict of str to (ndarray, shape (m, k); ndarray, shape (m,))
        Tier to features and galaxies of real lenses.
    least : int
        Real lenses below which a tier is counted and not probed.
    n_boot, seed : int
        Of the bootstrap and the folds.

    Returns
    -------
    dict
        ``injected`` and per tier in ``tiers``: ``n``, and where probed ``auc``
        and ``histogram`` of the out-of-fold scores.
    """
    tiers: dict[str, Any] = {}
    for tier, (features, galaxies) in real.items():
        tiers[tier] = {"n": int(np.unique(galaxies).size)}
        if tiers[tier]["n"] < least or not len(injected):
            continue
        labels = np.repeat([True, False], [len(injected), len(features)])
        groups = np.concatenate([injected_galaxies, galaxies]).astype(str)
        together = np.concatenate([injected, features])
        varies = together.min(axis=0) < together.max(axis=0)
        if not varies.any():
            tiers[tier]["constant"] = True
            continue
        scores = logistic_scores(together[:, varies], labels, groups, seed)
        tiers[tier]["auc"] = grouped_auc_interval(labels, scores, groups, n_boot, seed).to_dict()
        low, high = np.quantile(scores, [0.005, 0.995])
        edges = np.linspace(float(low), float(high), _BINS + 1)
        limited = np.clip(scores, edges[0], edges[-1])
        tiers[tier]["histogram"] = {
            "edges": edges.tolist(),
            "injected": np.histogram(limited[labels], bins=edges)[0].tolist(),
            "real": np.histogram(limited[~labels], bins=edges)[0].tolist(),
        }
    return {
        "injected": int(np.unique(injected_galaxies).size),
        "features": int(injected.shape[1]),
        "tiers": tiers,
    }


def judge_realism(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when injections are told from Tier A beyond noise, or too few lenses were there to say."""
    limit, least = limits.get(A3, "max_auc"), limits.get(A3, "min_lenses")
    tier = measured["tiers"].get("A", {"n": 0})
    if tier["n"] < least.value:
        return failed(least, f"{tier['n']} Tier A lenses; {least.value:g} needed", measured, n=tier["n"])
    if "auc" not in tier:
        return failed(limit, "no test injection, or every feature is constant: nothing was tested", measured)
    area = replace(Interval(**tier["auc"]), n=tier["n"])
    reason = (
        f"a linear probe tells {measured['injected']} test injections from {tier['n']} Tier A lenses"
        f" with AUC {area.value:.3f} [{area.lower:.3f}, {area.upper:.3f}]"
    )
    return (failed if area.above(limit.value) else passed)(limit, reason, measured).measured(area)


def map_validity(report: GateReport | None) -> dict[str, Any]:
    """Return what a map of recovered injections may claim.

    Parameters
    ----------
    report : GateReport or None
        Gates of the anchor evaluation whose threshold the map uses.

    Returns
    -------
    dict
        ``validated`` and ``statement``. Validated only where the whole interval
        of the AUC lies below the limit; above the limit the statement says that
        completeness is not yet meaningful, and an AUC that cannot be had or
        straddles the limit claims nothing.
    """
    found = report.of(A3) if report is not None else []
    if not found:
        return {"validated": False, "statement": NOT_VALIDATED}
    result = found[0]
    if result.value is None or result.threshold is None or result.upper is None:
        return {"validated": False, "statement": f"{_RECOVERY}; not validated: {result.reason}"}
    if result.value > result.threshold:
        return {"validated": False, "statement": f"{NOT_MEANINGFUL}: {result.reason}"}
    limit = f"the limit {result.threshold:g}"
    if result.status is not GateStatus.PASS or result.upper > result.threshold:
        told = f"{_RECOVERY}; not validated: {result.reason}, not below {limit} beyond its interval"
        return {"validated": False, "statement": told}
    return {"validated": True, "statement": f"{_RECOVERY}; {result.reason}, below {limit}"}


_RECOVERY = "recovery of injections"
