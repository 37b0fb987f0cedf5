"""S6: what a treatment of the centre takes away, with and without matched light."""

from dataclasses import replace

import gate_world
import numpy as np
from gate_world import LIMITS, keep, kinds, sample_of
from gates.shortcut.asks import s6

from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.shortcut import signal

MASKED = {"centre": "mask", "centre_radius_px": 16.0}


def interval(value, half):
    return {"value": value, "lower": value - half, "upper": value + half, "n": 500}


def measured(kind, *, raw, model, loss, treated=True):
    found = {
        "galaxies": {"positive": 900, kind: 900},
        "raw": interval(raw, 0.03),
        "model": interval(model, 0.03),
        "loss": interval(loss, 0.04),
    }
    return {"treated": treated, "kinds": {kind: found}, "stacks": {}}


def test_the_signal_is_seen(good):
    verdict = s6(good.sample)
    assert verdict.status is GateStatus.PASS
    found = verdict.values["kinds"]
    assert set(found) == {"matched_light"}
    assert found["matched_light"]["loss"]["value"] == 0.0  # no centre treatment: one view, one probe
    assert verdict.upper > 0.65


def test_the_probe_sees_visible_arcs_and_what_belongs_to_them(good):
    sample, table = good.sample, good.table
    shown = sample.probe_rows
    of, task, twin = (gate_world.values(table, name) for name in ("control_kind", "task_id", "twin_task_id"))
    positives = set(task[shown][of[shown] == "positive"])
    assert set(twin[shown][of[shown] == "matched_light"]) == positives
    pair_of = dict(zip(task, gate_world.values(table, "pair_id"), strict=True))
    paired = gate_world.values(table, "pair_id")[shown][of[shown] == "paired"]
    assert set(paired) == {pair_of[p] for p in positives}


def test_a_probe_of_a_large_sample_takes_a_fixed_share_by_galaxy(good, monkeypatch):
    monkeypatch.setattr(signal, "PROBE_ROWS", 160)
    found = s6(good.sample, epochs=1).values["kinds"]["matched_light"]
    assert found["galaxies"] == {"positive": 160, "matched_light": 160}
    of = kinds(good.table)[good.sample.probe_rows]
    places = signal._fixed_share(good.sample, of == "positive", 1)
    assert (of[places] == "positive").all()
    assert places.tolist() != np.flatnonzero(of == "positive")[:160].tolist()


def test_a_treatment_that_hides_the_arc_fails(tmp_path):
    """Blanking r < 16 px takes the shortcut and the signal with it.

    Twice the usual galaxies: a probe of a hundred arcs may see too little in the
    first place to lose much.
    """
    many = gate_world.build(tmp_path, hosts_per_cell=44)
    sample = sample_of(many.table, gate_world.experiment(preprocess=MASKED))
    assert sample.probe_model is not sample.probe_raw
    verdict = s6(sample)
    assert verdict.status is GateStatus.FAIL
    assert "model view" in verdict.reason


def test_a_treatment_that_costs_much_fails_though_something_is_left():
    verdict = signal.judge_signal(measured("matched_light", raw=0.82, model=0.71, loss=0.11), LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "costs a probe" in verdict.reason
    less = measured("matched_light", raw=0.82, model=0.76, loss=0.06)
    assert signal.judge_signal(less, LIMITS).status is GateStatus.PASS


def test_what_is_not_seen_in_any_view_fails():
    blind = measured("matched_light", raw=0.55, model=0.55, loss=0.0)
    verdict = signal.judge_signal(blind, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "cannot be seen" in verdict.reason


def test_without_matched_light_a_treatment_is_judged_by_its_own_controls():
    lost = measured("paired", raw=0.95, model=0.80, loss=0.15)
    verdict = signal.judge_signal(lost, LIMITS)
    assert verdict.status is GateStatus.FAIL
    assert "against paired" in verdict.reason
    assert verdict.values["by_kind"]["matched_light"]["status"] == "not_applicable"
    # what is kept may be the shortcut: no evidence that the signal is there
    kept = signal.judge_signal(measured("paired", raw=0.95, model=0.93, loss=0.02), LIMITS)
    assert kept.status is GateStatus.NOT_APPLICABLE
    assert "costs a probe 0.02" in kept.reason


def test_without_matched_light_and_treatment_nothing_is_asked(good):
    plain = keep(good.table, kinds(good.table) != "matched_light")
    verdict = s6(sample_of(plain, good.world.experiment))
    assert verdict.status is GateStatus.NOT_APPLICABLE
    assert verdict.values["kinds"] == {}


def test_masked_paired_set_loses_its_arcs(good):
    plain = keep(good.table, np.isin(kinds(good.table), ["positive", "paired"]))
    verdict = s6(sample_of(plain, gate_world.experiment(preprocess=MASKED)))
    assert verdict.status is GateStatus.FAIL
    assert "against paired" in verdict.reason


def test_positives_without_arcs_have_no_signal(good):
    """Probe, split and labels are not enough: nothing is seen where there is nothing."""
    rng = np.random.Generator(np.random.Philox(key=5))
    noise = rng.standard_normal(good.sample.probe_raw.shape).astype(np.float16)
    verdict = s6(replace(good.sample, probe_raw=noise, probe_model=noise), epochs=3)
    for found in verdict.values["kinds"].values():
        assert abs(found["model"]["value"] - 0.5) < 0.12


def test_too_few_visible_arcs_fail(good):
    snr = gate_world.values(good.table, "arc_snr_footprint_r").astype(float)
    faint = gate_world.changed(good.table, arc_snr_footprint_r=np.where(np.isnan(snr), np.nan, 2.0))
    verdict = s6(sample_of(faint, good.world.experiment))
    assert verdict.status is GateStatus.FAIL
    assert "0 galaxies" in verdict.reason
