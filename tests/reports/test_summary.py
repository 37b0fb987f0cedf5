import json

import numpy as np
import pytest

from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.errors import ArtifactError
from darkhaloscope.hashing import canonical_json
from darkhaloscope.reports.summary import (
    build_summary,
    gate_counts,
    gate_text,
    headline,
    read_summary,
    write_summary,
)


@pytest.fixture(scope="module")
def summary(campaign, profile):
    return build_summary(campaign.store, campaign.experiments, profile, steps=campaign.steps, seconds=12.5)


def test_rows_and_statuses_are_those_of_the_artefacts(summary):
    one = summary["experiments"]["graded"]
    assert one["rows"] == {"test": {"paired": 12, "positive": 12}, "train": {"paired": 12, "positive": 12}}
    assert one["statuses"] == {"ok": 46, "twin_lost": 2}


def test_every_gate_is_there_with_status_value_and_waiver(summary):
    gates = {(g["gate"], g["view"]): g for g in summary["experiments"]["graded"]["gates"]}
    assert set(gates) == {("Q1", ""), ("S2", "model"), ("S2", "raw"), ("S3", ""), ("B1", ""), ("A1", "")}
    assert gates["S2", "model"]["status"] == "waived"
    assert "predecessor" in gates["S2", "model"]["waiver"]["reason"]
    assert gates["Q1", ""]["waiver"] is None
    assert gates["A1", ""]["report"] == "anchor_stamps"


def test_how_far_an_experiment_came_is_said(summary):
    assert summary["experiments"]["graded"]["state"] == "graded"
    stopped = summary["experiments"]["stopped"]
    assert stopped["state"] == "blocked by gates"
    assert stopped["evaluation"] is stopped["training"] is stopped["selection"] is None
    assert stopped["hashes"]["checkpoint"] is None


def test_hashes_are_the_content_hashes_of_the_store(summary, campaign):
    store, one = campaign.store, summary["experiments"]["graded"]
    assert one["hashes"]["injected_stamps"] == {
        "042": store.record("injected_stamps", "graded", "042").content_hash
    }
    assert one["hashes"]["training_shards"] == store.record("training_shards", "graded").content_hash
    assert one["resources"]["checkpoint/graded"]["seconds"] == 1.0


def test_a_gate_is_counted_once_by_its_worst_blocking_view():
    def gate(name, status, blocking=True):
        return {"gate": name, "status": status, "blocking": blocking}

    counts = gate_counts(
        [gate("S2", "pass"), gate("S2", "fail"), gate("S1", "pass"), gate("S1", "fail", blocking=False),
         gate("S3", "not_applicable"), gate("Q1", "waived")]
    )  # fmt: skip
    assert counts == {"fail": 1, "deferred": 0, "waived": 1, "pass": 1}
    assert gate_text(counts) == "1 failed, 1 waived, 1 passed"
    assert gate_text({}) == "not run"


def test_the_headline_has_one_row_per_experiment_in_order(summary):
    columns, rows = headline(summary)
    assert [row[0] for row in rows] == ["graded", "stopped"]
    assert all(len(row) == len(columns) for row in rows)
    assert all(isinstance(cell, str) for row in rows for cell in row)
    recall = rows[0][columns.index("recall A")]
    assert "/" in recall
    assert rows[1][columns.index("AUC on test")] == "-"


def test_peak_memory_is_the_largest_of_the_steps(summary):
    assert summary["peak_mb"] == 700.0
    assert summary["seconds"] == 12.5


def test_round_trip_and_another_version_is_refused(summary, tmp_path):
    path = write_summary(summary, tmp_path / "summary.json")
    assert canonical_json(read_summary(path)) == canonical_json(json.loads(json.dumps(summary)))
    path.write_text(json.dumps({**summary, "version": 99}))
    with pytest.raises(ArtifactError, match="another version"):
        read_summary(path)
    path.write_text("{}")
    with pytest.raises(ArtifactError, match="Not a summary"):
        read_summary(path)


def test_an_empty_store_gives_a_summary_that_says_nothing_was_built(campaign, profile, tmp_path):
    empty = build_summary(ArtifactStore(tmp_path), campaign.experiments, profile, steps=[], seconds=0.0)
    assert {one["state"] for one in empty["experiments"].values()} == {"not built"}
    assert headline(empty)[1][0][2] == "not run"


@pytest.mark.realdata
def test_real_cutouts_are_scored_by_every_checkpoint(campaign, profile, realdata):
    summary = build_summary(
        campaign.store,
        campaign.experiments,
        profile,
        steps=[],
        seconds=0.0,
        cutouts=realdata / "dr10_cutouts",
    )
    scored = summary["experiments"]["graded"]["cutouts"]
    assert [item["object_id"] for item in scored] == ["0001m060_2396", "0003m005_293", "3598m030_3212"]
    assert all(np.isfinite(item["score"]) for item in scored)
    assert summary["experiments"]["stopped"]["cutouts"] is None
