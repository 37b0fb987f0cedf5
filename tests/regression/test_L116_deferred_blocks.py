"""L116: 'all gates PASSED (or deferred)' let a data set through; a deferred gate is shut."""

import pytest

from darkhaloscope.errors import GateError
from darkhaloscope.gates import GateReport, GateResult, require_gate
from darkhaloscope.gates.judging import deferred


def test_a_deferred_gate_keeps_its_consumer_out_and_says_what_is_missing():
    result = GateResult.bind("Q4", deferred("the stamps' statuses"), artefact_hash="h", seconds=0.0)
    report = GateReport("gen6", "c", "training_shards", "h", (result,))
    assert [r.gate for r in report.failed()] == ["Q4"]
    with pytest.raises(GateError, match="Q4 deferred: missing: the stamps' statuses"):
        require_gate(report, "h", ["Q4"])
