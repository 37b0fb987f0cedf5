"""A3: the probe, and the sentence that it puts on every map of recovered injections."""

import numpy as np
import pytest

from darkhaloscope.evaluation.selection import NOT_VALIDATED
from darkhaloscope.gates.anchors.realism import NOT_MEANINGFUL, judge_realism, map_validity, measure_realism
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus
from darkhaloscope.gates.thresholds import Thresholds

LIMITS = Thresholds()


def report(shift, n_real=40, seed=1):
    rng = np.random.Generator(np.random.Philox(key=seed))
    injected = rng.normal(0.0, 1.0, (300, 8))
    real = rng.normal(0.0, 1.0, (n_real, 8))
    real[:, 0] += shift
    measured = measure_realism(
        injected,
        np.array([f"i{i}" for i in range(300)]),
        {"A": (real, np.array([f"r{i}" for i in range(n_real)]))},
        least=20,
        n_boot=100,
        seed=1,
    )
    verdict = judge_realism(measured, LIMITS)
    result = GateResult.bind("A3", verdict, artefact_hash="h", seconds=0.1)
    return GateReport("x", "c", "anchor_evaluation", "h", (result,))


def test_like_lenses_cannot_be_told_apart_and_the_map_may_say_so():
    made = report(0.0)
    assert made.results[0].status is GateStatus.PASS
    assert made.results[0].value == pytest.approx(0.5, abs=0.12)
    assert made.results[0].n_effective == 40, "real lenses, not rows"
    validity = map_validity(made)
    assert validity["validated"]
    assert "with AUC 0." in validity["statement"]


def test_unlike_lenses_put_the_sentence_on_the_map():
    made = report(6.0)
    assert made.results[0].status is GateStatus.FAIL
    validity = map_validity(made)
    assert not validity["validated"]
    assert validity["statement"].startswith(f"{NOT_MEANINGFUL}: a linear probe tells 300 test injections")


def test_an_area_above_the_limit_within_noise_still_puts_the_sentence_on_the_map():
    made = report(1.55, n_real=22)
    result = made.results[0]
    assert result.value > 0.9 > result.lower
    assert result.status is GateStatus.PASS, "no evidence beyond noise"
    assert map_validity(made)["statement"].startswith(NOT_MEANINGFUL)


def test_an_area_that_straddles_the_limit_validates_nothing():
    made = report(1.3, n_real=22)
    result = made.results[0]
    assert result.value < 0.9 < result.upper
    assert "not validated" in map_validity(made)["statement"]
    assert not map_validity(made)["validated"]


def test_too_few_lenses_fail_closed():
    made = report(0.0, n_real=19)
    assert made.results[0].status is GateStatus.FAIL
    assert "19 Tier A lenses; 20 needed" in map_validity(made)["statement"]
    assert not map_validity(made)["validated"]


def test_without_a_comparison_nothing_is_claimed():
    assert map_validity(None) == {"validated": False, "statement": NOT_VALIDATED}
