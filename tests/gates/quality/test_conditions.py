"""Q1: matched conditions pass; a difference in any of them, or none to see, fails."""

import gate_world
import numpy as np
from gate_world import LIMITS, Rows, keep, kinds
from gates.faults import plants

from darkhaloscope.gates.features import sample_columns
from darkhaloscope.gates.quality import conditions
from darkhaloscope.gates.result import GateStatus


def q1(table, good):
    measured = conditions.measure_conditions(
        Rows(table).columns, sample_columns(good.sample), good.sample.population
    )
    return conditions.judge_conditions(measured, LIMITS)


def test_sound_conditions_pass(good):
    verdict = q1(good.table, good)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective >= 30
    assert verdict.upper > verdict.value > 0.0


def test_sharper_seeing_of_positives_fails(good):
    verdict = q1(plants.sharper_seeing(good.table), good)
    assert verdict.status is GateStatus.FAIL
    assert "psf_fwhm_r_arcsec" in verdict.reason
    assert verdict.lower > verdict.threshold


def test_a_difference_hidden_in_one_split_fails(good):
    seeing = gate_world.values(good.table, "psf_fwhm_g_arcsec")
    here = (gate_world.values(good.table, "split") == "test") & (kinds(good.table) == "positive")
    verdict = q1(gate_world.changed(good.table, psf_fwhm_g_arcsec=seeing + 0.25 * here), good)
    assert verdict.status is GateStatus.FAIL
    assert "in test" in verdict.reason


def test_noise_in_a_condition_does_not_fail(good):
    rng = np.random.Generator(np.random.Philox(key=3))
    extra = rng.normal(0.0, 0.1, good.table.num_rows)
    seeing = gate_world.values(good.table, "psf_fwhm_r_arcsec")
    assert (
        q1(gate_world.changed(good.table, psf_fwhm_r_arcsec=seeing + extra), good).status is GateStatus.PASS
    )


def test_constant_seeing_fails(good):
    verdict = q1(plants.constant_conditions(good.table), good)
    assert verdict.status is GateStatus.FAIL
    assert "psf_fwhm_r_arcsec constant" in verdict.reason


def test_a_condition_that_is_not_a_number_fails(good):
    ebv = gate_world.values(good.table, "ebv")
    ebv[3] = np.nan
    verdict = q1(gate_world.changed(good.table, ebv=ebv), good)
    assert verdict.status is GateStatus.FAIL
    assert "ebv" in verdict.reason


def test_one_class_has_nothing_to_be_compared_with(good):
    verdict = q1(keep(good.table, kinds(good.table) == "positive"), good)
    assert verdict.status is GateStatus.FAIL
    assert verdict.reason
