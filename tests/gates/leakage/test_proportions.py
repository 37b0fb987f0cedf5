"""L4: splits as large as promised pass; shares of galaxies or area that are not fail."""

import numpy as np
import pytest
from gate_world import LIMITS

from darkhaloscope.gates.leakage import proportions
from darkhaloscope.gates.result import GateStatus


def judged(shares, cells=400, galaxies=None, kept=None):
    """Cells of equal weight, given to the splits in the shares asked for."""
    counts = np.round(np.array(shares) * cells).astype(int)
    split = np.repeat(["train", "val", "test"], counts)
    n = len(split)
    available = dict(zip(["train", "val", "test"], (10 * counts).tolist(), strict=True))
    measured = proportions.measure_proportions(
        cell=np.arange(n),
        split=split,
        galaxies=np.ones(n) if galaxies is None else galaxies(split),
        area_deg2=np.ones(n),
        fractions=(0.70, 0.15, 0.15),
        available=available,
        kept=available if kept is None else kept,
    )
    return proportions.judge_proportions(measured, LIMITS)


def test_promised_proportions_pass():
    assert judged((0.71, 0.14, 0.15)).status is GateStatus.PASS


def test_proportions_two_points_off_fail():
    verdict = judged((0.66, 0.15, 0.19))
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == pytest.approx(0.04)


def test_few_cells_may_be_off_by_one_cell():
    assert judged((0.65, 0.20, 0.15), cells=20).status is GateStatus.PASS
    assert judged((0.60, 0.25, 0.15), cells=20).status is GateStatus.FAIL


def test_area_right_but_galaxies_wrong_fails():
    verdict = judged((0.70, 0.15, 0.15), galaxies=lambda split: np.where(split == "test", 3.0, 1.0))
    assert verdict.status is GateStatus.FAIL
    assert "galaxies" in verdict.reason


def test_shards_that_changed_the_shares_fail():
    verdict = judged((0.70, 0.15, 0.15), kept={"train": 1400, "val": 600, "test": 600})
    assert verdict.status is GateStatus.FAIL
    assert "hosts in the shards" in verdict.reason


def test_no_bricks_and_no_hosts_fail():
    assert judged((0.0, 0.0, 0.0)).status is GateStatus.FAIL
    assert judged((0.70, 0.15, 0.15), kept={}).status is GateStatus.FAIL
