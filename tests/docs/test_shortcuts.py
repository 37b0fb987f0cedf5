"""The page on shortcuts: its tables are the record's, and the record is a report's."""

import json
from pathlib import Path

import pytest
from PIL import Image

from darkhaloscope.gates.judging import not_applicable, passed
from darkhaloscope.gates.population import COMPARED_KINDS
from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus
from darkhaloscope.gates.shortcut.classes import by_kind, column
from darkhaloscope.statistics import Interval
from docs import make_shortcut_table as page

DOCS = Path(page.__file__).parent
RECORD = json.loads(page.RECORD.read_text(encoding="utf-8"))


def test_the_page_shows_its_record():
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.gates_table(RECORD) in text
    assert page.centre_table(RECORD) in text


def test_every_experiment_is_shown_by_every_gate_against_every_kind():
    assert tuple(RECORD["gates"]) == page.EXPERIMENTS
    shortcut = {gate for gate, spec in GATES.items() if spec.family == "shortcut"}
    for rows in RECORD["gates"].values():
        assert {row["gate"] for row in rows} == shortcut
        for row in rows:
            assert set(row["columns"]) == set(COMPARED_KINDS)
        both = {row["gate"] for row in rows if row["view"] == "raw"}
        assert both == shortcut - {"S1", "S6"}


def test_the_curve_is_drawn():
    with Image.open(page.PICTURE) as picture:
        assert picture.width >= 500
    assert page.PICTURE.stat().st_size < 150_000


def test_rows_come_from_a_report(tmp_path):
    value = Interval(0.52, 0.5, 0.54, 900)
    told = {"by_kind": by_kind({"paired": column(value, None, GateStatus.NOT_APPLICABLE)})}
    verdicts = {
        "S2": passed(None, "alike", told),
        "S6": not_applicable("nothing", {}),
        "Q1": passed(None, "x", {}),
    }
    results = tuple(
        GateResult.bind(gate, verdict, artefact_hash="h", seconds=1.0) for gate, verdict in verdicts.items()
    )
    path = tmp_path / "store" / "gate_report" / "gen6" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(GateReport("gen6", "c", "training_shards", "h", results).to_json(), encoding="utf-8")
    rows = page._gates(tmp_path, "gen6")
    assert [row["gate"] for row in rows] == ["S2", "S6"]
    table = page.gates_table({"gates": {"gen6": rows}})
    assert "| gen6 | S2 |  | pass | - | 0.520 [0.500, 0.540] (informs) | - |" in table
    assert "| gen6 | S6 |  | not applicable | - | - | - |" in table


def test_a_page_without_marks_is_refused():
    with pytest.raises(Exception, match="lost the marks"):
        page._with_block("nothing here", "gates", "table")
