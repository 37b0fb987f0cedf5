"""Q7: the declared mix of S/N passes however it came about, another one fails and is named."""

import json

import gate_world
import numpy as np
import pyarrow as pa
import pytest
import stamp_world
from gate_world import LIMITS, Rows, kinds
from gates.faults import plants

from darkhaloscope.config import SnrTargeting
from darkhaloscope.gates import figures
from darkhaloscope.gates.quality import snr_mix
from darkhaloscope.gates.result import GateStatus

TABLE = SnrTargeting(mode="choose_flux", target="table")
FLAT = SnrTargeting(mode="choose_flux", low=2.0, high=50.0)


def measure(table, targeting):
    measured = snr_mix.measure_snr_mix(Rows(table).planned(targeting=targeting), targeting, seed=1)
    return json.loads(json.dumps(measured))


def judge(table, targeting):
    return snr_mix.judge_snr_mix(measure(table, targeting), LIMITS)


@pytest.mark.parametrize("targeting", [TABLE, FLAT])
def test_the_declared_mix_passes(good, targeting):
    verdict = judge(gate_world.on_target(good.table, targeting), targeting)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective > 30
    assert verdict.lower <= verdict.value < verdict.upper


@pytest.mark.parametrize("targeting", [TABLE, FLAT])
def test_missing_faint_arcs_fail(good, targeting):
    verdict = judge(plants.faint_arcs_missing(gate_world.on_target(good.table, targeting)), targeting)
    assert verdict.status is GateStatus.FAIL
    assert verdict.lower > verdict.threshold == 0.05
    assert "S/N" in verdict.reason


def test_the_mix_of_another_target_fails(good):
    verdict = judge(gate_world.on_target(good.table, FLAT), TABLE)
    assert verdict.status is GateStatus.FAIL
    assert verdict.reason.startswith("all:")


def test_arcs_outside_the_range_count(good):
    table = gate_world.on_target(good.table, FLAT)
    snr = gate_world.values(table, "arc_snr_footprint_r").astype(float)
    beyond = (kinds(table) == "positive") & (snr > 25.0)
    moved = gate_world.changed(table, arc_snr_footprint_r=_nullable(np.where(beyond, 90.0, snr)))
    verdict = judge(moved, FLAT)
    assert verdict.status is GateStatus.FAIL
    assert "above 50" in verdict.reason


def test_a_skew_hidden_in_one_split_fails(good):
    table = gate_world.on_target(good.table, FLAT)
    snr = gate_world.values(table, "arc_snr_footprint_r").astype(float)
    here = (gate_world.values(table, "split") == "test") & (kinds(table) == "positive")
    moved = gate_world.changed(table, arc_snr_footprint_r=_nullable(np.where(here, 30.0, snr)))
    verdict = judge(moved, FLAT)
    assert verdict.status is GateStatus.FAIL
    assert verdict.reason.startswith("test:")


@pytest.mark.parametrize("mode", ["none", "floor"])
def test_no_target_no_question(good, mode):
    verdict = judge(good.table, SnrTargeting(mode=mode))
    assert verdict.status is GateStatus.NOT_APPLICABLE
    assert mode in verdict.reason


def test_null_snr_and_few_positives_fail(good):
    table = gate_world.on_target(good.table, FLAT)
    snr = gate_world.values(table, "arc_snr_footprint_r").astype(float)
    snr[np.flatnonzero(kinds(table) == "positive")[0]] = np.nan
    verdict = judge(gate_world.changed(table, arc_snr_footprint_r=_nullable(snr)), FLAT)
    assert verdict.status is GateStatus.FAIL
    assert "null in 1" in verdict.reason
    few = np.flatnonzero(kinds(table) == "positive")[:10]
    verdict = judge(table.take(pa.array(few)).combine_chunks(), FLAT)
    assert verdict.status is GateStatus.FAIL
    assert "10 positives" in verdict.reason
    verdict = judge(gate_world.keep(table, kinds(table) != "positive"), FLAT)
    assert verdict.status is GateStatus.FAIL


def test_a_set_whose_flux_was_chosen_passes_and_is_drawn(tmp_path):
    """The whole chain: drawn in the manifest, reached in the stamps, judged in the shards."""
    chosen = stamp_world.experiment(snr_targeting=TABLE.model_dump())
    made = stamp_world.build(tmp_path, chosen, stamp_world.bank(tmp_path))
    measured = measure(made.table("shards"), TABLE)
    verdict = snr_mix.judge_snr_mix(measured, LIMITS)
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert sum(counts[0] + counts[-1] for counts in measured["counts"].values()) == 0
    name = figures.draw_snr_mix(tmp_path / "Q7.png", measured)
    assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert figures.draw_snr_mix(tmp_path / "none.png", {"mode": "none"}) is None


def _nullable(column):
    return pa.array(column, mask=np.isnan(column))
