"""Q4: a few losses are noise; losses of one class, one bin or beyond 1 % fail, with their reasons."""

import pytest
from gate_world import LIMITS
from gates.faults import plants

from darkhaloscope import tabular
from darkhaloscope.gates.quality import losses
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS


def judged(good, tmp_path, change=None):
    paths = good.world.paths("stamps")
    if change is not None:
        table = change(tabular.read_table(paths))
        paths = [tmp_path / "stamps.parquet"]
        tabular.write_table(paths[0], STAMPS, table)
    return losses.judge_losses(losses.measure_losses(good.world.paths("manifest"), paths), LIMITS)


def test_no_losses_pass(good, tmp_path):
    verdict = judged(good, tmp_path)
    assert verdict.status is GateStatus.PASS
    assert verdict.value == 0.0


def test_positives_lost_in_poor_seeing_fail(good, tmp_path):
    verdict = judged(good, tmp_path, plants.lose_wide_psf)
    assert verdict.status is GateStatus.FAIL
    assert "psf_kernel_too_large" in verdict.reason


def test_rows_that_never_came_are_losses(good, tmp_path):
    verdict = judged(good, tmp_path, lambda t: t.slice(0, t.num_rows - 40))
    assert verdict.status is GateStatus.FAIL
    assert "no_row" in verdict.reason


def test_a_small_loss_of_one_class_only_fails_on_its_ratio():
    measured = {
        "lost_and_planned": {"positive": [60, 20_000], "paired": [10, 20_000]},
        "reasons": {"light_off_stamp": 70},
        "positives_by_bin": {},
    }
    verdict = losses.judge_losses(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "times as often" in verdict.reason


def test_losses_gathered_in_one_bin_fail_though_few_overall():
    measured = {
        "lost_and_planned": {"positive": [8, 4000], "paired": [2, 4000]},
        "reasons": {"bad_pixels_z": 10},
        "positives_by_bin": {"seeing r 1.45-1.80 arcsec": [8, 100], "seeing r 1.00-1.45 arcsec": [0, 3900]},
    }
    verdict = losses.judge_losses(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "seeing r 1.45-1.80" in verdict.reason


@pytest.mark.parametrize("counts", [[0, 40], [1, 40], [2, 300]])
def test_few_losses_are_noise(counts):
    measured = {
        "lost_and_planned": {"positive": counts, "paired": [0, 300]},
        "reasons": {},
        "positives_by_bin": {},
    }
    assert losses.judge_losses(measured, LIMITS).status is GateStatus.PASS
