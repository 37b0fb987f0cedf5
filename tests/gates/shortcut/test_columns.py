"""S1 to S5: sound sets pass in every column, brighter and bluer ones fail in the right one."""

from dataclasses import replace

import numpy as np
import pytest
from gate_world import keep, kinds, sample_of
from gates.faults import plants, shortcut
from gates.shortcut.asks import VIEWS, s1, s2, s2p, s3, s4, s5

from darkhaloscope.gates.population import COMPARED_KINDS
from darkhaloscope.gates.result import GateStatus


def statuses(verdict):
    return {kind: column["status"] for kind, column in verdict.values["by_kind"].items()}


def test_sound_normalisation_passes_against_every_kind(good):
    verdict = s1(good.sample)
    assert verdict.status is GateStatus.PASS
    assert statuses(verdict) == dict.fromkeys(COMPARED_KINDS, "pass")


def test_another_sky_subtraction_of_positives_fails(faulty):
    verdict = s1(faulty(plants.sky_residual))
    assert verdict.status is GateStatus.FAIL
    assert "median_" in verdict.reason


def test_a_constant_statistic_fails(good):
    flat = {**good.sample.normalisation, "median_g": np.zeros(good.sample.table.num_rows)}
    verdict = s1(replace(good.sample, normalisation=flat))
    assert verdict.status is GateStatus.FAIL
    assert "median_g constant" in verdict.reason


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ask", [s2, s4])
def test_sound_light_and_colour_pass_in_every_column(good, ask, view):
    verdict = ask(good.sample, view)
    assert verdict.status is GateStatus.PASS
    assert statuses(verdict) == dict.fromkeys(COMPARED_KINDS, "pass")
    auc = verdict.values["auc"]
    assert auc["matched_light"]["value"] < 0.6 < auc["unpaired"]["value"]  # arcs add light: the probe works


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ask", [s2p, s5])
def test_sound_statistics_and_profiles_pass_and_other_kinds_inform(good, ask, view):
    verdict = ask(good.sample, view)
    assert verdict.status is GateStatus.PASS
    wanted = {"paired": "not_applicable", "unpaired": "not_applicable", "matched_light": "pass"}
    assert statuses(verdict) == wanted
    assert all(column["value"] is not None for column in verdict.values["by_kind"].values())


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ask", [s2, s4])
def test_one_arc_colour_is_told_by_the_classifier_alone(faulty, ask, view):
    verdict = ask(faulty(plants.one_colour), view)
    assert verdict.status is GateStatus.FAIL
    assert "positives from matched_light" in verdict.reason
    assert verdict.lower > verdict.threshold


@pytest.mark.parametrize("view", VIEWS)
def test_arcs_brighter_than_their_controls_fail(faulty, view):
    assert s2(faulty(plants.scaled_light, 3.0), view).status is GateStatus.FAIL


def test_brighter_arcs_of_equal_colour_are_not_colours_business(faulty):
    verdict = s4(faulty(plants.scaled_light, 1.05))
    assert statuses(verdict)["matched_light"] == "pass"


def test_without_matched_light_only_the_wide_limit_holds(good):
    plain = keep(good.table, kinds(good.table) != "matched_light")
    sample = sample_of(plain, good.world.experiment)
    for ask in (s2, s4):
        assert ask(sample).status is GateStatus.PASS
        assert statuses(ask(sample))["matched_light"] == "not_applicable"
    for ask in (s2p, s5):
        assert ask(sample).status is GateStatus.NOT_APPLICABLE
        assert "informs" in ask(sample).reason
    bright = sample_of(plants.scaled_light(plain, 8.0), good.world.experiment)
    verdict = s2(bright)
    assert verdict.status is GateStatus.FAIL
    assert "matched_light" not in verdict.reason
    assert "fail" in statuses(verdict).values()


@pytest.mark.parametrize("view", VIEWS)
def test_sound_cores_pass(good, view):
    verdict = s3(good.sample, good.hosts, view)
    assert verdict.status is GateStatus.PASS
    assert statuses(verdict)["matched_light"] == "pass"
    assert verdict.values["by_kind"]["paired"]["value"]["value"] > 1.0


@pytest.mark.parametrize("view", VIEWS)
def test_light_in_the_core_fails(good, faulty, view):
    sample = faulty(plants.light_in_the_core)
    assert s2p(sample, view).status is GateStatus.FAIL
    verdict = s3(sample, good.hosts, view)
    assert verdict.status is GateStatus.FAIL
    assert verdict.lower > 1.05
    assert statuses(verdict)["matched_light"] == "fail"


def test_without_matched_light_the_left_column_of_s3_is_not_applicable(good):
    plain = keep(good.table, kinds(good.table) != "matched_light")
    verdict = s3(sample_of(plain, good.world.experiment), good.hosts)
    assert verdict.status is GateStatus.PASS
    assert statuses(verdict) == dict.fromkeys(COMPARED_KINDS, "not_applicable")
    assert "no matched light" in verdict.reason


def test_positives_on_brighter_hosts_fail_before_injection(good, faulty):
    verdict = s3(faulty(plants.brighter_hosts), good.hosts)
    assert verdict.status is GateStatus.FAIL
    assert "before injection" in verdict.reason
    assert verdict.lower > 1.02


def test_hosts_without_cutouts_fail(good):
    assert s3(good.sample, replace(good.hosts, row_of={})).status is GateStatus.FAIL


@pytest.mark.parametrize("missing", ["positive", "controls", "most positives"])
def test_gates_fail_closed(good, missing):
    of = kinds(good.table)
    flags = {
        "positive": of != "positive",
        "controls": of == "positive",
        "most positives": (of != "positive") | (np.cumsum(of == "positive") <= 20),
    }[missing]
    sample = sample_of(keep(good.table, flags), good.world.experiment)
    for verdict in (s1(sample), s2(sample), s2p(sample), s3(sample, good.hosts), s4(sample), s5(sample)):
        assert verdict.status is GateStatus.FAIL
        assert "galaxies" in verdict.reason or "one class" in verdict.reason


def test_rings_of_light_have_another_profile_than_matched_light(good, faulty):
    verdict = s5(faulty(shortcut.rings), "raw")
    assert verdict.status is GateStatus.FAIL
    assert "radial profile" in verdict.reason
