"""L33: lenstronomy's INTERPOL keeps its first image; every stamp then shows the first source."""

import numpy as np

from darkhaloscope.lensing.reference import oracle_flux_nmgy, reference_render
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes


def two_sources_one_scene():
    scenes = trial_scenes(2)
    for name, value in scenes.items():
        if isinstance(value, np.ndarray) and name != "templates":
            scenes[name] = value[[0, 0]]
    return scenes


def one(scenes, row):
    return {k: v[[row]] if isinstance(v, np.ndarray) else v for k, v in scenes.items()}


def test_l33_second_source_of_a_batch_is_its_own():
    scenes = two_sources_one_scene()
    for render in (reference_render, render_lensed):
        together = render(**scenes).image
        assert np.abs(together[1] - together[0]).max() > 0.02 * together.max()
        np.testing.assert_array_equal(together[1], render(**one(scenes, 1)).image[0])
    flux = oracle_flux_nmgy(**scenes)
    np.testing.assert_array_equal(flux[1], oracle_flux_nmgy(**one(scenes, 1))[0])
