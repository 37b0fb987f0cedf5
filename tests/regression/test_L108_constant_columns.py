"""L108: a gate passed on a constant column and on a column absent for one class; an empty input was clean."""

import pytest
from gate_world import LIMITS, Rows
from gates.faults.plants import constant_conditions

from darkhaloscope.errors import DataError
from darkhaloscope.gates.quality import conditions
from darkhaloscope.gates.result import GateStatus


def test_a_constant_column_is_no_evidence(gate_set):
    rows = Rows(constant_conditions(gate_set.table))
    measured = conditions.measure_conditions(rows.columns, {}, rows.population)
    assert "psf_fwhm_r_arcsec" in measured["constant"]
    assert conditions.judge_conditions(measured, LIMITS).status is GateStatus.FAIL


def test_an_empty_input_is_not_clean(gate_set):
    """Whatever a column gate asks, it asks of this; the runner makes the error a failure."""
    with pytest.raises(DataError, match="No rows"):
        _ = Rows(gate_set.table.slice(0, 0)).columns
