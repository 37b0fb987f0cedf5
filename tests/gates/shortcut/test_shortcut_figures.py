"""Figures of the shortcut gates: drawn again from JSON to the same bytes, with and without matched light."""

import json

import pytest
from gate_world import LIMITS, keep, kinds, sample_of

from darkhaloscope.gates.shortcut import colour, figures, light, profile
from darkhaloscope.gates.shortcut.twins import twin_light

SIZES = {"seed": 1, "n_boot": 5}


def measured(good, sample, hosts=None):
    twins = None if hosts is None else twin_light(sample, hosts)
    return {
        "S2": light.measure_aperture_light(sample, sample.model, twins, **SIZES),
        "S4": colour.measure_colour(sample, sample.model, twins, **SIZES),
        "S5": profile.measure_profile(sample, sample.model, **SIZES),
    }


DRAW = {
    "S2": lambda path, views: figures.draw_aperture_light(path, views, LIMITS),
    "S4": lambda path, views: figures.draw_colour(path, views, LIMITS),
    "S5": figures.draw_profile,
}


@pytest.mark.parametrize("matched", [True, False])
def test_figures_are_functions_of_what_is_stored(good, tmp_path, matched):
    sample, hosts = good.sample, good.hosts
    if not matched:
        plain = keep(good.table, kinds(good.table) != "matched_light")
        sample, hosts = sample_of(plain, good.world.experiment), None
    for gate, values in measured(good, sample, hosts).items():
        views = {"raw": values, "model": values}
        stored = json.loads(json.dumps(views))
        one = DRAW[gate](tmp_path / f"{gate}-a.png", views)
        two = DRAW[gate](tmp_path / f"{gate}-b.png", stored)
        assert (tmp_path / one).read_bytes() == (tmp_path / two).read_bytes()


def test_the_signal_is_drawn_with_what_the_probe_was_shown(tmp_path):
    auc = {"value": 0.7, "lower": 0.65, "upper": 0.75, "n": 90}
    curve = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}
    found = {"raw": auc, "model": auc, "roc": {"raw": curve, "model": curve}}
    stack = [[0.0, 1.0], [1.0, 0.0]]
    shown = {"positive": stack, "matched_light": stack, "paired": [[0.0, 0.5], [0.5, 0.0]]}
    seen = {"treated": True, "kinds": {"matched_light": found}, "stacks": shown}
    with_stacks = figures.draw_signal(tmp_path / "a.png", seen)
    without = figures.draw_signal(tmp_path / "b.png", {**seen, "stacks": {"positive": stack}})
    assert (tmp_path / with_stacks).stat().st_size > (tmp_path / without).stat().st_size


def test_the_mask_curve_is_drawn(tmp_path):
    auc = [{"value": v, "lower": v - 0.02, "upper": v + 0.02} for v in (0.74, 0.6)]
    curves = {kind: {"radius_px": [0.0, 10.0], "auc": auc} for kind in ("matched_light", "paired")}
    figures.draw_mask_curve(tmp_path / "curve.png", curves, 0.65)
    assert (tmp_path / "curve.png").stat().st_size > 5000
