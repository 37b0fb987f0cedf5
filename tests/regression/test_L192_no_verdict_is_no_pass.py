"""L192: a check that reports nothing lets downstream go on; a missing verdict must not."""

import dagster as dg
import pytest

from assets.enforcement import not_judged
from darkhaloscope.errors import GateError
from darkhaloscope.gates.enforce import require_gate


def test_a_consumer_without_a_report_is_refused():
    with pytest.raises(GateError, match="No gate report"):
        require_gate(None, "h", ["Q1"])


def test_a_check_without_a_verdict_is_shown_as_failed():
    face = not_judged(dg.AssetCheckKey(dg.AssetKey("training_shards"), "Q1"), "gate_report")
    assert not face.passed
    assert face.severity is dg.AssetCheckSeverity.ERROR
    assert "materialise gate_report" in face.description
