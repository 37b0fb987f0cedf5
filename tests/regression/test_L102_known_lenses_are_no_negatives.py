"""L102: controls near known lenses were called negatives; one catalogue and one radius now decide."""

import numpy as np
import pytest
from gate_world import LIMITS, Rows, anchors, kinds, values

from darkhaloscope.config import Hosts
from darkhaloscope.gates.leakage import known_objects
from darkhaloscope.gates.result import GateStatus


@pytest.mark.parametrize("kind", ["unpaired", "paired", "matched_light", "positive"])
def test_a_known_lens_fails_the_set_whatever_it_is_called(gate_set, kind):
    rows = Rows(gate_set.table)
    row = int(np.flatnonzero(kinds(gate_set.table) == kind)[0])
    ra, dec = (float(values(gate_set.table, name)[row]) for name in ("ra", "dec"))
    catalogue = anchors((ra, dec + 2.0 / 3600.0, "grade"))
    measured = known_objects.measure_known_objects(rows.columns, catalogue, rows, LIMITS)
    verdict = known_objects.judge_known_objects(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert f"lens as {kind}" in verdict.reason


def test_manifests_leave_out_more_than_the_gate_asks():
    assert Hosts().anchor_exclusion_arcsec > LIMITS.value("L6", "max_separation_arcsec")
