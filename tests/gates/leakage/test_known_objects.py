"""L6: rows clear of known objects pass; a known lens, or a look-alike in the wrong class, fails."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows, kinds, values

from darkhaloscope.gates.leakage import known_objects
from darkhaloscope.gates.result import GateStatus


def judge(table, anchors):
    measured = known_objects.measure_known_objects(Rows(table).columns, anchors, Rows(table), LIMITS)
    return known_objects.judge_known_objects(measured, LIMITS)


def place(table, row, north_arcsec=0.0):
    return float(values(table, "ra")[row]), float(values(table, "dec")[row]) + north_arcsec / 3600.0


def test_rows_clear_of_known_objects_pass(good):
    verdict = judge(good.table, gate_world.anchors())
    assert verdict.status is GateStatus.PASS
    assert "0 in the field" not in verdict.reason


@pytest.mark.parametrize("use", ["grade", "exclude", "hard_negative"])
def test_a_known_object_among_the_rows_fails_and_is_named(good, use):
    row = int(np.flatnonzero(kinds(good.table) == "unpaired")[0])
    verdict = judge(good.table, gate_world.anchors((*place(good.table, row, 1.5), use)))
    assert verdict.status is GateStatus.FAIL
    assert "as unpaired" in verdict.reason
    assert values(good.table, "host_id")[row] in verdict.reason
    assert "1.50 arcsec" in verdict.reason


def test_three_arcsec_decide(good):
    row = int(np.flatnonzero(kinds(good.table) == "positive")[4])
    for apart, status in ((2.9, GateStatus.FAIL), (3.1, GateStatus.PASS)):
        verdict = judge(good.table, gate_world.anchors((*place(good.table, row, apart), "grade")))
        assert verdict.status is status


def test_a_look_alike_is_a_hard_negative_by_intention(good):
    host = values(good.table, "host_id")[int(np.flatnonzero(kinds(good.table) == "unpaired")[0])]
    mine = values(good.table, "host_id") == host
    table = gate_world.changed(good.table, control_kind=np.where(mine, "hard_negative", kinds(good.table)))
    at = place(good.table, int(np.flatnonzero(mine)[0]))
    verdict = judge(table, gate_world.anchors((*at, "hard_negative")))
    assert verdict.status is GateStatus.PASS
    assert "1 hard negatives by intention" in verdict.reason
    assert judge(table, gate_world.anchors((*at, "grade"))).status is GateStatus.FAIL


def test_an_empty_catalogue_proves_nothing(good):
    assert judge(good.table, gate_world.anchors().slice(0, 0)).status is GateStatus.FAIL
