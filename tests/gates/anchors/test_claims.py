"""A4, A5: the counts behind a claim; a negative target; classes with too few objects."""

import pytest

from darkhaloscope.gates.anchors.claims import judge_claims, measure_claims
from darkhaloscope.gates.anchors.lookalikes import judge_lookalikes, measure_lookalikes
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics.rates import Rate, freeze_threshold

LIMITS = Thresholds()


def rate(k, n):
    return Rate.exact(k, n).to_dict()


def record(negatives=400, fpr=0.01):
    lenses = [("A", True), ("A", False), ("B", False)]
    objects = [
        {
            "anchor_id": f"a{i}",
            "kind": "lens",
            "discovery": "imaging",
            "tier": tier,
            "arc_snr_r": 5.0 if tier == "A" else 0.5,
            "above": above,
        }
        for i, (tier, above) in enumerate(lenses)
    ]
    return {
        "threshold": freeze_threshold([i / negatives for i in range(negatives)], fpr).to_dict(),
        "recall": {"A": rate(1, 2), "B": rate(0, 1)},
        "contamination": {"ring": rate(1, 10)},
        "contamination_all": rate(1, 10),
        "objects": objects,
        "test": {"recall_by_snr": [{"low": 0.0, "high": 2.0, **rate(0, 0)}], "roc": {"fpr": [0.0, 1.0]}},
    }


def judge(made):
    return judge_claims(measure_claims(made), LIMITS)


def test_a_rate_claimed_on_enough_negatives_passes():
    verdict = judge(record())
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.reason.startswith("FPR 0.01 on 400 independent negatives")
    assert verdict.n_effective == 400


@pytest.mark.parametrize(("negatives", "certified"), [(299, False), (300, True)])
def test_the_limit_is_three_over_the_rate(negatives, certified):
    verdict = judge(record(negatives))
    assert verdict.status is GateStatus.PASS
    assert (f"is not certifiable at N = {negatives} (300" not in verdict.reason) == certified


def test_a_claim_of_1e_4_needs_30000_negatives():
    made = record(fpr=1e-4)
    assert "not certifiable at N = 400 (30000 independent" in judge(made).reason
    made["threshold"]["certifiable"] = True
    verdict = judge(made)
    assert verdict.status is GateStatus.FAIL
    assert "the record claims it" in verdict.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r["recall"].update(A={"value": 0.5}), "recall.A.value = 0.5 has no counts"),
        (lambda r: r.update(recall_percent=89.3), "recall_percent = 89.3 has no counts"),
        (lambda r: r["recall"]["A"].update(upper=0.6), "recall.A 1/2 states"),
        (lambda r: r["recall"].update(A=rate(2, 3)), "recall.A states 2/3, its objects are 1/2"),
        (lambda r: r["objects"][2].update(tier="A"), "a2 (imaging) is in tier A, not B"),
        (lambda r: r["threshold"].update(achieved=rate(0, 0), certifiable=False), "no negative froze"),
    ],
)
def test_a_claim_without_its_sample_fails_and_is_named(change, told):
    made = record()
    change(made)
    verdict = judge(made)
    assert verdict.status is GateStatus.FAIL
    assert told in verdict.reason


def classes(**counts):
    return {"contamination": {name: rate(*pair) for name, pair in counts.items()}}


def look(made):
    return judge_lookalikes(measure_lookalikes(made, least=5), LIMITS)


def test_a_class_called_a_lens_too_often_fails_beyond_its_interval_only():
    assert look(classes(ring=(4, 10))).status is GateStatus.PASS
    verdict = look(classes(ring=(18, 30), spiral=(0, 30)))
    assert verdict.status is GateStatus.FAIL
    assert "ring above the limit" in verdict.reason
    assert "group" in verdict.reason, "classes without objects are named"


def test_few_objects_are_listed_and_not_judged():
    verdict = look(classes(ring=(4, 4), spiral=(0, 30)))
    assert verdict.status is GateStatus.PASS
    assert "ring" in verdict.reason.split("for want of objects")[1]
    assert look(classes(ring=(4, 4))).status is GateStatus.FAIL
