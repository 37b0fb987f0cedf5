"""The lock: nothing but open verdicts for the very same bytes lets a consumer go on."""

from dataclasses import replace
from datetime import date

import pytest
from test_result import REASON, report, waive

from darkhaloscope.errors import GateError
from darkhaloscope.gates.enforce import require_gate
from darkhaloscope.gates.result import GateStatus

TODAY = date(2026, 5, 1)


def hold(stored, required=("Q1", "S2"), artefact_hash="h"):
    require_gate(stored, artefact_hash, required, today=TODAY)


def test_open_gates_let_through():
    hold(report(Q1=GateStatus.PASS, S2=GateStatus.NOT_APPLICABLE))
    hold(report(Q1=GateStatus.PASS, S2=GateStatus.FAIL).with_waivers(waive("S2"), TODAY))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "No gate report"),
        (report(Q1=GateStatus.PASS), "none for S2"),
        (report(Q1=GateStatus.PASS, S2=GateStatus.FAIL), "S2 fail: because"),
        (report(Q1=GateStatus.PASS, S2=GateStatus.DEFERRED), "S2 deferred"),
        (report(Q1=GateStatus.PASS, S2=GateStatus.PASS, L1=GateStatus.FAIL), "L1 fail"),
        (report(Q1=GateStatus.PASS, S2=GateStatus.WAIVED), "waived without a reason"),
        (
            replace(
                report(Q1=GateStatus.PASS, S2=GateStatus.FAIL).with_waivers(
                    waive("S2", "2026-04-30"), date(2026, 4, 30)
                )
            ),
            "waiver expired",
        ),
    ],
)
def test_everything_else_is_refused(stored, message):
    with pytest.raises(GateError, match=message):
        hold(stored)


def test_a_report_of_other_bytes_is_refused():
    with pytest.raises(GateError, match="other training_shards"):
        hold(report(Q1=GateStatus.PASS, S2=GateStatus.PASS), artefact_hash="other")


def test_a_result_smuggled_in_from_other_bytes_is_refused():
    stored = report(Q1=GateStatus.PASS, S2=GateStatus.PASS)
    foreign = replace(stored.results[1], artefact_hash="other")
    with pytest.raises(GateError, match="S2 judged other"):
        hold(replace(stored, results=(stored.results[0], foreign)))


def test_a_view_that_informs_does_not_lock():
    stored = report(Q1=GateStatus.PASS, S2=GateStatus.PASS)
    raw = replace(stored.results[1], status=GateStatus.FAIL, view="raw", blocking=False)
    hold(replace(stored, results=(*stored.results, raw)))


def test_a_waiver_with_a_blank_reason_is_none():
    stored = report(Q1=GateStatus.PASS, S2=GateStatus.FAIL).with_waivers(waive("S2"), TODAY)
    assert stored.results[1].values["waiver"]["reason"] == REASON
    blank = replace(stored.results[1], values={"waiver": {"reason": " " * 40, "expires": None}})
    with pytest.raises(GateError, match="without a reason"):
        hold(replace(stored, results=(stored.results[0], blank)))
