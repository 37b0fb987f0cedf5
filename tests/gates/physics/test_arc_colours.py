"""P3: arcs of many colours, each the recorded one, and nothing else."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS
from gates.faults import plants

from darkhaloscope.gates.physics import arc_colours
from darkhaloscope.gates.result import GateStatus


def measure(good, table=None, chosen=None):
    chosen = chosen or good.world.experiment
    return arc_colours.measure_arc_colours(
        good.sample if table is None else gate_world.sample_of(table, chosen),
        good.hosts,
        experiment=chosen,
        limits=LIMITS,
    )


def judge(good, table=None, chosen=None):
    return arc_colours.judge_arc_colours(measure(good, table, chosen), LIMITS)


def test_sound_arcs_pass_and_say_what_they_are(good):
    verdict = judge(good)
    assert verdict.status is GateStatus.PASS, verdict.reason
    measured, sources = verdict.values, good.world.experiment.sources
    assert measured["rows"] > 100
    assert measured["scatter"]["g_r"]["value"] == pytest.approx(sources.g_r[1], abs=0.06)
    assert measured["scatter"]["r_z"]["value"] == pytest.approx(sources.r_z[1], abs=0.06)
    assert abs(measured["offset"]["g_r"]["value"]) < 0.005
    assert measured["correlation"]["g_r with recorded"] > 0.98
    assert measured["correlation"]["g_r with r_z"] == pytest.approx(sources.colour_correlation, abs=0.15)


def test_one_colour_for_all_fails_though_it_is_recorded(good):
    verdict = judge(good, plants.same_colour(good.table, recorded=True))
    assert verdict.status is GateStatus.FAIL
    assert "one colour for all" in verdict.reason
    assert verdict.value < 0.02


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
def test_photon_noise_does_not_pass_for_a_spread_of_colours(spread):
    rng = np.random.Generator(np.random.Philox(key=8))
    sigma = rng.uniform(0.03, 0.1, 4000)
    colour = 0.4 + spread * rng.standard_normal(4000) + sigma * rng.standard_normal(4000)
    assert arc_colours.intrinsic_scatter(colour, sigma) == pytest.approx(spread, abs=0.025)


def test_a_colour_that_is_recorded_and_not_applied_fails(good):
    for table in (plants.same_colour(good.table, recorded=False), plants.anothers_colours(good.table)):
        verdict = judge(good, table)
        assert verdict.status is GateStatus.FAIL
        assert "recorded" in verdict.reason


def test_shuffled_colours_have_the_right_median_and_scatter(good):
    """Only the rows give them away."""
    measured = measure(good, plants.anothers_colours(good.table))
    assert abs(measured["offset"]["g_r"]["value"]) < 0.1
    assert measured["scatter"]["g_r"]["value"] > 0.2
    assert measured["off"] > 0.8 * measured["rows"]


def test_swapped_bands_fail(good):
    verdict = judge(good, plants.swapped_bands(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "off the recorded one" in verdict.reason


@pytest.mark.parametrize("shift", [0.03, -0.03])
def test_a_zero_point_that_slipped_in_one_band_fails(good, shift):
    r = 10.0 ** (-0.4 * shift)
    table = plants.repainted(good.table, lambda flux, _row: flux * np.array([r, 1.0, 1.0]))
    verdict = judge(good, table)
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == pytest.approx(shift, abs=0.01)


def test_a_missing_record_is_not_the_measured_colour(good):
    names = {f"src_mag_{b}": [None] * good.table.num_rows for b in "grz"}
    verdict = judge(good, gate_world.changed(good.table, **names))
    assert verdict.status is GateStatus.FAIL
    assert "no recorded colour" in verdict.reason


def test_too_few_bright_arcs_fail(good):
    few = np.cumsum(gate_world.kinds(good.table) == "positive") <= 20
    verdict = judge(good, gate_world.keep(good.table, few))
    assert verdict.status is GateStatus.FAIL
    assert "needed" in verdict.reason


def test_arcs_that_took_light_away_have_no_colour(good):
    table = plants.repainted(good.table, lambda flux, _row: flux * np.array([-1.0, 1.0, 1.0]))
    measured = measure(good, table)
    assert measured["rows"] == 0
    assert judge(good, table).status is GateStatus.FAIL


def test_rounded_pixels_are_not_a_fault(good):
    chosen = good.world.experiment.model_copy(
        update={"storage": good.world.experiment.storage.model_copy(update={"form": "quantised"})}
    )
    verdict = judge(good, gate_world.quantised(good.table), chosen)
    assert verdict.status is GateStatus.PASS, verdict.reason
