"""B1, B2: a model that sees arcs passes; one that sees bright centres, or the path, fails."""

from dataclasses import replace

import gate_world
import numpy as np
import pytest
import stamp_world
from gate_world import LIMITS, Rows
from scipy.special import expit

from darkhaloscope import tabular
from darkhaloscope.gates.behaviour import trial as trials
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.stamps.nulls import null_injections

EXPERIMENT = gate_world.experiment()


@pytest.fixture(scope="module")
def trial(good):
    return read(good, "train")


def read(good, split):
    return trials.read_trial(
        Rows(good.table),
        good.world.paths("hosts"),
        experiment=EXPERIMENT,
        n_hosts=400,
        size_px=gate_world.SIZE_PX,
        split=split,
    )


def sees_arcs(trial):
    """The light beyond the host, which this judge knows: high with an arc, low without."""
    bare = dict(zip(trial.galaxies, trial.bare, strict=True))

    def score(images, rows):
        hosts = np.stack([bare[h] for h in rows["host_id"].to_pylist()])
        return expit(4.0 * ((images - hosts)[:, 1].sum(axis=(1, 2)) / 0.3 - 1.0))

    return score


def sees_bright_centres(images, rows):
    return expit(images[:, 1, 24:40, 24:40].sum(axis=(1, 2)) - 1.0)


def null(trial, score):
    measured = trials.measure_null_injection(trial, score, experiment=EXPERIMENT, n_boot=50)
    return trials.judge_null_injection(measured, LIMITS)


def removed(trial, score):
    measured = trials.measure_arc_removed(trial, score, experiment=EXPERIMENT)
    return trials.judge_arc_removed(measured, LIMITS)


def test_null_injections_aim_at_no_snr(good, trial):
    """Rows whose flux was chosen for an S/N are injected with no flux all the same."""
    targets = np.linspace(2.0, 50.0, trial.rows.num_rows)
    aimed = replace(trial, rows=stamp_world.replace(trial.rows, target_snr=targets))
    chosen = gate_world.experiment(snr_targeting={"mode": "choose_flux"})
    found = null_injections(aimed.rows, aimed.hosts, chosen)
    np.testing.assert_array_equal(tabular.pixels(found, "image"), trial.bare)
    assert found["target_snr"].null_count == trial.rows.num_rows


def test_a_model_of_arcs_passes(trial):
    verdict = null(trial, sees_arcs(trial))
    assert verdict.status is GateStatus.PASS
    assert verdict.values["auc"]["value"] == 0.5
    assert verdict.values["changed_rows"] == 0


def test_null_injections_leave_every_bit_of_the_host(trial):
    stamps = null_injections(trial.rows, trial.hosts, EXPERIMENT)
    assert set(stamps["status"].to_pylist()) == {"ok"}
    assert np.array_equal(tabular.pixels(stamps, "image"), trial.bare)


def test_a_null_injection_on_dead_pixels_leaves_no_mark(trial):
    """Pixels without data are exactly zero, where even 1e-35 nMgy changes a bit."""
    image = trial.hosts.image.copy()
    image[:, :, :4] = 0.0
    at = [trial.hosts.row_of[host] for host in trial.galaxies]
    dead = replace(trial, bare=image[at], hosts=replace(trial.hosts, image=image))
    assert null(dead, sees_arcs(dead)).values["changed_rows"] == 0


def test_a_path_that_leaves_a_mark_fails(trial):
    """Hosts cut by another path, half a sky level lower: the model can tell which is which."""
    elsewhere = replace(trial, bare=trial.bare - np.float32(0.01))

    def score(images, rows):
        return expit(50.0 * np.median(images[:, 1], axis=(1, 2)) - 2.0)

    verdict = null(elsewhere, score)
    assert verdict.status is GateStatus.FAIL
    assert "tells null injections" in verdict.reason
    assert verdict.values["changed_rows"] == trial.rows.num_rows


def test_a_model_of_bright_centres_fails_both(trial):
    assert null(trial, sees_bright_centres).status is GateStatus.FAIL
    verdict = removed(trial, sees_bright_centres)
    assert verdict.status is GateStatus.FAIL
    assert "hosts alone" in verdict.reason
    assert verdict.lower > 0.3


def test_a_constant_score_above_the_limit_fails(trial):
    verdict = null(trial, lambda images, _rows: np.full(len(images), 0.28))
    assert verdict.status is GateStatus.FAIL
    assert "in the mean" in verdict.reason


def test_a_share_of_confident_null_injections_fails(trial):
    def score(images, rows):
        p = np.full(len(images), 0.01)
        p[::5] = 0.9
        return p

    verdict = null(trial, score)
    assert verdict.status is GateStatus.FAIL
    assert "above 0.5" in verdict.reason


def test_the_score_falls_without_the_arc(trial):
    def score(images, rows):
        # light in the annulus of the arc above what the host has there
        annulus = trials.arc_annulus(rows, 0.262, images.shape[-1])
        return expit(6.0 * (((images - trial.bare)[:, 1] * annulus).sum(axis=(1, 2)) - 0.5))

    verdict = removed(trial, score)
    assert verdict.values["with_arc"]["value"] > 0.5
    assert verdict.values["bare_host"]["value"] < 0.3


def test_the_annulus_holds_the_arc_and_follows_the_lens(trial):
    annulus = trials.arc_annulus(trial.rows, 0.262, trial.image.shape[-1])
    arc = np.maximum(trial.image - trial.bare, 0.0)[:, 1]
    share = (arc * annulus).sum(axis=(1, 2)) / arc.sum(axis=(1, 2))
    assert np.median(share) > 0.9
    area = annulus.sum(axis=(1, 2))
    theta_e = gate_world.values(trial.rows, "theta_e_arcsec")
    assert np.corrcoef(area, theta_e)[0, 1] > 0.5


def test_an_annulus_that_misses_the_arc_proves_nothing(trial):
    measured = trials.measure_arc_removed(trial, sees_arcs(trial), experiment=EXPERIMENT)
    verdict = trials.judge_arc_removed({**measured, "arc_share": 0.6}, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "proves nothing" in verdict.reason


def test_sky_is_resampled_from_outside_and_keyed_by_the_task(trial):
    where = np.zeros((2, 64, 64), bool)
    where[:, 28:36, 28:36] = True
    once = trials.with_sky(trial.image[:2], where, ["a", "b"], 1)
    again = trials.with_sky(trial.image[1:2], where[1:], ["b"], 1)
    assert np.array_equal(once[1], again[0])
    assert np.array_equal(once[:, :, ~where[0]], trial.image[:2][:, :, ~where[0]])
    assert np.isin(once[0][:, where[0]], trial.image[0]).all()
    assert abs(once[0][1][where[0]].mean()) < trial.image[0][1][where[0]].mean()


@pytest.mark.parametrize("rows", [0, 1, 20])
def test_behaviour_fails_closed_on_few_galaxies(trial, rows):
    few = replace(trial, rows=trial.rows.slice(0, rows), image=trial.image[:rows], bare=trial.bare[:rows])
    for verdict in (null(few, sees_bright_centres), removed(few, sees_bright_centres)):
        assert verdict.status is GateStatus.FAIL
        assert "needed" in verdict.reason


def test_a_null_injection_that_is_refused_fails(trial):
    measured = {"galaxies": 50, "refused": 3}
    assert trials.judge_null_injection(measured, LIMITS).status is GateStatus.FAIL
