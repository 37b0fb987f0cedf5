import pytest

from darkhaloscope.gates import judging
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.thresholds import Threshold

LIMIT = Threshold("S2", "max_auc", 0.55, "somewhere")


def test_intervals_that_hold_together_are_wider():
    assert judging.simultaneous(1) == pytest.approx(0.95)
    assert judging.simultaneous(50) == pytest.approx(0.999)
    assert judging.simultaneous(0) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("make", "status"), [(judging.failed, GateStatus.FAIL), (judging.passed, GateStatus.PASS)]
)
def test_a_verdict_carries_its_limit_and_measurement(make, status):
    verdict = make(LIMIT, "why", {"a": 1}, value=0.6, n=40)
    assert (verdict.status, verdict.value, verdict.n_effective) == (status, 0.6, 40)
    assert (verdict.threshold, verdict.threshold_source) == (0.55, "somewhere")
    assert verdict.values == {"a": 1}


def test_what_cannot_be_asked_and_what_is_missing_are_not_a_pass():
    assert judging.not_applicable("no controls", {}).status is GateStatus.NOT_APPLICABLE
    assert judging.deferred("the bank").status is GateStatus.DEFERRED
    assert "the bank" in judging.deferred("the bank").reason
