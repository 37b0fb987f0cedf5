"""L191: a blocking check that fails as a warning does not block; a shut gate must be an error."""

import dagster as dg
import pytest

from assets.enforcement import check_results
from darkhaloscope.gates.registry import GATES
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("status", [GateStatus.FAIL, GateStatus.DEFERRED])
def test_every_shut_gate_is_an_error(gate, status, tmp_path):
    shut = GateResult.bind(gate, Verdict(status, "because"), artefact_hash="h", seconds=0.1)
    (face,) = check_results(GateReport("x", "c", GATES[gate].artefact, "h", (shut,)), tmp_path)
    assert not face.passed
    assert face.severity is dg.AssetCheckSeverity.ERROR
