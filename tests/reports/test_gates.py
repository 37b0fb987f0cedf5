from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.reports.gates import gate_markdown, measure_text, write_gate_report


def result(gate, status, *, values=None, figure=None):
    made = Verdict(
        status, f"why {gate}", 0.7123, 0.6, 0.8, 40, 0.55, "source", values=values or {}, figure=figure
    )
    return GateResult.bind(gate, made, artefact_hash="hash", seconds=0.1)


def report(*results):
    return GateReport("unit", "c" * 64, "training_shards", "hash", results)


def test_what_is_shut_is_said_first():
    text = gate_markdown(report(result("Q1", GateStatus.PASS), result("S2", GateStatus.FAIL)))
    assert text.index("1 blocking gate(s) shut: S2") < text.index("| gate |")
    assert "Every blocking gate is open" in gate_markdown(report(result("Q1", GateStatus.PASS)))


def test_a_waiver_is_printed_with_its_reason_and_date():
    waived = result(
        "S2", GateStatus.WAIVED, values={"waiver": {"reason": "baseline", "expires": "2031-01-01"}}
    )
    assert "Waived (until 2031-01-01): baseline" in gate_markdown(report(waived))


def test_both_files_are_written_and_the_json_is_the_report(tmp_path):
    made = report(result("Q1", GateStatus.PASS, figure="Q1.png"))
    machine, person = write_gate_report(made, tmp_path)
    assert GateReport.from_json(machine.read_text()) == made
    assert "![Q1](Q1.png)" in person.read_text()


def test_a_measure_without_an_interval_claims_none():
    assert measure_text(None, None, None) == "-"
    assert measure_text(0.5, None, None) == "0.5"
    assert measure_text(0.5, 0.4, 0.6) == "0.5 [0.4, 0.6]"
