"""L13: the visibility statistic measured the lens galaxy; without an arc it must be consistent with zero."""

import numpy as np
import pytest
from evaluation.test_visibility import arc, early_type, snr

from darkhaloscope.evaluation.anchor_stamps import TIER_A_MIN_SNR, summarise
from darkhaloscope.evaluation.visibility import SUBTRACTION


@pytest.mark.parametrize("mag", [18.0, 19.5, 21.0])
def test_galaxies_without_an_arc_are_not_visible_arcs(mag):
    shapes = [(0.6, 0.95), (1.0, 0.7), (1.8, 0.8), (1.4, 0.6)]
    values = np.array([snr(early_type(mag, r, q, seed=s)) for s, (r, q) in enumerate(shapes)])
    assert np.median(values) < 1.0
    assert (values < TIER_A_MIN_SNR).mean() >= 0.75


def test_the_galaxys_brightness_does_not_raise_it():
    values = [snr(early_type(mag, 1.0, 0.8, seed=9)) for mag in (20.5, 19.0, 17.5)]
    assert max(values) < 3.0
    with_arc = [snr(early_type(mag, 1.0, 0.8, seed=9) + arc(21.0)) for mag in (20.5, 19.0)]
    assert min(with_arc) > 5.0


def test_the_subtraction_is_named_in_the_record(tmp_path):
    import anchor_world as world
    import sky_tree

    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    stamps = world.stamps(root, [world.at(world.galaxy(0, 1))], tmp_path)
    assert summarise(stamps)["subtraction"] == SUBTRACTION
