"""The summary of a run: every number a person or a later run asks for, in one JSON file.

It is collected from the records of committed artefacts; nothing is measured
here but the scores of cutouts the user asked for. The layout is versioned and
documented in ``docs/summary.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore, write_json
from darkhaloscope.config import Experiment
from darkhaloscope.errors import ArtifactError, describe
from darkhaloscope.evaluation import anchor_evaluation, selection
from darkhaloscope.evaluation.comparison import compare_models
from darkhaloscope.evaluation.cutouts import read_cutouts, score_cutouts
from darkhaloscope.gates.physics.bank import judged_for
from darkhaloscope.gates.registry import COSMOS_BANK
from darkhaloscope.gates.result import GateReport, GateStatus
from darkhaloscope.profiles import Profile
from darkhaloscope.reports.gates import JSON_NAME
from darkhaloscope.statistics.rates import Rate
from darkhaloscope.survey.release import get_release
from darkhaloscope.training.checkpoint import CHECKPOINT_NAME
from darkhaloscope.training.checkpoint import RECORD_NAME as TRAINING_RECORD_NAME
from darkhaloscope.training.predict import load_model

SCHEMA = "dhs-summary"
VERSION = 1
"""Raised when a key changes its meaning, type or unit, or goes away."""

_GATE_FIELDS = (
    "gate",
    "title",
    "artefact",
    "artefact_hash",
    "status",
    "blocking",
    "view",
    "value",
    "lower",
    "upper",
    "n_effective",
    "threshold",
    "threshold_source",
    "reason",
    "seconds",
    "figure",
)


def build_summary(
    store: ArtifactStore,
    experiments: Sequence[Experiment],
    sizes: Profile,
    *,
    steps: Sequence[Mapping[str, Any]],
    seconds: float,
    cutouts: Path | None = None,
) -> dict[str, Any]:
    """Collect the records of a run.

    An experiment that stopped early has what it reached: missing parts are
    null and ``state`` says how far it came.

    Parameters
    ----------
    store : ArtifactStore
        Committed artefacts.
    experiments : sequence of Experiment
        In the order they are shown.
    sizes : Profile
        Sizes of the run.
    steps : sequence of dict
        ``job, partition, success, seconds, peak_mb, error`` per job run.
    seconds : float
        Wall time of the whole run.
    cutouts : path, optional
        Folder of real cutouts to score with every checkpoint.

    Returns
    -------
    dict
        Version 1 of the summary.
    """
    collected = {e.name: _experiment(store, e, sizes, cutouts) for e in experiments}
    evaluations = {n: c["evaluation"] for n, c in collected.items() if c["evaluation"] is not None}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "profile": sizes.as_dict(),
        "seconds": float(seconds),
        "peak_mb": max((float(step["peak_mb"]) for step in steps), default=0.0),
        "steps": [dict(step) for step in steps],
        "order": [experiment.name for experiment in experiments],
        "sky": _sky(store),
        "sources": _of(store, "cosmos_bank"),
        "anchors": {"catalog": _of(store, "anchor_catalog"), "stamps": _of(store, "anchor_stamps")},
        "experiments": collected,
        "comparison": compare_models(
            evaluations,
            {experiment.name: experiment for experiment in experiments},
            {name: one["gate_counts"] for name, one in collected.items()},
            {name: _waivers(one["gates"]) for name, one in collected.items()},
        ),
    }


def write_summary(summary: Mapping[str, Any], path: str | Path) -> Path:
    """Write the summary as JSON."""
    write_json(path, dict(summary))
    return Path(path)


def read_summary(path: str | Path) -> dict[str, Any]:
    """Read a summary of this version.

    Raises
    ------
    ArtifactError
        If the file is no summary or of another version.
    """
    try:
        summary: dict[str, Any] = json.loads(Path(path).read_text())
        found = (summary["schema"], summary["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(describe("Not a summary", file=path, got=repr(error))) from error
    if found != (SCHEMA, VERSION):
        raise ArtifactError(
            describe("Summary of another version", file=path, expected=f"{SCHEMA}/{VERSION}", got=found)
        )
    return summary


def headline(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return column titles and one row of texts per experiment: the first table of a report."""
    columns = ["experiment", "state", "gates", "AUC on test", "recall A", "recall B", "contamination"]
    rows = []
    for name in summary["order"]:
        one = summary["experiments"][name]
        graded = one["evaluation"]
        cells = [name, one["state"], gate_text(one["gate_counts"])]
        if graded is None:
            cells += ["-"] * 4
        else:
            area = graded["test"]["auc"]
            cells += [
                f"{area['value']:.3f} [{area['lower']:.3f}, {area['upper']:.3f}]",
                str(Rate.from_dict(graded["recall"]["A"])),
                str(Rate.from_dict(graded["recall"]["B"])),
                str(Rate.from_dict(graded["contamination_all"])),
            ]
        rows.append(cells)
    return columns, rows


def gate_text(counts: Mapping[str, int]) -> str:
    """Return the verdicts in words, worst first: ``2 failed, 15 passed``."""
    words = {"fail": "failed", "deferred": "deferred", "waived": "waived", "pass": "passed"}
    told = [f"{counts[status]} {word}" for status, word in words.items() if counts.get(status)]
    return ", ".join(told) or "not run"


def _experiment(
    store: ArtifactStore, experiment: Experiment, sizes: Profile, cutouts: Path | None
) -> dict[str, Any]:
    name = experiment.name
    tiles = {
        kind: {tile: store.record(kind, name, tile) for tile in store.partitions(kind, name)}
        for kind in ("manifest", "injected_stamps")
    }
    shards = _record(store, "training_shards", name)
    checkpoint = _record(store, "checkpoint", name)
    reports = {
        kind: read_gate_report(store, kind, name)
        for kind in ("gate_report", "model_gate_report", "anchor_evaluation")
        if store.has(kind, name)
    }
    pointing = read_gate_report(store, "anchor_stamps") if store.has("anchor_stamps") else None
    evaluation = _json(store, anchor_evaluation.RECORD_NAME, "anchor_evaluation", name)
    gates = [
        _gate(kind, result)
        for kind, report in reports.items()
        if report
        for result in report.to_dict()["results"]
    ]
    bank = read_gate_report(store, COSMOS_BANK) if store.has(COSMOS_BANK) else None
    if bank is not None:
        bank = judged_for(bank, experiment.gates, datetime.now(tz=UTC).date())
        gates += [_gate(COSMOS_BANK, result) for result in bank.to_dict()["results"]]
    if pointing is not None:
        pointing = pointing.with_waivers(experiment.gates, datetime.now(tz=UTC).date())
        gates += [_gate("anchor_stamps", result) for result in pointing.to_dict()["results"]]
    hashes = {
        kind: {tile: record.content_hash for tile, record in records.items()}
        for kind, records in tiles.items()
    }
    return {
        "title": experiment.title,
        "description": experiment.description,
        "config": experiment.model_dump(mode="json"),
        "config_hash": experiment.config_hash(sizes),
        "dataset_hash": experiment.dataset_hash(sizes),
        "state": _state(shards, reports.get("gate_report"), checkpoint, evaluation),
        "rows": _rows(store, shards),
        "statuses": _statuses(tiles["injected_stamps"].values()),
        "shards": None if shards is None else shards.summary,
        "gates": gates,
        "gate_counts": gate_counts(gates),
        "training": _json(store, TRAINING_RECORD_NAME, "checkpoint", name),
        "evaluation": evaluation,
        "selection": _json(store, selection.RECORD_NAME, "selection_function", name),
        "cutouts": _cutouts(store, checkpoint, experiment, sizes, cutouts),
        "hashes": {
            **hashes,
            "training_shards": None if shards is None else shards.content_hash,
            "checkpoint": None if checkpoint is None else checkpoint.content_hash,
        },
        "resources": _resources(
            store, name, [*tiles["manifest"].values(), *tiles["injected_stamps"].values()]
        ),
    }


def _resources(
    store: ArtifactStore, name: str, tile_records: Sequence[ArtifactRecord]
) -> dict[str, dict[str, Any]]:
    """Return seconds, peak memory and rows of every artefact of an experiment."""
    kinds = (
        "training_shards",
        "gate_report",
        "checkpoint",
        "model_gate_report",
        "anchor_evaluation",
        "selection_function",
    )
    records = [*tile_records, *(r for kind in kinds if (r := _record(store, kind, name)) is not None)]
    return {
        record.key: {
            "seconds": record.summary.get("stage_seconds"),
            "peak_mb": record.summary.get("stage_peak_mb"),
            "rows": record.rows,
        }
        for record in records
    }


def gate_counts(gates: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count gates by their deciding status: the worst blocking view of each.

    A view that only informs never decides, so a gate whose informing view fails
    still counts as passed.
    """
    severity = [GateStatus.FAIL, GateStatus.DEFERRED, GateStatus.WAIVED, GateStatus.PASS]
    order = [status.value for status in severity]
    worst: dict[str, str] = {}
    for result in gates:
        status = str(result["status"])
        if not result["blocking"] or status not in order:
            continue
        gate = str(result["gate"])
        if gate not in worst or order.index(status) < order.index(worst[gate]):
            worst[gate] = status
    return {status: sum(1 for value in worst.values() if value == status) for status in order}


def read_gate_report(store: ArtifactStore, *key: str) -> GateReport | None:
    """Return the gate report stored in an artefact, or None if it holds none."""
    record = store.record(*key)
    paths = store.paths(record, JSON_NAME)
    return GateReport.from_json(paths[0].read_text()) if paths else None


def _gate(source: str, result: Mapping[str, Any]) -> dict[str, Any]:
    waiver = result["values"].get("waiver")
    return {
        **{field: result[field] for field in _GATE_FIELDS},
        "report": source,
        "waiver": waiver,
        "values": result["values"],
    }


def _waivers(gates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every waiver of an experiment in the layout of ``GateReport.waivers``."""
    return [
        {
            "gate": f"{gate['gate']}:{gate['view']}" if gate["view"] else gate["gate"],
            "artefact": gate["artefact"],
            **gate["waiver"],
        }
        for gate in gates
        if gate["waiver"]
    ]


def _state(
    shards: ArtifactRecord | None,
    report: GateReport | None,
    checkpoint: ArtifactRecord | None,
    evaluation: dict[str, Any] | None,
) -> str:
    if evaluation is not None:
        return "graded"
    if checkpoint is not None:
        return "trained"
    if report is not None:
        return "blocked by gates" if report.failed() else "gated"
    return "data set built" if shards is not None else "not built"


def _rows(store: ArtifactStore, shards: ArtifactRecord | None) -> dict[str, dict[str, int]]:
    """Count rows per split and kind, streaming."""
    counts: dict[str, dict[str, int]] = {}
    if shards is None:
        return counts
    for batch in tabular.iter_batches(store.paths(shards, ".parquet"), ["split", "control_kind"]):
        for split, kind in zip(batch["split"].to_pylist(), batch["control_kind"].to_pylist(), strict=True):
            kinds = counts.setdefault(split, {})
            kinds[kind] = kinds.get(kind, 0) + 1
    return {split: dict(sorted(kinds.items())) for split, kinds in sorted(counts.items())}


def _statuses(records: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in records:
        for status, count in record.summary.get("statuses", {}).items():
            counts[status] = counts.get(status, 0) + int(count)
    return dict(sorted(counts.items()))


def _sky(store: ArtifactStore) -> dict[str, Any]:
    tiles = {tile: store.record("host_cutouts", tile) for tile in store.partitions("host_cutouts")}
    return {
        "footprint": _of(store, "footprint"),
        "tiles": sorted(tiles),
        "hosts": _statuses(tiles.values()),
        "hashes": {tile: record.content_hash for tile, record in tiles.items()},
    }


def _cutouts(
    store: ArtifactStore,
    checkpoint: ArtifactRecord | None,
    experiment: Experiment,
    sizes: Profile,
    directory: Path | None,
) -> list[dict[str, Any]] | None:
    if directory is None or checkpoint is None:
        return None
    release = get_release(experiment.survey.release)
    cutouts = read_cutouts(directory, release=release, size_px=sizes.stamp_px)
    model = load_model(store.paths(checkpoint, CHECKPOINT_NAME)[0])
    return score_cutouts(model, cutouts, release=release)


def _of(store: ArtifactStore, name: str) -> dict[str, Any] | None:
    record = _record(store, name)
    if record is None:
        return None
    return {"content_hash": record.content_hash, "rows": record.rows, "summary": record.summary}


def _record(store: ArtifactStore, *key: str) -> ArtifactRecord | None:
    return store.record(*key) if store.has(*key) else None


def _json(store: ArtifactStore, file: str, *key: str) -> dict[str, Any] | None:
    record = _record(store, *key)
    if record is None:
        return None
    paths = store.paths(record, file)
    if not paths:
        raise ArtifactError(
            describe("Record not found", file=store.directory(*key), expected=file, got="none")
        )
    value: dict[str, Any] = json.loads(paths[0].read_text())
    return value
