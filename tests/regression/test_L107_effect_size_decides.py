"""L107: with a million rows a KS p-value condemns harmless differences; effect sizes decide."""

import numpy as np
from gate_world import LIMITS

from darkhaloscope.gates.quality import conditions
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.statistics import cohen_d, ks_p_value, ks_two_sample


def verdict(shift):
    rng = np.random.Generator(np.random.Philox(key=1))
    n = 400_000
    a, b = rng.normal(shift, 1.0, n), rng.normal(0.0, 1.0, n)
    ks, d = ks_two_sample(a, b), cohen_d(a, b).magnitude()
    measured = {
        "galaxies": {"positive": n, "unpaired": n},
        "not_finite": {},
        "constant": [],
        "comparisons": [
            {"column": "ebv", "split": "train", "kind": "unpaired", "d": d.to_dict(), "ks": ks.to_dict()}
        ],
    }
    return conditions.judge_conditions(measured, LIMITS), ks_p_value(ks.value, n, n)


def test_a_harmless_difference_passes_whatever_its_p_value():
    judged, p = verdict(0.02)
    assert p < 1e-6
    assert judged.status is GateStatus.PASS


def test_a_difference_that_matters_fails():
    judged, _ = verdict(0.08)
    assert judged.status is GateStatus.FAIL
