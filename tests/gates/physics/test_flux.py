"""P1: the oracle agrees with sound stamps and with nothing else."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS
from gates.faults import plants

from darkhaloscope.gates.physics import flux
from darkhaloscope.gates.result import GateStatus


def p1(good, table=None, rows=400, expected=None):
    """Judge a table; what the oracle expects is that of the sound rows."""
    chosen = good.world.experiment
    sample = good.sample if table is None else gate_world.sample_of(table, chosen)
    positives = np.flatnonzero(np.array(sample.table["control_kind"].to_pylist()) == "positive")[:rows]
    measured = flux.measure_flux(
        sample,
        good.hosts,
        recorded(good, sample, positives) if expected is None else expected,
        experiment=chosen,
        limits=LIMITS,
    )
    return flux.judge_flux(measured, LIMITS)


def recorded(good, sample, positives):
    """Recorded flux of the sound set, for faults that need no second rendering."""
    names = [f"arc_flux_{b}_nmgy" for b in "grz"]
    by_task = dict(
        zip(
            good.table["task_id"].to_pylist(),
            zip(*(good.table[n].to_pylist() for n in names), strict=True),
            strict=True,
        )
    )
    tasks = sample.table["task_id"].to_pylist()
    return flux.Expected(positives, np.array([by_task[tasks[row]] for row in positives]).reshape(-1, 3))


def test_sound_flux_passes_against_lenstronomy(good, arcs):
    verdict = p1(good, expected=flux.Expected(arcs.rows, arcs.oracle.sum(axis=(2, 3))))
    assert verdict.status is GateStatus.PASS
    assert abs(verdict.value) < 0.01
    assert verdict.n_effective == len(arcs)
    assert verdict.values["matched_light"]["rows"] > 100
    assert verdict.values["dark_rows"] == 0


@pytest.mark.parametrize("factor", [1.0 / 1111.0, 1.05, 0.95])
def test_light_off_by_a_factor_fails(good, factor):
    verdict = p1(good, plants.scaled_light(good.table, factor), 200)
    assert verdict.status is GateStatus.FAIL
    assert "lenstronomy" in verdict.reason
    assert verdict.value == pytest.approx(factor - 1.0, abs=0.01)


def test_matched_light_off_by_a_factor_fails(good):
    verdict = p1(good, plants.scaled_light(good.table, 1.05, "matched_light"), 200)
    assert verdict.status is GateStatus.FAIL
    assert "twin" in verdict.reason


def test_a_few_wrong_rows_fail_though_the_median_is_right(good):
    image_rows = np.flatnonzero(gate_world.kinds(good.table) == "positive")[:25]
    some = gate_world.keep(good.table, np.isin(np.arange(good.table.num_rows), image_rows))
    rest = gate_world.keep(good.table, ~np.isin(np.arange(good.table.num_rows), image_rows))
    hosts = gate_world.values(some, "host_id")
    pairs = gate_world.keep(
        rest,
        np.isin(gate_world.values(rest, "host_id"), hosts) & (gate_world.kinds(rest) == "paired"),
    )
    import pyarrow as pa

    scaled = plants.scaled_light(pa.concat_tables([some, pairs]).combine_chunks(), 1.6)
    wrong = gate_world.keep(scaled, gate_world.kinds(scaled) == "positive")
    verdict = p1(good, pa.concat_tables([rest, wrong]).combine_chunks(), 300)
    assert verdict.status is GateStatus.FAIL
    assert "of 2" in verdict.reason


def test_controls_that_differ_from_their_host_fail(good):
    verdict = p1(good, plants.touched_controls(good.table), 60)
    assert verdict.status is GateStatus.FAIL
    assert "nothing was added" in verdict.reason


def test_too_few_rows_fail(good):
    assert p1(good, rows=5).status is GateStatus.FAIL


def test_photon_noise_is_not_a_fault(good):
    """The allowance follows the light: with its noise ignored, faint sound rows would count as off."""
    verdict = p1(good, rows=300)
    errors = verdict.values["oracle"]
    assert verdict.status is GateStatus.PASS
    assert errors["median_noise"] > 0.0
    assert errors["off"] <= 0.01 * errors["rows"] + 1
