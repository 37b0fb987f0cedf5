"""Q1 to Q5: the sound set passes, each planted fault fails its gate and is named."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows, keep, kinds
from gates.faults import plants

from darkhaloscope import tabular
from darkhaloscope.config import Controls
from darkhaloscope.gates.features import sample_columns
from darkhaloscope.gates.quality import conditions
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS

FRACTIONS = gate_world.FRACTIONS


def q1(table, good):
    measured = conditions.measure_conditions(
        Rows(table), Rows(table).population, sample_columns(good.sample), good.sample.population
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


@pytest.mark.parametrize("flags", ["none", "positives only"])
def test_conditions_fail_closed(good, flags):
    chosen = np.zeros(good.table.num_rows, bool) if flags == "none" else kinds(good.table) == "positive"
    verdict = q1(keep(good.table, chosen), good)
    assert verdict.status is GateStatus.FAIL
    assert verdict.reason


def bands(table, planes=None):
    measured = conditions.measure_bands(Rows(table), Rows(table).population, planes or {})
    return conditions.judge_bands(measured, LIMITS)


def test_complete_bands_pass(good):
    assert bands(good.table, good.sample.empty_planes).status is GateStatus.PASS


def test_a_missing_band_fails_and_names_class_and_split(good):
    verdict = bands(plants.missing_band(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "unpaired/" in verdict.reason
    assert ": gr" in verdict.reason
    assert verdict.value == 3


def test_an_empty_plane_fails_although_the_row_calls_itself_complete(good):
    table = plants.empty_plane(good.table)
    sample = gate_world.sample_of(table, good.world.experiment)
    verdict = bands(table, sample.empty_planes)
    assert verdict.status is GateStatus.FAIL
    assert "invvar_z" in verdict.reason


def test_no_rows_have_no_complete_bands(good):
    assert bands(good.table.slice(0, 0)).status is GateStatus.FAIL


def finite(table, not_finite):
    measured = conditions.measure_finite(Rows(table), Rows(table).population, not_finite)
    return conditions.judge_finite(measured, LIMITS)


def test_finite_pixels_pass(good):
    assert finite(good.table, good.sample.not_finite).status is GateStatus.PASS


@pytest.mark.parametrize("counted", [True, False])
def test_a_nan_pixel_fails_with_and_without_its_column(good, counted):
    table = plants.nan_pixel(good.table, counted=counted)
    sample = gate_world.sample_of(table, good.world.experiment)
    assert sample.not_finite == 1
    verdict = finite(table, sample.not_finite)
    assert verdict.status is GateStatus.FAIL
    assert "1 rows" in verdict.reason


def test_no_rows_are_not_finite(good):
    assert finite(good.table.slice(0, 0), 0).status is GateStatus.FAIL


def losses(good, tmp_path, change=None):
    paths = good.world.paths("stamps")
    if change is not None:
        table = change(tabular.read_table(paths))
        paths = [tmp_path / "stamps.parquet"]
        tabular.write_table(paths[0], STAMPS, table)
    return conditions.judge_losses(conditions.measure_losses(good.world.paths("manifest"), paths), LIMITS)


def test_no_losses_pass(good, tmp_path):
    verdict = losses(good, tmp_path)
    assert verdict.status is GateStatus.PASS
    assert verdict.value == 0.0


def test_positives_lost_in_poor_seeing_fail(good, tmp_path):
    verdict = losses(good, tmp_path, plants.lose_wide_psf)
    assert verdict.status is GateStatus.FAIL
    assert "psf_kernel_too_large" in verdict.reason


def test_rows_that_never_came_are_losses(good, tmp_path):
    verdict = losses(good, tmp_path, lambda t: t.slice(0, t.num_rows - 40))
    assert verdict.status is GateStatus.FAIL
    assert "no_row" in verdict.reason


def test_a_small_loss_of_one_class_only_fails_on_its_ratio():
    measured = {
        "lost_and_planned": {"positive": [60, 20_000], "paired": [10, 20_000]},
        "reasons": {"light_off_stamp": 70},
        "positives_by_bin": {},
    }
    verdict = conditions.judge_losses(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "times as often" in verdict.reason


def test_losses_gathered_in_one_bin_fail_though_few_overall():
    measured = {
        "lost_and_planned": {"positive": [8, 4000], "paired": [2, 4000]},
        "reasons": {"bad_pixels_z": 10},
        "positives_by_bin": {"seeing r 1.45-1.80 arcsec": [8, 100], "seeing r 1.00-1.45 arcsec": [0, 3900]},
    }
    verdict = conditions.judge_losses(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "seeing r 1.45-1.80" in verdict.reason


@pytest.mark.parametrize("counts", [[0, 40], [1, 40], [2, 300]])
def test_few_losses_are_noise(counts):
    measured = {
        "lost_and_planned": {"positive": counts, "paired": [0, 300]},
        "reasons": {},
        "positives_by_bin": {},
    }
    assert conditions.judge_losses(measured, LIMITS).status is GateStatus.PASS


def classes(table, controls=None):
    measured = conditions.measure_classes(Rows(table).population, controls or Controls(), FRACTIONS)
    return conditions.judge_classes(measured, LIMITS)


def test_promised_classes_pass(good):
    assert classes(good.table).status is GateStatus.PASS


def test_a_split_without_controls_fails(good):
    verdict = classes(plants.without_controls(good.table, "val"))
    assert verdict.status is GateStatus.FAIL
    assert "in val" in verdict.reason


def test_an_empty_set_fails(good):
    assert classes(good.table.slice(0, 0)).status is GateStatus.FAIL


def test_half_the_positives_gone_fails(good):
    verdict = classes(plants.half_the_positives(good.table))
    assert verdict.status is GateStatus.FAIL
    assert verdict.lower > verdict.threshold


def test_a_class_that_was_not_promised_fails(good):
    verdict = classes(good.table, Controls(matched_light=False))
    assert verdict.status is GateStatus.FAIL
    assert "matched_light" in verdict.reason


def test_a_configuration_of_one_class_fails(good):
    only = Controls(unpaired_fraction=0.0, paired=False, matched_light=False)
    assert classes(good.table, only).status is GateStatus.FAIL


def test_expected_shares_follow_the_roles_of_hosts():
    shares = conditions.expected_shares(Controls(unpaired_fraction=0.25, paired=True, matched_light=True))
    assert shares == pytest.approx({"positive": 0.3, "paired": 0.3, "unpaired": 0.1, "matched_light": 0.3})
