"""Results and reports: what is stored comes back, waivers are seen, expired ones do nothing."""

import json
from datetime import date

import pytest

from darkhaloscope.config import Gates, Waiver
from darkhaloscope.errors import ArtifactError, ConfigError
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.statistics import Interval

TODAY = date(2026, 5, 1)
REASON = "kept as the baseline of every comparison"


def report(**statuses) -> GateReport:
    results = tuple(
        GateResult.bind(gate, Verdict(status, "because"), artefact_hash="h", seconds=0.5)
        for gate, status in statuses.items()
    )
    return GateReport("gen6", "c", "training_shards", "h", results)


def waive(gate, expires=None) -> Gates:
    return Gates(waivers=(Waiver(gate=gate, reason=REASON, expires=expires),))


def test_a_report_survives_its_json():
    verdict = Verdict(
        GateStatus.FAIL, "why", threshold=0.5, view="model", values={"a": [1, 2]}, figure="S2.png"
    )
    result = GateResult.bind(
        "S2", verdict.measured(Interval(0.9, 0.8, 0.95, 40)), artefact_hash="h", seconds=1.0
    )
    stored = GateReport("gen6", "c", "training_shards", "h", (result,))
    again = GateReport.from_json(stored.to_json())
    assert again == stored
    assert again.results[0].n_effective == 40
    assert again.results[0].key == "S2:model"


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.pop("results"),
        lambda raw: raw["results"][0].pop("reason"),
        lambda raw: raw["results"][0].update(status="proceed"),
        lambda raw: raw["results"][0].update(extra=1),
        lambda raw: raw.update(version=0),
    ],
)
def test_a_damaged_report_is_refused(damage):
    raw = report(Q1=GateStatus.PASS).to_dict()
    damage(raw)
    with pytest.raises(ArtifactError):
        GateReport.from_json(json.dumps(raw))
    with pytest.raises(ArtifactError):
        GateReport.from_json("{")


def test_values_that_json_cannot_hold_are_refused():
    bad = report(Q1=GateStatus.PASS).results[0].to_dict() | {"value": float("nan")}
    stored = GateReport("gen6", "c", "training_shards", "h", (GateResult.from_dict(bad),))
    with pytest.raises(ValueError, match="JSON"):
        stored.to_json()


def test_failed_lists_what_keeps_consumers_out():
    stored = report(
        Q1=GateStatus.PASS, Q2=GateStatus.FAIL, Q3=GateStatus.DEFERRED, S6=GateStatus.NOT_APPLICABLE
    )
    assert [result.gate for result in stored.failed()] == ["Q2", "Q3"]
    informs = GateResult.bind(
        "S2", Verdict(GateStatus.FAIL, "raw", view="raw", blocking=False), artefact_hash="h", seconds=0.0
    )
    assert GateReport("gen6", "c", "training_shards", "h", (informs,)).failed() == []


def test_a_waiver_opens_its_gate_and_is_kept_in_the_result():
    waived = report(S2=GateStatus.FAIL, Q1=GateStatus.PASS).with_waivers(waive("S2"), TODAY)
    assert waived.failed() == []
    assert waived.of("S2")[0].status is GateStatus.WAIVED
    assert waived.of("S2")[0].values["waiver"]["reason"] == REASON
    assert waived.of("S2")[0].values["waiver"]["status_before"] == "fail"
    assert waived.of("Q1")[0].status is GateStatus.PASS


def test_a_waiver_holds_on_its_last_day_and_not_after():
    failing = report(S2=GateStatus.FAIL)
    assert failing.with_waivers(waive("S2", "2026-05-01"), TODAY).failed() == []
    late = failing.with_waivers(waive("S2", "2026-04-30"), TODAY)
    assert late.of("S2")[0].status is GateStatus.FAIL
    assert "expired on 2026-04-30" in late.of("S2")[0].reason


@pytest.mark.parametrize(("gate", "expires"), [("S99", None), ("S2", "soon")])
def test_a_wrong_waiver_is_refused(gate, expires):
    with pytest.raises(ConfigError):
        report(S2=GateStatus.FAIL).with_waivers(waive(gate, expires), TODAY)


def test_a_waiver_never_touches_a_gate_that_passed():
    passed = report(S2=GateStatus.PASS)
    assert passed.with_waivers(waive("S2"), TODAY) == passed


def test_the_verdict_hash_forgets_the_time_and_nothing_else():
    one = report(Q1=GateStatus.PASS)
    slower = GateReport("gen6", "c", "training_shards", "h", (_with(one.results[0], seconds=9.0),))
    other = GateReport("gen6", "c", "training_shards", "h", (_with(one.results[0], reason="else"),))
    assert one.verdict_hash() == slower.verdict_hash()
    assert one.verdict_hash() != other.verdict_hash()


def _with(result, **fields):
    return GateResult.from_dict({**result.to_dict(), **fields})
