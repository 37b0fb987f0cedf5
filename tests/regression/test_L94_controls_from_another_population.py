"""L94: positives sat on brighter galaxies than their controls; the core alone gave AUC 0.98."""

from gate_world import LIMITS, Rows, sample_of
from gates.faults.plants import brighter_hosts

from darkhaloscope.gates.quality import conditions
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.shortcut import brightness


def test_hosts_of_two_populations_fail_before_any_injection_is_looked_at(gate_set):
    table = brighter_hosts(gate_set.table)
    sample = sample_of(table, gate_set.world.experiment)
    measured = conditions.measure_conditions(Rows(table).columns, {}, sample.population)
    verdict = conditions.judge_conditions(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "host_mag_" in verdict.reason
    measured = brightness.measure_brightness(sample, sample.model, gate_set.hosts)
    cores = brightness.judge_brightness(measured, LIMITS)
    assert cores.status is GateStatus.FAIL
    assert "before injection" in cores.reason
