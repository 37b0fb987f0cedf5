"""The grade of a model: operating point, recall by tier, contamination by class.

The threshold is frozen on test galaxies to which nothing was added; anchors
never touch it. Tiers are never pooled. Everything returned is a record of plain
values, from which every figure and page is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.evaluation.anchor_stamps import LOOKALIKE_TRAIN
from darkhaloscope.evaluation.scoring import join_scores, score_array, score_rows
from darkhaloscope.profiles import Profile
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.statistics import grouped_auc_interval
from darkhaloscope.statistics.rates import OperatingPoint, Rate, freeze_threshold
from darkhaloscope.training.predict import LoadedModel, load_model

RECORD_NAME = "anchor_evaluation.json"
RECORD_VERSION = 1

NOTHING_ADDED = ("paired", "unpaired", "hard_negative")
"""Control kinds that are images of real galaxies as they are: the negatives of a threshold."""

MIN_CLASS = 5
"""Objects below which a look-alike class is listed but not called a rate."""

SNR_EDGES = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 1e9)
"""Bins of footprint S/N in r for the recall of injections."""

_HISTOGRAM_BINS = 40
_RELIABILITY_BINS = 10
_ROC_POINTS = 200

FloatArray = NDArray[np.float64]


def evaluate_anchors(
    checkpoint_path: str | Path,
    shards: ShardSet,
    anchor_stamps: pa.Table,
    *,
    experiment: Experiment,
    profile: Profile,
    inputs: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Grade a checkpoint on its test split and on real objects.

    Parameters
    ----------
    checkpoint_path : path
        Weights with their PreprocessSpec.
    shards : ShardSet
        Training shards of the experiment; only the test split is read.
    anchor_stamps : pyarrow.Table
        Schema ``ANCHOR_STAMPS``; rows with a status other than ok are counted by
        reason and not scored.
    experiment : Experiment
        ``evaluation.fpr`` freezes the threshold.
    profile : Profile
        Bootstrap size.
    inputs : dict of str to str, optional
        Content hashes of what was read.

    Returns
    -------
    dict
        The record, JSON-serialisable; see ``docs/summary.md``.

    Raises
    ------
    DataError
        If the test split lacks positives or untouched controls, or no anchor
        can be scored.
    """
    model = load_model(checkpoint_path)
    test = score_test_split(model, shards)
    point = operating_point(test, experiment.evaluation.fpr)
    status = _statuses(anchor_stamps, experiment)
    scored = anchor_stamps.filter(pc.equal(status, "ok"))
    if scored.num_rows == 0:
        raise DataError(
            describe(
                "No anchor can be scored",
                field="status",
                expected="at least one ok row",
                got=_counts(status.to_pylist()),
            )
        )
    scores = score_array(
        score_rows(model, scored, id_column="anchor_id", preprocess_sha256=model.preprocess.sha256)
    )
    return {
        "version": RECORD_VERSION,
        "experiment": experiment.name,
        "checkpoint_sha256": model.sha256,
        "preprocess_sha256": model.preprocess.sha256,
        "inputs": dict(inputs or {}),
        "threshold": point.to_dict(),
        "test": grade_test(test, point, n_boot=profile.bootstrap, seed=experiment.seed),
        **grade_anchors(scored, scores, point),
        "not_scored": _counts(s for s in status.to_pylist() if s != "ok"),
        "positions_deg": np.stack(
            [anchor_stamps["ra"].to_numpy(), anchor_stamps["dec"].to_numpy()], axis=1
        ).tolist(),
    }


def score_test_split(model: LoadedModel, shards: ShardSet) -> pa.Table:
    """Score every test row of a shard set; memory is one batch.

    Returns
    -------
    pyarrow.Table
        ``task_id, host_id, control_kind, snr`` (footprint S/N in r, null for
        controls) and ``score``; no pixels.
    """
    plain = ["task_id", "host_id", "control_kind", "arc_snr_footprint_r"]
    pixels = ["status", "image", *model.preprocess.metadata_columns]
    rows, scores = [], []
    for batch in shards.iter_batches("test", list(dict.fromkeys((*plain, *pixels)))):
        table = pa.Table.from_batches([batch])
        scores.append(score_rows(model, table, id_column="task_id"))
        rows.append(table.select(plain))
    if not rows:
        raise DataError(describe("No test row in the shards", field="split", expected="test", got=0))
    joined = pa.concat_tables(rows)
    return pa.table(
        {
            "task_id": joined["task_id"],
            "host_id": joined["host_id"],
            "control_kind": joined["control_kind"],
            "snr": joined["arc_snr_footprint_r"],
            "score": score_array(join_scores(scores)),
        }
    )


def operating_point(test: pa.Table, fpr: float) -> OperatingPoint:
    """Freeze the threshold on untouched test controls, one per galaxy.

    Parameters
    ----------
    test : pyarrow.Table
        From :func:`score_test_split`.
    fpr : float
        Target false-positive rate.
    """
    controls = test.filter(pc.is_in(test["control_kind"], pa.array(NOTHING_ADDED)))
    hosts = controls["host_id"].to_pylist()
    first = sorted({host: row for row, host in reversed(list(enumerate(hosts)))}.values())
    return freeze_threshold(controls["score"].to_numpy()[first], fpr)


def grade_test(test: pa.Table, point: OperatingPoint, *, n_boot: int, seed: int) -> dict[str, Any]:
    """Grade on injections and controls of the test split.

    Returns
    -------
    dict
        AUC overall and against each control kind (bootstrap over hosts), recall
        of injections overall and by S/N, false-positive rate by control kind,
        ROC curve, score histograms and reliability.

    Raises
    ------
    DataError
        If a class is missing.
    """
    kinds = np.array(test["control_kind"].to_pylist())
    hosts = np.array(test["host_id"].to_pylist())
    scores = test["score"].to_numpy()
    positive = kinds == "positive"
    if not positive.any() or positive.all():
        raise DataError(
            describe("One class in the test split", expected="positives and controls", got=_counts(kinds))
        )
    others = sorted(set(kinds) - {"positive"})
    above = point.above(scores)
    by_kind = {}
    for kind in others:
        chosen = positive | (kinds == kind)
        area = grouped_auc_interval(positive[chosen], scores[chosen], hosts[chosen], n_boot, seed)
        by_kind[kind] = {
            "auc": area.to_dict(),
            "fpr": _host_rate(above[kinds == kind], hosts[kinds == kind]).to_dict(),
        }
    snr = np.array([np.nan if v is None else v for v in test["snr"].to_pylist()], dtype=np.float64)
    return {
        "auc": grouped_auc_interval(positive, scores, hosts, n_boot, seed).to_dict(),
        "recall": _host_rate(above[positive], hosts[positive]).to_dict(),
        "by_control_kind": by_kind,
        "recall_by_snr": [
            {"low": low, "high": high, **Rate.exact(int(above[rows].sum()), int(rows.sum())).to_dict()}
            for low, high in pairwise(SNR_EDGES)
            for rows in [positive & (snr >= low) & (snr < high)]
        ],
        "roc": _roc(positive, scores),
        "histogram": _histograms(kinds, scores),
        "reliability": _reliability(positive, scores),
    }


def grade_anchors(anchors: pa.Table, scores: FloatArray, point: OperatingPoint) -> dict[str, Any]:
    """Grade on real objects at the frozen threshold.

    Parameters
    ----------
    anchors : pyarrow.Table
        ``ok`` rows of schema ``ANCHOR_STAMPS``.
    scores : ndarray of float64, shape (n,)
        Their scores.
    point : OperatingPoint
        Frozen on controls.

    Returns
    -------
    dict
        ``recall`` by tier, ``recall_by_discovery``, ``contamination`` by class
        (with ``enough`` false below ``MIN_CLASS`` objects) and ``objects``, one
        entry each, in rising ``anchor_id``.
    """
    above = point.above(scores)
    kinds = np.array(anchors["kind"].to_pylist())
    tiers = np.array(anchors["tier"].to_pylist())
    classes = np.array(anchors["object_class"].to_pylist())
    discovery = np.array(anchors["discovery"].to_pylist())
    lens = kinds == "lens"

    def rate(rows: NDArray[np.bool_]) -> dict[str, Any]:
        return Rate.exact(int(above[rows].sum()), int(rows.sum())).to_dict()

    contamination = {
        name: {
            **rate(~lens & (classes == name)),
            "enough": bool((~lens & (classes == name)).sum() >= MIN_CLASS),
        }
        for name in sorted(set(classes[~lens]))
    }
    columns = ("anchor_id", "name", "kind", "object_class", "discovery", "tier", "ra", "dec", "arc_snr_r")
    objects = [
        {**row, "score": float(scores[index]), "above": bool(above[index])}
        for index, row in enumerate(anchors.select(list(columns)).to_pylist())
    ]
    return {
        "recall": {tier: rate(lens & (tiers == tier)) for tier in ("A", "B")},
        "recall_by_discovery": {d: rate(lens & (discovery == d)) for d in sorted(set(discovery[lens]))},
        "contamination": contamination,
        "contamination_all": rate(~lens),
        "objects": sorted(objects, key=lambda item: str(item["anchor_id"])),
    }


def grade_numbers(record: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of an evaluation record that a dashboard shows, each with its limits."""
    numbers: dict[str, Any] = {}
    rates = {f"recall_{tier}": rate for tier, rate in record["recall"].items()}
    rates |= {"contamination": record["contamination_all"], "recall_injected": record["test"]["recall"]}
    for name, rate in (*rates.items(), ("auc", record["test"]["auc"])):
        if rate["value"] is not None:
            numbers |= {name: rate["value"], f"{name}_lower": rate["lower"], f"{name}_upper": rate["upper"]}
        numbers[f"{name}_n"] = rate["n"]
    return {**numbers, "threshold": record["threshold"]["score"], "claim": record["threshold"]["statement"]}


def _statuses(anchor_stamps: pa.Table, experiment: Experiment) -> pa.Array:
    """Return the status of every object for this experiment: no grading on what it was trained on."""
    trained_on = experiment.controls.hard_negatives
    return pa.array(
        [
            "trained_on" if trained_on and status == "ok" and tier == LOOKALIKE_TRAIN else status
            for status, tier in zip(
                anchor_stamps["status"].to_pylist(), anchor_stamps["tier"].to_pylist(), strict=True
            )
        ]
    )


def _host_rate(above: NDArray[np.bool_], hosts: NDArray[Any]) -> Rate:
    """Count each host once, by its first row: rows of one galaxy are not independent."""
    _, first = np.unique(hosts, return_index=True)
    return Rate.exact(int(above[first].sum()), first.size)


def _roc(positive: NDArray[np.bool_], scores: FloatArray) -> dict[str, list[float]]:
    order = np.argsort(-scores, kind="stable")
    ranked, truth = scores[order], positive[order]
    # A point of the curve is where the score changes: rows that tie move together.
    last = np.flatnonzero(np.append(np.diff(ranked) != 0.0, True))
    tpr = np.concatenate([[0.0], np.cumsum(truth)[last] / truth.sum()])
    fpr = np.concatenate([[0.0], np.cumsum(~truth)[last] / (~truth).sum()])
    kept = np.unique(np.linspace(0, fpr.size - 1, _ROC_POINTS).round().astype(int))
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist()}


def _histograms(kinds: NDArray[np.str_], scores: FloatArray) -> dict[str, Any]:
    edges = np.linspace(0.0, 1.0, _HISTOGRAM_BINS + 1)
    return {
        "edges": edges.tolist(),
        "counts": {
            str(kind): np.histogram(scores[kinds == kind], bins=edges)[0].tolist()
            for kind in sorted(set(kinds))
        },
    }


def _reliability(positive: NDArray[np.bool_], scores: FloatArray) -> dict[str, Any]:
    """Share of positives against mean score in bins of equal width, and the expected calibration error."""
    index = np.minimum((scores * _RELIABILITY_BINS).astype(int), _RELIABILITY_BINS - 1)
    bins = []
    for number in range(_RELIABILITY_BINS):
        rows = index == number
        mean = float(scores[rows].mean()) if rows.any() else None
        bins.append({"mean_score": mean, **Rate.exact(int(positive[rows].sum()), int(rows.sum())).to_dict()})
    error = sum(
        item["n"] * abs(item["value"] - item["mean_score"]) for item in bins if item["mean_score"] is not None
    )
    return {"bins": bins, "ece": float(error / scores.size), "prior": float(positive.mean())}


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[str(value)] = counts.get(str(value), 0) + 1
    return dict(sorted(counts.items()))
