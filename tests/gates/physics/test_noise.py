"""P8: noise that one class has and the other has not, and everything that is no difference."""

import dataclasses

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, changed, kinds
from gates.faults import broken_light
from scipy import ndimage

from darkhaloscope import tabular
from darkhaloscope.gates.physics import figures, photon_noise
from darkhaloscope.gates.physics.noise import STEP_EDGES, judge_noise, lag_one, measure_noise, step_counts
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.lensing.deviates import correlated_normals
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for


@pytest.fixture(scope="module")
def some(good):
    """Every third galaxy of every class."""
    hosts = np.array(good.table["host_id"].to_pylist())
    chosen = np.isin(hosts, np.unique(hosts)[::3])
    return gate_world.keep(good.table, chosen)


def p8(good, table):
    located = locate_hosts(good.world.paths("hosts"), table["host_id"].to_pylist())
    hosts = load_hosts_for(good.world.experiment, located, size_px=gate_world.SIZE_PX)
    measured = measure_noise(table, hosts, experiment=good.world.experiment)
    return judge_noise(measured, LIMITS)


def with_images(table, kind, change):
    image = tabular.pixels(table, "image").copy()
    chosen = kinds(table) == kind
    image[chosen] = change(image[chosen])
    return changed(table, image=image)


def test_sound_noise_passes_against_every_kind(good, some):
    verdict = p8(good, some)
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert set(verdict.values["effects"]) == {"paired", "unpaired", "matched_light"}
    assert abs(verdict.value) < 0.005
    # controls to which nothing was added are their hosts
    assert set(verdict.values["means"]["paired"]["variance"].values()) == {0.0}


def test_a_quantised_set_passes_for_both_classes_were_counted(good, some):
    verdict = p8(good, gate_world.quantised(some))
    assert verdict.status is GateStatus.PASS, verdict.reason


@pytest.mark.parametrize("kind", ["positive", "paired"])
def test_a_class_counted_in_steps_of_sigma_is_found(good, some, kind):
    counted = tabular.pixels(gate_world.quantised(some, 1.0), "image")
    image = np.where((kinds(some) == kind)[:, None, None, None], counted, tabular.pixels(some, "image"))
    assert p8(good, changed(some, image=image)).status is GateStatus.FAIL


def test_five_percent_more_variance_is_seen(good, some):
    rng = np.random.Generator(np.random.Philox(key=2))

    def noisier(image):
        sigma = image[:, :, :10].std(axis=(2, 3), keepdims=True)
        return image + np.sqrt(0.05) * sigma * rng.standard_normal(image.shape).astype(np.float32)

    verdict = p8(good, with_images(some, "positive", noisier))
    assert verdict.status is GateStatus.FAIL
    assert "the sky variance of positives is +" in verdict.reason
    assert verdict.value == pytest.approx(0.05, abs=0.025)


def test_smoothing_that_keeps_the_variance_is_seen(good, some):
    def smoothed(image):
        blurred = ndimage.gaussian_filter(image, (0, 0, 0.35, 0.35))
        scale = image[:, :, :10].std(axis=(2, 3)) / blurred[:, :, :10].std(axis=(2, 3))
        middle = np.median(blurred, axis=(2, 3), keepdims=True)
        return middle + scale[:, :, None, None] * (blurred - middle)

    verdict = p8(good, with_images(some, "positive", smoothed))
    assert verdict.status is GateStatus.FAIL
    assert any(raw["lower"] > 0.02 for raw in verdict.values["effects"]["paired"]["correlation"].values())


def test_steps_finer_than_the_noise_are_seen(good, some):
    """A lattice of sigma/500 changes no variance and no correlation."""
    verdict = p8(good, with_images(some, "positive", lambda image: np.rint(image / 1e-5) * np.float32(1e-5)))
    assert verdict.status is GateStatus.FAIL
    assert "other steps" in verdict.reason


def test_noise_under_the_arc_is_the_arcs_own(good, some):
    """Only pixels whose inverse variance light has lowered are changed."""
    image = tabular.pixels(some, "image").copy()
    invvar = tabular.pixels(some, "invvar")
    level = np.median(invvar, axis=(2, 3), keepdims=True)
    lit = (invvar < level) & (kinds(some) == "positive")[:, None, None, None]
    rng = np.random.Generator(np.random.Philox(key=3))
    image[lit] += 0.01 * rng.standard_normal(int(lit.sum())).astype(np.float32)
    assert lit.sum() > 1000
    assert p8(good, changed(some, image=image)).status is GateStatus.PASS


def test_arcs_that_leave_no_sky_fail(good, some):
    invvar = tabular.pixels(some, "invvar").copy()
    invvar[kinds(some) == "positive"] *= np.float32(0.9)
    verdict = p8(good, changed(some, invvar=invvar))
    assert verdict.status is GateStatus.FAIL
    assert "leave no sky" in verdict.reason


def test_a_band_that_is_not_finite_fails(good, some, tmp_path):
    image = tabular.pixels(some, "image").copy()
    image[kinds(some) == "positive", 1, :, 2] = np.nan
    verdict = p8(good, changed(some, image=image))
    assert verdict.status is GateStatus.FAIL
    assert "no sky to compare in r" in verdict.reason
    assert verdict.values["means"]["positive"]["variance"]["r"] is None
    assert figures.draw_noise(tmp_path / "P8.png", verdict.values, 0.02) == "P8.png"


def test_one_class_or_a_few_galaxies_fail(good, some):
    positives = gate_world.keep(some, kinds(some) == "positive")
    assert p8(good, positives).status is GateStatus.FAIL
    controls = gate_world.keep(some, kinds(some) != "positive")
    assert p8(good, controls).status is GateStatus.FAIL
    few = gate_world.keep(some, (kinds(some) == "positive") | (np.arange(some.num_rows) < 10))
    assert p8(good, few).status is GateStatus.FAIL


def test_without_photon_noise_the_sky_is_where_no_image_reaches(good, some):
    chosen = good.world.experiment
    chosen = chosen.model_copy(update={"noise": chosen.noise.model_copy(update={"arc_shot_noise": False})})
    located = locate_hosts(good.world.paths("hosts"), some["host_id"].to_pylist())
    hosts = load_hosts_for(chosen, located, size_px=gate_world.SIZE_PX)
    flat = hosts.invvar[[hosts.row_of[name] for name in some["host_id"].to_pylist()]]
    table = changed(some, invvar=flat)
    measured = measure_noise(table, hosts, experiment=chosen)
    assert judge_noise(measured, LIMITS).status is GateStatus.PASS


def with_noise_of(arcs, factor, rng=None):
    """Arcs whose photon noise is scaled, or white."""
    noise = arcs.light - arcs.oracle
    if rng is not None:
        noise = np.sqrt(arcs.variance) * rng.standard_normal(noise.shape)
    return dataclasses.replace(arcs, light=arcs.oracle + factor * noise)


def p8_arcs(arcs):
    measured = photon_noise.measure_photon_noise(arcs, seed=1)
    return photon_noise.fault_of(measured, LIMITS, measured), measured


def test_photon_noise_of_sound_arcs_is_that_of_their_light(arcs):
    fault, measured = p8_arcs(arcs)
    assert fault is None
    assert measured["variance"]["value"] == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("factor", [0.0, 0.8, 1.2, 10.0])
def test_another_gain_is_seen(arcs, factor):
    fault, _ = p8_arcs(with_noise_of(arcs, factor))
    assert fault.status is GateStatus.FAIL
    assert "times the variance of photons" in fault.reason


def test_arcs_in_another_place_have_the_noise_of_their_light(arcs):
    """What is wrong with the light itself is the business of P1 and P2."""
    for light in (1.05 * arcs.light, arcs.light - 0.5 * arcs.oracle):
        assert p8_arcs(dataclasses.replace(arcs, light=light))[0] is None


def test_white_photon_noise_is_seen(arcs):
    fault, _ = p8_arcs(with_noise_of(arcs, 1.0, np.random.Generator(np.random.Philox(key=6))))
    assert fault.status is GateStatus.FAIL
    assert fault.value == pytest.approx(2.2, abs=0.3)


def test_arcs_without_a_variance_fail(arcs):
    fault, _ = p8_arcs(dataclasses.replace(arcs, variance=0.0 * arcs.variance))
    assert fault.status is GateStatus.FAIL
    assert "0 arcs carry photon noise" in fault.reason


def test_lag_one_is_the_correlation_that_was_drawn():
    keys = [np.array([5, 6, 7, i]) for i in range(30)]
    everywhere = np.ones((64, 64), dtype=bool)
    for correlation in (0.0, 0.25):
        found = [lag_one(correlated_normals(key, (1, 64, 64), correlation)[0], everywhere) for key in keys]
        assert np.mean(found) == pytest.approx(correlation, abs=0.01)


def test_steps_of_a_lattice_fall_into_the_lowest_bin():
    rng = np.random.Generator(np.random.Philox(key=8))
    values = rng.standard_normal(2000)
    counts = step_counts(np.rint(values * 32) / 32, 1.0)
    assert counts[0] > 0.85 * counts.sum()
    assert step_counts(values, 1.0)[0] < 0.1 * counts.sum()
    assert len(counts) == len(STEP_EDGES) - 1


def test_lattice_fault_leaves_the_variance(good, some):
    """The step histogram is what sees it."""
    image = tabular.pixels(some, "image").copy()
    ids = some["task_id"].to_pylist()
    for row in np.flatnonzero(kinds(some) == "positive"):
        image[row] = broken_light.on_a_lattice(image[row], ids[row])
    effects = p8(good, changed(some, image=image)).values["effects"]["paired"]
    assert max(abs(raw["value"]) for raw in effects["variance"].values()) < 0.01
    assert effects["steps"]["all"]["lower"] > 0.5


def test_figure_is_drawn_and_nothing_is_drawn_of_nothing(good, some, tmp_path):
    measured = p8(good, some).values
    assert figures.draw_noise(tmp_path / "P8.png", measured, 0.02) == "P8.png"
    assert figures.draw_noise(tmp_path / "none.png", {"means": {}}, 0.02) is None
