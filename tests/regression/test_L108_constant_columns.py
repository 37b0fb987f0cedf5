"""L108: a gate passed on a constant column and on a column absent for one class; an empty input was clean."""

from gate_world import LIMITS, Rows
from gates.faults import constant_conditions

from darkhaloscope.config import Controls
from darkhaloscope.gates import leakage, quality
from darkhaloscope.gates.result import GateStatus


def test_a_constant_column_is_no_evidence(gate_set):
    rows = Rows(constant_conditions(gate_set.table))
    measured = quality.measure_conditions(rows, rows.population, {}, rows.population)
    assert "psf_fwhm_r_arcsec" in measured["constant"]
    assert quality.judge_conditions(measured, LIMITS).status is GateStatus.FAIL


def test_an_empty_input_is_not_clean(gate_set):
    rows = Rows(gate_set.table.slice(0, 0))
    population = rows.population
    verdicts = [
        quality.judge_conditions(quality.measure_conditions(rows, population, {}, population), LIMITS),
        quality.judge_bands(quality.measure_bands(rows, population, {}), LIMITS),
        quality.judge_finite(quality.measure_finite(rows, population, 0), LIMITS),
        quality.judge_classes(quality.measure_classes(population, Controls(), (0.7, 0.15, 0.15)), LIMITS),
        leakage.judge_hosts(leakage.measure_shared_hosts(rows, population), LIMITS),
        leakage.judge_sources(leakage.measure_sources(rows, population), LIMITS),
    ]
    assert {verdict.status for verdict in verdicts} == {GateStatus.FAIL}
