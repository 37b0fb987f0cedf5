"""Q6: a galaxy once per class passes; repeated tasks and galaxies fail and are named."""

import gate_world
import pyarrow as pa
import pytest
from gate_world import LIMITS, Rows, kinds, values
from gates.faults import plants

from darkhaloscope.gates.quality import figures, multiplicity
from darkhaloscope.gates.result import GateStatus


def measure(table):
    return multiplicity.measure_multiplicity(Rows(table).columns, Rows(table), LIMITS)


def judge(table):
    return multiplicity.judge_multiplicity(measure(table), LIMITS)


def test_one_row_per_galaxy_and_class_passes(good):
    verdict = judge(good.table)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective == good.rows.population.galaxies()


def test_a_repeated_task_fails_and_is_named(good):
    verdict = judge(pa.concat_tables([good.table, good.table.slice(7, 1)]).combine_chunks())
    assert verdict.status is GateStatus.FAIL
    assert values(good.table, "task_id")[7] in verdict.reason


def test_a_galaxy_under_nine_selections_fails_and_is_named(good):
    table = plants.one_row_per_selection(good.table, copies=9)
    verdict = judge(table)
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == 9
    assert "positive" in verdict.reason
    named = verdict.values["repeated"]
    counts = [int(((values(table, "host_id") == h) & (kinds(table) == "positive")).sum()) for h in named]
    assert counts == [9] * len(named)
    assert named[0] in verdict.reason


def test_one_galaxy_counted_twice_is_enough(good):
    twice = gate_world.changed(good.table.slice(0, 1), task_id=["0" * 32])
    verdict = judge(pa.concat_tables([good.table, twice]).combine_chunks())
    assert verdict.status is GateStatus.FAIL
    assert "1 galaxies" in verdict.reason


def test_galaxies_listed_under_two_ids_fail(good):
    verdict = judge(plants.second_ids(good.table, share=0.1))
    assert verdict.status is GateStatus.FAIL
    assert "under another id" in verdict.reason
    assert verdict.lower > verdict.threshold


def test_a_blend_is_no_double(good):
    assert judge(plants.second_ids(good.table, share=0.003)).status is GateStatus.PASS


def test_a_set_without_ids_is_deferred():
    measured = {"rows_per_galaxy": {"positive": [9]}, "most": 1, "repeated_tasks": 0, "doubles": 0}
    measured |= {"galaxies": 9, "absent": {"task_id": "task_id: no ids are stored"}}
    verdict = multiplicity.judge_multiplicity(measured, LIMITS)
    assert verdict.status is GateStatus.DEFERRED
    assert "no ids" in verdict.reason


@pytest.mark.parametrize("copies", [1, 9])
def test_it_is_drawn(good, tmp_path, copies):
    table = good.table if copies == 1 else plants.one_row_per_selection(good.table, copies=copies)
    assert figures.draw_multiplicity(tmp_path / "Q6.png", measure(table), LIMITS) == "Q6.png"
