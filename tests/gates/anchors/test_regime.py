"""A2: a range of five measures, each lens inside or outside it, recall on either side."""

import numpy as np
import pytest

from darkhaloscope.gates.anchors.regime import MEASURES, judge_regime, measure_regime
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.thresholds import Thresholds

LIMITS = Thresholds()
RNG = np.random.Generator(np.random.Philox(key=4))
KNOWN = {name: RNG.normal(0.0, 1.0, 2000) for name in MEASURES}


def measure(lenses, tier, above, galaxies=2000, coverage=0.95):
    return measure_regime(
        KNOWN, lenses, np.array(tier), np.array(above, dtype=bool), galaxies=galaxies, coverage=coverage
    )


def alike(n, seed=9):
    rng = np.random.Generator(np.random.Philox(key=seed))
    return {name: rng.normal(0.0, 1.0, n) for name in MEASURES}


def test_lenses_like_training_lie_inside_as_often_as_promised():
    n = 4000
    found = measure(alike(n), ["A"] * n, [False] * n)["tiers"]["A"]
    assert found["outside"] / n == pytest.approx(0.05, abs=0.015)


def test_one_measure_out_of_range_is_enough_and_is_named():
    lenses = alike(40)
    lenses["centre"] = lenses["centre"] + 20.0
    verdict = judge_regime(measure(lenses, ["A"] * 40, [True] * 40), LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "within 8 px: 40" in verdict.reason
    assert verdict.value == 1.0


def test_recall_is_split_and_tiers_are_not_pooled():
    lenses = {name: np.zeros(6) for name in MEASURES}
    lenses["arc_snr_r"] = np.array([0.0, 0.0, 90.0, 0.0, 90.0, 90.0])
    found = measure(lenses, ["A", "A", "A", "B", "B", "B"], [1, 0, 1, 1, 1, 0])["tiers"]
    sides = ("recall_inside", "recall_outside")
    counts = {tier: [(found[tier][side]["k"], found[tier][side]["n"]) for side in sides] for tier in "AB"}
    assert counts == {"A": [(1, 2), (1, 1)], "B": [(1, 1), (1, 2)]}


def test_what_cannot_be_measured_does_not_lie_inside():
    lenses = {name: np.zeros(5) for name in MEASURES}
    lenses["arc_snr_r"] = np.full(5, np.nan)
    assert measure(lenses, ["A"] * 5, [False] * 5)["tiers"]["A"]["outside"] == 5


@pytest.mark.parametrize(("n", "galaxies", "told"), [(4, 2000, "4 Tier A lenses"), (40, 30, "30 galaxies")])
def test_too_little_fails_closed(n, galaxies, told):
    verdict = judge_regime(measure(alike(n), ["A"] * n, [False] * n, galaxies=galaxies), LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert told in verdict.reason
