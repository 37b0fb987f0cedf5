"""S1 to S3 and S6: sound sets pass, brighter, bluer and hidden ones fail."""

from dataclasses import replace

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, keep, kinds, sample_of
from gates.faults import plants

from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.shortcut import light

VIEWS = ("raw", "model")


@pytest.fixture(scope="module")
def faulty(good):
    """Samples of planted faults, each taken once."""
    made = {}

    def sample(fault, *args):
        key = (fault.__name__, args)
        if key not in made:
            made[key] = sample_of(fault(good.table, *args), good.world.experiment)
        return made[key]

    return sample


def normalisation(sample):
    return light.judge_normalisation(light.measure_normalisation(sample), LIMITS)


def aperture(sample, view="model"):
    measured = light.measure_aperture_light(sample, getattr(sample, view), seed=1, n_boot=100)
    return light.judge_aperture_light(measured, LIMITS)


def core(sample, view="model"):
    measured = light.measure_core(sample, getattr(sample, view), seed=1, n_boot=100)
    return light.judge_core(measured, LIMITS)


def brightness(good, sample, view="model"):
    measured = light.measure_brightness(sample, getattr(sample, view), good.hosts)
    return light.judge_brightness(measured, LIMITS)


def test_sound_normalisation_passes(good):
    verdict = normalisation(good.sample)
    assert verdict.status is GateStatus.PASS
    assert set(verdict.values["effects"]) == {"paired", "unpaired", "matched_light"}


def test_another_sky_subtraction_of_positives_fails(faulty):
    verdict = normalisation(faulty(plants.sky_residual))
    assert verdict.status is GateStatus.FAIL
    assert "median_" in verdict.reason


def test_a_constant_statistic_fails(good):
    flat = {**good.sample.normalisation, "median_g": np.zeros(good.sample.table.num_rows)}
    verdict = normalisation(replace(good.sample, normalisation=flat))
    assert verdict.status is GateStatus.FAIL
    assert "median_g constant" in verdict.reason


@pytest.mark.parametrize("view", VIEWS)
def test_sound_aperture_light_passes(good, view):
    verdict = aperture(good.sample, view)
    assert verdict.status is GateStatus.PASS
    assert verdict.values["auc"]["matched_light"]["value"] < 0.6
    assert verdict.values["auc"]["unpaired"]["value"] > 0.6  # arcs add light: the probe works


@pytest.mark.parametrize("view", VIEWS)
def test_one_arc_colour_fails(faulty, view):
    verdict = aperture(faulty(plants.one_colour), view)
    assert verdict.status is GateStatus.FAIL
    assert "matched_light" in verdict.reason
    assert verdict.lower > verdict.threshold


@pytest.mark.parametrize("view", VIEWS)
def test_arcs_brighter_than_their_controls_fail(faulty, view):
    assert aperture(faulty(plants.scaled_light, 3.0), view).status is GateStatus.FAIL


def test_without_matched_light_only_the_wide_limit_holds(good, faulty):
    plain = keep(good.table, kinds(good.table) != "matched_light")
    sample = sample_of(plain, good.world.experiment)
    assert aperture(sample).status is GateStatus.PASS
    assert core(sample).status is GateStatus.NOT_APPLICABLE
    bright = sample_of(plants.scaled_light(plain, 8.0), good.world.experiment)
    verdict = aperture(bright)
    assert verdict.status is GateStatus.FAIL
    assert "matched_light" not in verdict.reason


@pytest.mark.parametrize("view", VIEWS)
def test_sound_cores_pass(good, view):
    assert core(good.sample, view).status is GateStatus.PASS
    assert brightness(good, good.sample, view).status is GateStatus.PASS


@pytest.mark.parametrize("view", VIEWS)
def test_light_in_the_core_fails(good, faulty, view):
    sample = faulty(plants.light_in_the_core)
    assert core(sample, view).status is GateStatus.FAIL
    verdict = brightness(good, sample, view)
    assert verdict.status is GateStatus.FAIL
    assert verdict.lower > 1.05


def test_positives_on_brighter_hosts_fail_before_injection(good, faulty):
    verdict = brightness(good, faulty(plants.brighter_hosts))
    assert verdict.status is GateStatus.FAIL
    assert "before injection" in verdict.reason
    assert verdict.lower > 1.02


def test_hosts_without_cutouts_fail(good):
    nowhere = replace(good.hosts, row_of={})
    measured = light.measure_brightness(good.sample, good.sample.model, nowhere)
    assert light.judge_brightness(measured, LIMITS).status is GateStatus.FAIL


@pytest.mark.parametrize("missing", ["positive", "controls", "most positives"])
def test_probes_fail_closed(good, missing):
    of = kinds(good.table)
    flags = {
        "positive": of != "positive",
        "controls": of == "positive",
        "most positives": (of != "positive") | (np.cumsum(of == "positive") <= 20),
    }[missing]
    sample = sample_of(keep(good.table, flags), good.world.experiment)
    for verdict in (normalisation(sample), aperture(sample), core(sample), brightness(good, sample)):
        assert verdict.status is GateStatus.FAIL
        assert "galaxies" in verdict.reason or "one class" in verdict.reason


def signal(sample, epochs=10):
    measured = light.measure_signal(sample, epochs=epochs, seed=1, n_boot=100, limits=LIMITS)
    return light.judge_signal(measured, LIMITS)


def test_the_signal_is_seen(good):
    verdict = signal(good.sample)
    assert verdict.status is GateStatus.PASS
    assert verdict.values["loss"]["value"] == 0.0  # no centre treatment: one view, one probe
    assert verdict.upper > 0.65


def test_a_treatment_that_hides_the_arc_fails(good):
    """Blanking r < 16 px takes the shortcut and the signal with it."""
    chosen = gate_world.experiment(preprocess={"centre": "mask", "centre_radius_px": 16.0})
    sample = sample_of(good.table, chosen)
    assert sample.probe_model is not sample.probe_raw
    verdict = signal(sample)
    assert verdict.status is GateStatus.FAIL
    assert "model view" in verdict.reason


def test_a_treatment_that_costs_much_fails_though_something_is_left():
    measured = {
        "has_matched_light": True,
        "galaxies": {"positive": 900, "matched_light": 900},
        "raw": {"value": 0.82, "lower": 0.79, "upper": 0.85, "n": 500},
        "model": {"value": 0.71, "lower": 0.68, "upper": 0.74, "n": 500},
        "loss": {"value": 0.11, "lower": 0.07, "upper": 0.15, "n": 500},
    }
    verdict = light.judge_signal(measured, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "costs a probe" in verdict.reason
    less = {**measured, "loss": {"value": 0.06, "lower": 0.02, "upper": 0.1, "n": 500}}
    assert light.judge_signal(less, LIMITS).status is GateStatus.PASS


def test_positives_without_arcs_have_no_signal(good):
    """Probe, split and labels are not enough: nothing is seen where there is nothing."""
    rng = np.random.Generator(np.random.Philox(key=5))
    noise = rng.standard_normal(good.sample.probe_raw.shape).astype(np.float16)
    verdict = signal(replace(good.sample, probe_raw=noise, probe_model=noise), epochs=3)
    assert verdict.values["model"]["lower"] < 0.5 < verdict.values["model"]["upper"]


def test_without_matched_light_the_signal_is_not_asked_for(good):
    plain = keep(good.table, kinds(good.table) != "matched_light")
    assert signal(sample_of(plain, good.world.experiment)).status is GateStatus.NOT_APPLICABLE


def test_too_few_visible_arcs_fail(good):
    snr = gate_world.values(good.table, "arc_snr_footprint_r").astype(float)
    faint = gate_world.changed(good.table, arc_snr_footprint_r=np.where(np.isnan(snr), np.nan, 2.0))
    verdict = signal(sample_of(faint, good.world.experiment))
    assert verdict.status is GateStatus.FAIL
    assert "0 galaxies" in verdict.reason
