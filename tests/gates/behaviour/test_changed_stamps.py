"""B3, B4, B5, B8: how stamps are changed, and what a judge makes of the answers."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows
from gates.faults import models
from scipy import stats
from scipy.special import expit

from darkhaloscope.gates.behaviour import calm, centre, growth, rings
from darkhaloscope.gates.behaviour import trial as trials
from darkhaloscope.gates.behaviour.scored import Scored
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.lensing.geometry import outer_pixels
from darkhaloscope.statistics.robust import median_and_sigma

SCALE = 0.262


@pytest.fixture(scope="module")
def trial(good):
    return trials.read_trial(
        Rows(good.table),
        good.world.paths("hosts"),
        experiment=good.world.experiment,
        n_hosts=400,
        size_px=gate_world.SIZE_PX,
        split="val",
    )


@pytest.fixture(scope="module")
def sound(good):
    return models.sees_arcs(good.table)


def always(p):
    return lambda images, _rows: np.full(len(images), p)


def judged_centre(trial, score):
    measured = centre.measure_centre(trial, score, limits=LIMITS, seed=1, panel=10)
    return centre.judge_centre(measured, LIMITS)


def judged_rings(trial, score):
    measured = rings.measure_rings(trial, score, pixel_scale_arcsec=SCALE, seed=1, panel=40)
    return rings.judge_rings(measured, LIMITS)


def judged_calm(trial, score):
    return calm.judge_calm(calm.measure_calm(trial, score, n_boot=50, seed=1, panel=40), LIMITS)


def judged_growth(trial, score):
    nothing = Scored(trial.rows.slice(0, 0), np.empty(0))
    return growth.judge_growth(growth.measure_growth(trial, nothing, score, panel=40), LIMITS)


def test_the_disc_ends_where_the_arc_begins(trial):
    reach = centre.arc_inner_radius(trial, 0.1)
    radius = centre._radius_px(trial)
    assert (centre._share_inside(trial, radius, reach) <= 0.1 + 1e-9).all()
    assert (centre._share_inside(trial, radius, reach + 0.5) > 0.1 - 1e-9).all()
    theta_e = gate_world.values(trial.rows, "theta_e_arcsec") / SCALE
    assert np.corrcoef(reach, theta_e)[0, 1] > 0.5
    assert (reach < theta_e).mean() > 0.9


def test_a_levelled_centre_holds_the_hosts_own_annulus_and_touches_nothing_else(trial):
    few = trial.where(np.arange(trial.rows.num_rows) < 3)
    radius = centre._radius_px(few)
    out = centre.level_centre(few.image, few.bare, radius, np.full(3, 6.0), ["a", "b", "c"], 1)
    again = centre.level_centre(few.image[1:2], few.bare[1:2], radius[1:2], np.full(1, 6.0), ["b"], 1)
    np.testing.assert_array_equal(out[1], again[0])
    for i in range(3):
        disc, around = radius[i] < 6.0, (radius[i] >= 6.0) & (radius[i] < 8.0)
        np.testing.assert_array_equal(out[i][:, ~disc], few.image[i][:, ~disc])
        for band in range(3):
            assert np.isin(out[i, band][disc], few.bare[i, band][around]).all()
        assert out[i, 1][disc].max() < few.bare[i, 1][disc].max()


def test_a_whole_disc_takes_the_arc_and_only_informs(trial, sound):
    """A model of arcs loses its score with the disc of 10 px, and passes all the same."""
    verdict = judged_centre(trial, sound)
    assert verdict.status is GateStatus.PASS
    whole = verdict.values["whole"]["10"]
    assert whole["arc_share"] > 0.5
    assert whole["drop"]["value"] > 0.1


def test_rings_have_the_height_and_radius_they_are_said_to_have(trial):
    few = trial.where(np.arange(trial.rows.num_rows) < 4)
    colour = np.array([2.0, 1.0, 0.5])
    ring = rings.with_ring(few.bare, few, 15.0, 2.0, colour) - few.bare
    _, sigma = median_and_sigma(few.bare, outer_pixels(64))
    np.testing.assert_allclose(ring.max(axis=(2, 3)), 2.0 * sigma[:, 1:2] * colour, rtol=0.01)
    radius = centre._radius_px(few)
    crest = radius.reshape(4, -1)[np.arange(4), ring[:, 1].reshape(4, -1).argmax(axis=1)]
    np.testing.assert_allclose(crest, 15.0, atol=0.2)
    off = np.interp(
        15.0 + np.sqrt(20.0),
        *(x[np.argsort(radius[0].ravel())] for x in (radius[0].ravel(), ring[0, 1].ravel())),
    )
    np.testing.assert_allclose(off / ring[0, 1].max(), np.exp(-1.0), rtol=0.05)


def test_a_shuffled_arc_has_the_flux_and_the_power_of_the_arc(trial):
    arcs = (trial.image - trial.bare)[:5]
    shuffled = rings.shuffled_arcs(arcs, list("abcde"), 1)
    np.testing.assert_allclose(shuffled.sum(axis=(2, 3)), arcs.sum(axis=(2, 3)), rtol=1e-4)
    power = [np.abs(np.fft.rfft2(images.astype(float)))[:, :, 1:20, 1:20] for images in (arcs, shuffled)]
    np.testing.assert_allclose(power[1], power[0], rtol=1e-3, atol=1e-5)
    assert np.corrcoef(shuffled[0, 1].ravel(), arcs[0, 1].ravel())[0, 1] < 0.5


def test_rings_of_the_radius_of_lenses_only_inform(trial):
    """Light around a galaxy at theta_E is what a lens is."""

    bare = dict(zip(trial.galaxies, trial.bare, strict=True))

    def fires_at_theta_e(images, rows):
        added = (
            models.over_noise(images)[:, 1]
            - models.over_noise(np.stack([bare[h] for h in rows["host_id"].to_pylist()]))[:, 1]
        )
        near, far = (
            added[:, (low < models.RADIUS) & (low + 3 > models.RADIUS)].mean(axis=1) for low in (3.5, 13.5)
        )
        return np.where((near > 1.0) & (far < 0.3), 0.9, 0.05)

    measured = rings.measure_rings(trial, fires_at_theta_e, pixel_scale_arcsec=SCALE, seed=1, panel=40)
    inner = [cell["mean_p"] for cell in measured["cells"] if cell["radius_px"] == 5.0]
    assert max(inner) > 0.5
    assert rings.judge_rings(measured, LIMITS).status is GateStatus.PASS
    assert {cell["radius_px"] for cell in measured["cells"] if cell["judged"]} == {15.0, 20.0}
    wide = {**measured, "cells": [{**cell, "judged": False} for cell in measured["cells"]]}
    assert "no ring lies beyond" in rings.judge_rings(wide, LIMITS).reason


def test_rank_correlations_are_spearmans():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 40)), rng.integers(0, 6, (3, 40)).astype(float)
    want = [stats.spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(calm._rank(a, b), want)
    order = [stats.spearmanr(x, np.arange(40))[0] for x in b]
    np.testing.assert_allclose(growth.within_rows(b), order)
    assert growth.within_rows(np.ones((1, 5)))[0] == 0.0


def test_changes_do_what_they_say():
    image = np.arange(2 * 3 * 16.0, dtype=np.float32).reshape(2, 3, 4, 4)
    by_name = {name: change(image) for members in calm.changes().values() for name, change in members.items()}
    np.testing.assert_allclose(by_name["flux x 0.8"], 0.8 * image)
    bright = by_name["g -0.05 mag"]
    np.testing.assert_allclose(-2.5 * np.log10(bright[:, 0, 1:] / image[:, 0, 1:]), -0.05, atol=1e-5)
    np.testing.assert_array_equal(bright[:, 1:], image[:, 1:])
    np.testing.assert_array_equal(by_name["1 px right"][..., 1:], image[..., :-1])
    np.testing.assert_array_equal(by_name["1 px down"][:, :, :-1], image[:, :, 1:])
    np.testing.assert_array_equal(by_name["mirror"], image[..., ::-1])
    np.testing.assert_array_equal(by_name["half turn"], image[:, :, ::-1, ::-1])


def test_a_change_of_arcs_does_not_hide_behind_galaxies(trial, sound):
    def sure_of_bright_pixels(images, rows):
        return sound(images, rows) * np.clip(np.quantile(images[:, 1], 0.9, axis=(1, 2)) / 0.02, 0.0, 1.0)

    verdict = judged_calm(trial, sure_of_bright_pixels)
    assert verdict.status is GateStatus.FAIL
    assert "positives" in verdict.reason
    assert verdict.values["changes"]["flux x 0.8"]["hosts"]["value"] < 0.01


def test_a_saturated_model_of_arcs_grows_and_a_blind_one_does_not(trial, sound):
    assert (
        judged_growth(trial, lambda images, rows: 0.9 + 0.099 * sound(images, rows)).status is GateStatus.PASS
    )
    verdict = judged_growth(trial, lambda images, _rows: expit(images[:, 1, :3, :3].sum(axis=(1, 2))))
    assert verdict.status is GateStatus.FAIL
    assert "does not grow" in verdict.reason


@pytest.mark.parametrize("judged", [judged_centre, judged_rings, judged_calm, judged_growth])
@pytest.mark.parametrize("rows", [0, 1, 20])
def test_few_galaxies_fail(trial, judged, rows):
    verdict = judged(trial.where(np.arange(trial.rows.num_rows) < rows), always(0.1))
    assert verdict.status is GateStatus.FAIL
    assert "needed" in verdict.reason
