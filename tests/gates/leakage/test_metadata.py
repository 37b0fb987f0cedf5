"""L5: silent conditions pass; nulls, values together, and how numbers are written tell the class and fail."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows, kinds, values
from gates.faults import plants

from darkhaloscope.gates.leakage import figures, metadata
from darkhaloscope.gates.result import GateStatus

INPUTS = ("psf_fwhm_r_arcsec", "psfdepth_r_mag")


def measure(table, inputs=INPUTS):
    return metadata.measure_metadata(Rows(table).columns, inputs, seed=3, n_boot=100, limits=LIMITS)


def judge(table, inputs=INPUTS):
    return metadata.judge_metadata(measure(table, inputs), LIMITS)


def test_silent_conditions_pass(good):
    verdict = judge(good.table)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective > 100


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_seeing_rounded_in_one_class_fails_and_is_named(good, decimals):
    verdict = judge(plants.rounded_seeing(good.table, decimals))
    assert verdict.status is GateStatus.FAIL
    assert "psf_fwhm_r_arcsec" in verdict.reason
    assert verdict.lower > verdict.threshold


def test_single_precision_in_one_class_fails(good):
    ebv = values(good.table, "ebv").astype(float) * (1.0 + 1e-9)
    narrow = np.where(kinds(good.table) == "unpaired", ebv.astype(np.float32), ebv)
    verdict = judge(gate_world.changed(good.table, ebv=narrow))
    assert verdict.status is GateStatus.FAIL
    assert "ebv" in verdict.reason


def test_a_relation_between_columns_fails_though_each_column_matches(good):
    """The same values of seeing in both classes, but sharp in g where it is sharp in r for one class only."""
    rng = np.random.Generator(np.random.Philox(key=5))
    g = rng.permutation(values(good.table, "psf_fwhm_r_arcsec")) * 1.1
    lens = kinds(good.table) == "positive"
    r = values(good.table, "psf_fwhm_r_arcsec")
    for chosen in (lens, ~lens):
        rows = np.flatnonzero(chosen)
        rank = np.argsort(r[rows]) if chosen is lens else rng.permutation(len(rows))
        g[rows[rank]] = np.sort(g[rows])
    verdict = judge(gate_world.changed(good.table, psf_fwhm_g_arcsec=g))
    assert verdict.status is GateStatus.FAIL


def test_nulls_in_one_class_fail(good):
    verdict = judge(plants.null_in_controls(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "nulls tell" in verdict.reason


def test_a_few_nulls_in_any_class_tell_nothing(good):
    ebv = values(good.table, "ebv").astype(float)
    ebv[::100] = np.nan
    verdict = judge(gate_world.changed(good.table, ebv=ebv))
    assert verdict.status is GateStatus.PASS


@pytest.mark.parametrize("name", ["theta_e_arcsec", "arc_snr_footprint_r", "bandset", "made_up"])
def test_a_truth_or_result_named_as_an_input_fails(good, name):
    verdict = judge(good.table, (*INPUTS, name))
    assert verdict.status is GateStatus.FAIL
    assert name in verdict.reason


def test_the_models_own_inputs_are_asked_apart(good):
    measured = measure(plants.rounded_seeing(good.table, 1))
    assert set(measured["auc"]["inputs"]) == set(measured["auc"]["conditions"])
    assert measured["auc"]["inputs"]["unpaired"]["lower"] > 0.52
    assert measure(good.table, ())["auc"]["inputs"] == {}


def test_one_class_and_few_galaxies_fail(good):
    only = gate_world.keep(good.table, kinds(good.table) == "positive")
    few = gate_world.keep(
        good.table, np.isin(values(good.table, "host_id"), values(good.table, "host_id")[:20])
    )
    for table in (only, few):
        verdict = judge(table)
        assert verdict.status is GateStatus.FAIL
        assert "needed" in verdict.reason


def test_columns_that_are_absent_defer_what_would_pass(good):
    measured = measure(good.table) | {"absent": {"ebv": "ebv: not stored"}}
    verdict = metadata.judge_metadata(measured, LIMITS)
    assert verdict.status is GateStatus.DEFERRED
    assert "ebv" in verdict.reason


def test_how_a_number_is_written():
    numbers = np.array([[1.0, 1.5, 1.25, 1.3, 1.2345678912, np.nan, float(np.float32(1.3)), 22.123456, 1e12]])
    assert metadata.written(numbers)[0, :5].tolist() == [8.0, 9.0, 10.0, 1.0, 7.0]
    assert np.isnan(metadata.written(numbers)[0, 5])
    assert metadata.written(numbers)[0, 6:8].tolist() == [15.0, 6.0]


def test_it_is_drawn(good, tmp_path):
    measured = measure(plants.rounded_seeing(good.table, 2))
    assert figures.draw_metadata(tmp_path / "L5.png", measured, 0.52) == "L5.png"
    assert figures.draw_metadata(tmp_path / "L5.png", {**measured, "roc": {}}, 0.52) is None
