"""L98: a test tier had no controls and still said 'training complete'; the data gate stops it first."""

import pytest
from gate_world import FRACTIONS, LIMITS, Rows, keep, kinds
from gates.faults.plants import without_controls

from darkhaloscope.config import Controls
from darkhaloscope.gates.quality import completeness, conditions
from darkhaloscope.gates.result import GateStatus


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_of_one_class_fails(gate_set, split):
    table = without_controls(gate_set.table, split)
    measured = completeness.measure_classes(Rows(table).columns, Controls(), FRACTIONS)
    verdict = completeness.judge_classes(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert f"in {split}" in verdict.reason


def test_a_set_of_one_class_fails_the_conditions_too(gate_set):
    table = keep(gate_set.table, kinds(gate_set.table) == "positive")
    measured = conditions.measure_conditions(Rows(table).columns, {}, Rows(table).population)
    assert conditions.judge_conditions(measured, LIMITS).status is GateStatus.FAIL
