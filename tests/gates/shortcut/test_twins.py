"""Twins: small differences between arcs and their matched light are seen, in the unit they have."""

from dataclasses import replace

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, kinds, values
from gates.faults import plants, shortcut
from gates.shortcut.asks import s2, s4

from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.shortcut import twins


def light_of(good, sample):
    return twins.twin_light(sample, good.hosts)


def test_sound_twins_have_equal_light(good):
    light = light_of(good, good.sample)
    rows = kinds(good.table)
    assert len(light.arc) == (rows == "matched_light").sum()
    flux = twins.measure_twin_flux(light)
    for raw in flux["difference"]["stamp"].values():
        assert abs(raw["value"]) < 0.01
        assert raw["upper"] - raw["lower"] < 0.03
    assert twins.judge_twin_flux(flux, LIMITS).status is GateStatus.PASS
    assert twins.judge_twin_colour(twins.measure_twin_colour(light), LIMITS).status is GateStatus.PASS


def test_light_is_that_which_was_added_to_each_host(good):
    light = light_of(good, good.sample)
    table = good.table
    matched = np.flatnonzero(kinds(table) == "matched_light")
    row_of = {task: row for row, task in enumerate(values(table, "task_id"))}
    arc = np.array([row_of[task] for task in values(table, "twin_task_id")[matched]])
    for band, flux in zip("grz", light.arc[:, 2].T, strict=True):
        recorded = values(table, f"arc_flux_{band}_nmgy").astype(float)[arc]
        assert np.median(np.abs(flux / recorded - 1.0)) < 0.05  # its own photon noise
    assert (light.arc[:, 0] <= light.arc[:, 1] + 0.05).all()  # more light within 10 px than within 4


@pytest.mark.parametrize("kind", ["positive", "matched_light"])
def test_five_per_cent_of_flux_are_seen(good, faulty, kind):
    factor = 1.05
    sample = faulty(plants.scaled_light, factor, kind)
    verdict = s2(sample, hosts=good.hosts)
    assert verdict.status is GateStatus.FAIL
    assert "brighter than their matched light" in verdict.reason
    assert verdict.value == pytest.approx(0.049 if kind == "positive" else -0.049, abs=0.01)
    assert verdict.threshold == LIMITS.value("S2", "max_twin_flux")
    assert s4(sample, hosts=good.hosts).status is GateStatus.PASS


def test_a_tenth_of_a_magnitude_of_colour_is_seen(good, faulty):
    sample = faulty(shortcut.redder_arcs, 0.1)
    verdict = s4(sample, hosts=good.hosts)
    assert verdict.status is GateStatus.FAIL
    assert "redder than their matched light" in verdict.reason
    assert "g-r" in verdict.reason
    assert verdict.value == pytest.approx(0.1, abs=0.015)


def test_light_at_other_radii_is_seen(good, faulty):
    light = light_of(good, faulty(plants.light_in_the_core, 1.0))
    verdict = twins.judge_twin_flux(twins.measure_twin_flux(light), LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "r < 4 px" in verdict.reason
    assert verdict.value > 0.2


def test_twins_that_nobody_recorded_fail(good):
    """Matched light whose twin is named wrongly is compared with nothing, and that is no pass."""
    wrong = np.where(kinds(good.table) == "matched_light", "nobody", None)
    sample = gate_world.sample_of(gate_world.changed(good.table, twin_task_id=wrong), good.world.experiment)
    for verdict in (s2(sample, hosts=good.hosts), s4(sample, hosts=good.hosts)):
        assert verdict.status is GateStatus.FAIL
        assert "0 arcs with their matched light" in verdict.reason


def test_hosts_that_nobody_cut_out_fail(good):
    nowhere = replace(good.hosts, row_of={})
    assert s2(good.sample, hosts=nowhere).status is GateStatus.FAIL


def test_dark_twins_fail_and_are_no_warning(good):
    """Light of nothing has no flux to be relative to, and no colour."""
    light = light_of(good, good.sample)
    dark = replace(light, arc=np.zeros_like(light.arc), matched=np.zeros_like(light.matched))
    assert twins.judge_twin_flux(twins.measure_twin_flux(dark), LIMITS).status is GateStatus.FAIL
    assert twins.judge_twin_colour(twins.measure_twin_colour(dark), LIMITS).status is GateStatus.FAIL
