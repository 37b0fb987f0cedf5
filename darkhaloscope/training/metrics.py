"""How well a network does on validation: numbers with intervals over galaxies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.statistics import auc, grouped_auc_interval

POSITIVE = "positive"
"""Control kind of the rows that are lenses."""


def validation_metrics(
    logits: NDArray[np.float64],
    labels: NDArray[np.float32],
    host_ids: NDArray[Any],
    control_kinds: NDArray[Any],
    *,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Measure scores against labels on all rows given.

    Parameters
    ----------
    logits : ndarray of float, shape (n,)
        Scores before the sigmoid.
    labels : ndarray of float, shape (n,)
        1 for a lens, 0 for a control; both occur.
    host_ids : ndarray of str, shape (n,)
        Galaxies: the resampling unit of the interval.
    control_kinds : ndarray of str, shape (n,)
        Kind of every row.
    bootstrap : int
        Resamples.
    seed : int
        Key of the resampling.

    Returns
    -------
    dict
        ``loss`` (mean binary cross-entropy in nats), ``auc`` (value, lower,
        upper, n galaxies), ``average_precision``, ``rows``, ``positives`` and
        ``auc_by_kind``: the AUC of positives against each control kind.

    Raises
    ------
    DataError
        If a class is missing or a logit is not finite.
    """
    from sklearn.metrics import average_precision_score

    positive = labels > 0.5
    interval = grouped_auc_interval(positive, logits, host_ids, bootstrap, seed)
    by_kind = {}
    for kind in sorted(set(control_kinds.tolist()) - {POSITIVE}):
        rows = positive | (control_kinds == kind)
        by_kind[kind] = auc(positive[rows], logits[rows])
    return {
        "loss": cross_entropy(logits, labels),
        "auc": interval.to_dict(),
        "average_precision": float(average_precision_score(positive, logits)),
        "rows": len(labels),
        "positives": int(positive.sum()),
        "auc_by_kind": by_kind,
    }


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.float32]) -> float:
    """Return the mean binary cross-entropy in nats, computed without overflow."""
    signed = np.where(labels > 0.5, -logits, logits)
    return float(np.logaddexp(0.0, signed).mean())


def declared_metric(metrics: dict[str, Any], name: str) -> float:
    """Return the metric that picks the checkpoint, larger is better.

    Parameters
    ----------
    metrics : dict
        From :func:`validation_metrics`.
    name : str
        ``auc``, ``average_precision`` or ``loss`` (returned with its sign changed).
    """
    if name == "loss":
        return -float(metrics["loss"])
    if name == "auc":
        return float(metrics["auc"]["value"])
    return float(metrics[name])
