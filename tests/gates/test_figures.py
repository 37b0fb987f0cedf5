"""Figures: drawn from stored measurements, the same bytes each time, and none where nothing was measured."""

import json

import numpy as np

from darkhaloscope.gates import figures
from darkhaloscope.gates.shortcut import figures as drawings
from darkhaloscope.gates.shortcut import light


def test_a_figure_is_drawn_again_from_json_to_the_same_bytes(good, tmp_path):
    measured = light.measure_core(good.sample, good.sample.model, seed=1, n_boot=20)
    stored = json.loads(json.dumps(measured))
    one = drawings.draw_classifier(tmp_path / "a.png", {"model": measured}, "t")
    two = drawings.draw_classifier(tmp_path / "b.png", {"model": stored}, "t")
    assert (tmp_path / one).read_bytes() == (tmp_path / two).read_bytes()


def test_nothing_measured_draws_nothing(tmp_path):
    assert drawings.draw_signal(tmp_path / "S6.png", {"kinds": {}, "stacks": {}}) is None
    assert figures.draw_scores(tmp_path / "B1.png", {"galaxies": 0}, "t") is None
    assert list(tmp_path.iterdir()) == []


def test_the_sky_and_empty_effects_are_drawn(tmp_path):
    figures.draw_sky(tmp_path / "L1.png", np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([0, 2]))
    figures.draw_effects(tmp_path / "Q1.png", {}, 0.05, "t")
    assert (tmp_path / "L1.png").stat().st_size > 1000
    assert (tmp_path / "Q1.png").stat().st_size > 1000


def test_condition_effects_keep_the_worst_split():
    d = {"value": 0.1, "lower": 0.0, "upper": 0.2, "n": 9}
    worse = {**d, "lower": 0.05}
    comparisons = [
        {"column": "ebv", "split": "train", "kind": "paired", "d": d, "ks": d},
        {"column": "ebv", "split": "val", "kind": "paired", "d": worse, "ks": d},
        {"column": "ra", "split": "val", "kind": "paired", "d": None, "ks": d},
    ]
    assert figures.condition_effects({"comparisons": comparisons}) == {"paired": {"ebv": worse}}
