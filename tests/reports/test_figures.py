import numpy as np
import pytest
from PIL import Image

from darkhaloscope.reports import figures
from darkhaloscope.reports.summary import build_summary
from darkhaloscope.statistics.rates import Rate


@pytest.fixture(scope="module")
def records(campaign, profile):
    summary = build_summary(campaign.store, campaign.experiments, profile, steps=[], seconds=0.0)
    return summary["experiments"]["graded"], summary["comparison"]


def ink(path) -> np.ndarray:
    """Pixels that are not background."""
    return np.asarray(Image.open(path).convert("L")) < 250


@pytest.mark.parametrize(
    "name", ["roc_figure", "score_figure", "reliability_figure", "recall_snr_figure", "rates_figure"]
)
def test_figures_of_an_evaluation_are_drawn_alike_twice_and_fit_an_event_log(records, tmp_path, name):
    evaluation = records[0]["evaluation"]
    first, second = (getattr(figures, name)(evaluation, tmp_path / f"{i}.png") for i in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 60_000
    assert ink(first).mean() > 0.01


def test_the_figures_follow_the_numbers(records, tmp_path):
    evaluation = records[0]["evaluation"]
    other = {**evaluation, "recall": {"A": Rate.exact(9, 10).to_dict(), "B": Rate.exact(1, 10).to_dict()}}
    assert (
        figures.rates_figure(evaluation, tmp_path / "a.png").read_bytes()
        != figures.rates_figure(other, tmp_path / "b.png").read_bytes()
    )


def test_training_and_comparison_are_drawn(records, tmp_path):
    one, comparison = records
    assert ink(figures.training_figure(one["training"]["history"], tmp_path / "t.png")).any()
    assert ink(figures.comparison_figure(comparison, tmp_path / "c.png")).any()


def test_a_cell_without_injections_is_not_drawn_as_zero(tmp_path):
    def record(rate):
        return {
            "theta_e_edges_arcsec": [0.6, 1.0],
            "seeing_edges_arcsec": [1.0, 1.2],
            "cells": [{"theta_e_index": 0, "seeing_index": 0, "n_hosts": 0, **rate.to_dict()}],
            "validity": {"statement": "s"},
        }

    empty = figures.selection_figure(record(Rate.score_interval(0, 0)), tmp_path / "e.png")
    zero = figures.selection_figure(record(Rate.score_interval(0, 9)), tmp_path / "z.png")
    assert empty.read_bytes() != zero.read_bytes()


def test_the_footprint_is_whole_across_ra_zero(tmp_path):
    import pyarrow as pa

    bricks = pa.table(
        {"ra": [359.8, 0.1], "dec": [0.0, 0.1], "tile": ["001", "002"], "status": ["ok", "missing image-z"]}
    )
    path = figures.footprint_map(bricks, tmp_path / "f.png")
    assert ink(path).any()
