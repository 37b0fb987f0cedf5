"""Q2, Q3 and Q5: complete, finite, promised sets pass; a lost band, a NaN, a missing class fail."""

import gate_world
import pytest
from gate_world import LIMITS, Rows
from gates.faults import plants

from darkhaloscope.config import Controls
from darkhaloscope.gates.quality import completeness
from darkhaloscope.gates.result import GateStatus

FRACTIONS = gate_world.FRACTIONS


def bands(table, planes=None):
    measured = completeness.measure_bands(Rows(table).columns, planes or {})
    return completeness.judge_bands(measured, LIMITS)


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


def finite(table, not_finite):
    measured = completeness.measure_finite(Rows(table).columns, not_finite)
    return completeness.judge_finite(measured, LIMITS)


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


def classes(table, controls=None):
    measured = completeness.measure_classes(Rows(table).columns, controls or Controls(), FRACTIONS)
    return completeness.judge_classes(measured, LIMITS)


def test_promised_classes_pass(good):
    assert classes(good.table).status is GateStatus.PASS


def test_a_split_without_controls_fails(good):
    verdict = classes(plants.without_controls(good.table, "val"))
    assert verdict.status is GateStatus.FAIL
    assert "in val" in verdict.reason


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
    shares = completeness.expected_shares(Controls(unpaired_fraction=0.25, paired=True, matched_light=True))
    assert shares == pytest.approx({"positive": 0.3, "paired": 0.3, "unpaired": 0.1, "matched_light": 0.3})
