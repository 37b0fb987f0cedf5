"""L108: a gate passed on a constant column and on a column absent for one class; an empty input was clean."""

from gate_world import LIMITS, Rows
from gates.faults.plants import constant_conditions

from darkhaloscope.config import Controls
from darkhaloscope.gates.leakage import splits
from darkhaloscope.gates.quality import conditions
from darkhaloscope.gates.result import GateStatus


def test_a_constant_column_is_no_evidence(gate_set):
    rows = Rows(constant_conditions(gate_set.table))
    measured = conditions.measure_conditions(rows, rows.population, {}, rows.population)
    assert "psf_fwhm_r_arcsec" in measured["constant"]
    assert conditions.judge_conditions(measured, LIMITS).status is GateStatus.FAIL


def test_an_empty_input_is_not_clean(gate_set):
    rows = Rows(gate_set.table.slice(0, 0))
    population = rows.population
    verdicts = [
        conditions.judge_conditions(conditions.measure_conditions(rows, population, {}, population), LIMITS),
        conditions.judge_bands(conditions.measure_bands(rows, population, {}), LIMITS),
        conditions.judge_finite(conditions.measure_finite(rows, population, 0), LIMITS),
        conditions.judge_classes(
            conditions.measure_classes(population, Controls(), (0.7, 0.15, 0.15)), LIMITS
        ),
        splits.judge_hosts(splits.measure_shared_hosts(rows, population), LIMITS),
        splits.judge_sources(splits.measure_sources(rows, population), LIMITS),
    ]
    assert {verdict.status for verdict in verdicts} == {GateStatus.FAIL}
