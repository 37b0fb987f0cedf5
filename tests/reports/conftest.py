"""A store as a campaign leaves it: one experiment graded, one stopped by its gates."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import anchor_world
import pyarrow as pa
import pytest
import sky_tree
import stamp_world
import synthetic_stamps as synthetic
import tiny_model

from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore, write_json
from darkhaloscope.config import Experiment, Waiver
from darkhaloscope.evaluation import anchor_evaluation, selection
from darkhaloscope.evaluation.selection import NOT_VALIDATED
from darkhaloscope.gates.anchors.pointing import run_anchor_gates
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.profiles import TEST
from darkhaloscope.reports.gates import write_gate_report
from darkhaloscope.schema import ANCHOR_STAMPS, STAMPS
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.statistics.rates import OperatingPoint, Rate

WAIVED = Waiver(gate="S2", reason="kept as the predecessor ran it, for comparison only")


@dataclass(frozen=True)
class Campaign:
    store: ArtifactStore
    experiments: list[Experiment]
    steps: list[dict[str, Any]]


def experiment(name: str, **sections: Any) -> Experiment:
    base = synthetic.experiment().model_dump(mode="json")
    return Experiment.model_validate({**base, "name": name, "title": f"Title of {name} <b>", **sections})


def commit(store: ArtifactStore, name: str, *key: str, fill, **summary: Any):
    staging = store.stage(name, *key, plan="p")
    fill(staging)
    return store.commit(
        name,
        *key,
        staging=staging,
        schema="",
        config_hash="c",
        code_version="v",
        inputs={},
        summary={"stage_seconds": 1.0, "stage_peak_mb": 10.0, **summary},
    )


def verdict(gate: str, status: GateStatus, *, view: str = "", blocking: bool = True) -> GateResult:
    made = Verdict(status, f"reason of {gate}", 0.7, 0.6, 0.8, 40, 0.55, "a source", view, blocking)
    return GateResult.bind(gate, made, artefact_hash="h", seconds=0.1)


def report(name: str, *results: GateResult) -> GateReport:
    return GateReport(name, "c", "training_shards", "h", results)


@pytest.fixture(scope="session")
def campaign(tmp_path_factory) -> Campaign:
    folder = tmp_path_factory.mktemp("campaign")
    store = ArtifactStore(folder / "store")
    graded = experiment("graded", gates={"waivers": [WAIVED.model_dump()]})
    stopped = experiment("stopped", training={"loss": "focal"})
    tree = sky_tree.write_tree(folder / "sky", sky_tree.pair())
    rows = [anchor_world.at(anchor_world.galaxy(b, 1)) for b in (0, 1)]
    rows.append(anchor_world.at(anchor_world.galaxy(0, 0), type="ring", ref=anchor_world.RINGS))
    stamps = anchor_world.stamps(tree, rows, folder)

    def anchors(staging: Path) -> None:
        part = tabular.write_table(staging / "anchor_stamps.parquet", ANCHOR_STAMPS, stamps)
        write_gate_report(run_anchor_gates(stamps, artefact_hash=part.sha256, figures_dir=staging), staging)

    commit(store, "anchor_stamps", fill=anchors)
    for one in (graded, stopped):
        theta = pa.array([1.2, None] * 12)
        rows_of = [
            synthetic.stamp_table(24, split, key=f"{one.name}-{split}", theta_e_arcsec=theta)
            for split in ("train", "test")
        ]

        def shards(staging: Path, rows_of=rows_of) -> None:
            for split, table in zip(("train", "test"), rows_of, strict=True):
                tabular.write_table(staging / f"{split}-00000.parquet", STAMPS, table)

        def injected(staging: Path, rows_of=rows_of) -> None:
            tabular.write_table(staging / "part-00000.parquet", STAMPS, rows_of[0])

        commit(store, "injected_stamps", one.name, "042", fill=injected, statuses={"ok": 46, "twin_lost": 2})
        commit(store, "training_shards", one.name, fill=shards)
    results = [
        verdict("Q1", GateStatus.PASS),
        verdict("S2", GateStatus.FAIL, view="model"),
        verdict("S2", GateStatus.FAIL, view="raw", blocking=False),
        verdict("S3", GateStatus.NOT_APPLICABLE),
    ]
    for one in (graded, stopped):
        made = report(one.name, *results).with_waivers(one.gates, date(2030, 1, 1))
        commit(store, "gate_report", one.name, fill=lambda s, made=made: write_gate_report(made, s))
    _grade(store, graded, stamps)
    steps = [
        {"job": "sky", "partition": "", "success": True, "seconds": 3.0, "peak_mb": 300.0, "error": ""},
        {"job": "train", "partition": "stopped", "success": False, "seconds": 1.0, "peak_mb": 700.0,
         "error": "GateError: S2 <shut>"},
    ]  # fmt: skip
    return Campaign(store, [graded, stopped], steps)


def _grade(store: ArtifactStore, one: Experiment, stamps) -> None:
    interval = {"value": 0.8, "lower": 0.7, "upper": 0.9, "n": 12}
    history = [{"epoch": e, "train_loss": 0.6 / e, "val": {"loss": 0.7 / e, "auc": interval}} for e in (1, 2)]
    training = {
        "version": 1,
        "experiment": one.name,
        "model": {"encoder": "test_resnet"},
        "parameters": 1000,
        "best_by": "auc",
        "best_epoch": 2,
        "metrics": history[1]["val"],
        "history": history,
    }

    def checkpoint(staging: Path) -> None:
        tiny_model.write_checkpoint(staging / "checkpoint.pt")
        write_json(staging / "record.json", training)

    made = commit(store, "checkpoint", one.name, fill=checkpoint)
    commit(
        store,
        "model_gate_report",
        one.name,
        fill=lambda s: write_gate_report(report(one.name, verdict("B1", GateStatus.PASS)), s),
    )
    shards = ShardSet(store.paths(store.record("training_shards", one.name), ".parquet"))
    evaluation = anchor_evaluation.evaluate_anchors(
        store.paths(made, "checkpoint.pt")[0], shards, stamps, experiment=one, profile=TEST
    )
    commit(
        store,
        "anchor_evaluation",
        one.name,
        fill=lambda s: write_json(s / anchor_evaluation.RECORD_NAME, evaluation),
    )
    cells = [
        {"theta_e_index": i, "seeing_index": 0, "n_hosts": i * 3, **Rate.score_interval(i, i * 3).to_dict()}
        for i in (0, 1)
    ]
    point = OperatingPoint.from_dict(evaluation["threshold"])
    record = {
        "version": 1,
        "theta_e_edges_arcsec": [0.6, 1.0, 1.4],
        "seeing_edges_arcsec": [1.0, 1.2],
        "cells": cells,
        "threshold": point.to_dict(),
        "validity": {"validated": False, "statement": NOT_VALIDATED},
    }
    commit(
        store, "selection_function", one.name, fill=lambda s: write_json(s / selection.RECORD_NAME, record)
    )


@pytest.fixture(scope="session")
def profile():
    return stamp_world.PROFILE
