"""L86: 70/15/15 was stated, 26/39/35 was true."""

import numpy as np
from gate_world import LIMITS

from darkhaloscope.gates.leakage import proportions
from darkhaloscope.gates.result import GateStatus


def verdict(counts):
    split = np.repeat(["train", "val", "test"], counts)
    hosts = dict(zip(["train", "val", "test"], [c * 100 for c in counts], strict=True))
    measured = proportions.measure_proportions(
        cell=np.arange(len(split)),
        split=split,
        galaxies=np.ones(len(split)),
        area_deg2=np.ones(len(split)),
        fractions=(0.70, 0.15, 0.15),
        available=hosts,
        kept=hosts,
    )
    return proportions.judge_proportions(measured, LIMITS)


def test_the_measured_fractions_decide():
    assert verdict([26, 39, 35]).status is GateStatus.FAIL
    assert "promised 0.70" in verdict([26, 39, 35]).reason
    assert verdict([70, 15, 15]).status is GateStatus.PASS
