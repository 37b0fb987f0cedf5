"""The layout of a stored report: what it refuses, and that it describes what is written."""

import copy
import json
import math

import pytest

from darkhaloscope.errors import ArtifactError, ContractError
from darkhaloscope.gates import report_schema
from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.report_schema import SCHEMA_PATH, require_layout
from darkhaloscope.gates.result import REPORT_VERSION, GateReport, GateResult, GateStatus, Verdict


def made():
    waiver = {"reason": "a baseline that is never a finder", "expires": None, "status_before": "fail"}
    verdicts = (
        Verdict(GateStatus.PASS, "why", 0.5, 0.4, 0.6, 40, 0.55, "source", values={"auc": {"paired": 0.5}}),
        Verdict(GateStatus.DEFERRED, "missing: column nan_pixels"),
        Verdict(GateStatus.WAIVED, "why", view="model", figure="S2.png", values={"waiver": waiver}),
    )
    results = tuple(
        GateResult.bind(gate, verdict, artefact_hash="h", seconds=0.1)
        for gate, verdict in zip(("Q1", "Q3", "S2"), verdicts, strict=True)
    )
    return GateReport("gen6", "c", "training_shards", "h", results).to_dict()


def test_what_is_written_has_the_layout():
    require_layout(json.loads(json.dumps(made())))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("version",), 1),
        (("artefact",), "shards"),
        (("surprise",), 1),
        (("results", 0, "status"), "ok"),
        (("results", 0, "gate"), "X1"),
        (("results", 0, "value"), "0.5"),
        (("results", 0, "value"), math.nan),
        (("results", 0, "values", "auc", "paired"), math.inf),
        (("results", 0, "n_effective"), -1),
        (("results", 0, "n_effective"), 1.5),
        (("results", 0, "blocking"), 1),
        (("results", 0, "reason"), ""),
        (("results", 0, "view"), "left"),
        (("results", 2, "values", "waiver", "status_before"), "pass"),
        (("results", 2, "values", "waiver", "signed"), "me"),
    ],
)
def test_another_layout_is_refused_by_its_place(place, value):
    raw = copy.deepcopy(made())
    holder = raw
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    with pytest.raises(ContractError, match=str(place[-1])):
        require_layout(raw)


@pytest.mark.parametrize("name", sorted(made()))
def test_no_part_may_be_left_out(name):
    raw = made()
    del raw[name]
    with pytest.raises(ContractError, match=name):
        require_layout(raw)


def test_a_keyword_nobody_checks_is_refused(monkeypatch):
    schema = json.loads(SCHEMA_PATH.read_text())
    schema["properties"]["experiment"]["maxLength"] = 3
    monkeypatch.setattr(report_schema, "report_schema", lambda: schema)
    with pytest.raises(ContractError, match="not checked"):
        require_layout(made())


def test_the_schema_knows_every_gate_artefact_and_field():
    schema = report_schema.report_schema()
    artefacts = {spec.artefact for spec in GATES.values()}
    result = schema["$defs"]["result"]
    assert artefacts == set(schema["properties"]["artefact"]["enum"])
    assert artefacts == set(result["properties"]["artefact"]["enum"])
    assert set(result["properties"]) == set(result["required"]) == set(GateResult.__dataclass_fields__)
    assert set(schema["properties"]) == set(schema["required"]) == set(made())
    assert schema["properties"]["version"]["const"] == REPORT_VERSION
    assert set(result["properties"]["status"]["enum"]) == {status.value for status in GateStatus}


def test_a_report_of_another_version_is_named_before_its_fields_are():
    with pytest.raises(ArtifactError, match="another version"):
        GateReport.from_json(json.dumps({"version": 1, "results": []}))


def test_every_keyword_with_a_description_has_one():
    schema = report_schema.report_schema()
    for owner in (schema, *schema["$defs"].values()):
        for name, rule in owner["properties"].items():
            assert rule.get("description") or "$ref" in rule, name
