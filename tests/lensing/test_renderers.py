"""Both engines take the same scenes and return the same stamps."""

import inspect
from typing import get_args

import numpy as np
import pytest

from darkhaloscope.config import Rendering
from darkhaloscope.errors import ConfigError, DataError
from darkhaloscope.lensing.render import render_lensed, render_unlensed
from darkhaloscope.lensing.renderers import ENGINES, open_renderer
from darkhaloscope.lensing.sampling import QUALITIES
from darkhaloscope.lensing.trial import trial_scenes

BUDGET = 1.5e-3
"""Worst pixel over the peak, and flux, that the engines may differ by; they differ by 0.9e-3 here."""

UNLENSED_NAMES = {
    "lens_x_arcsec": "x_arcsec",
    "lens_y_arcsec": "y_arcsec",
    "src_rotation_rad": "rotation_rad",
    "src_flip": "flip",
}


def unlensed(scenes):
    """The sources of lensed scenes, bare."""
    bare = {UNLENSED_NAMES.get(name, name): value for name, value in scenes.items()}
    known = inspect.signature(render_unlensed).parameters
    return {name: value for name, value in bare.items() if name in known}


def worst(found, expected):
    """Largest pixel difference over the peak, per scene and band."""
    return np.abs(found - expected).max(axis=(2, 3)) / expected.max(axis=(2, 3))


@pytest.mark.parametrize("size_px", [64, 101])
def test_engines_agree_on_lensed_sources(size_px):
    scenes = trial_scenes(4, size_px=size_px)
    found, expected = (open_renderer(engine, "standard").lensed(**scenes) for engine in ENGINES)
    assert worst(found.image, expected.image).max() < BUDGET
    np.testing.assert_allclose(found.magnification, expected.magnification, rtol=BUDGET)
    assert found.image.dtype == expected.image.dtype


def test_engines_agree_on_unlensed_sources():
    scenes = unlensed(trial_scenes(4) | {"lens_x_arcsec": np.array([0.3, -4.0, 8.0, 0.0])})
    found, expected = (open_renderer(engine, "standard").unlensed(**scenes) for engine in ENGINES)
    assert worst(found.image, expected.image).max() < BUDGET
    assert (found.magnification == 1.0).all()
    assert (expected.magnification == 1.0).all()


def test_light_far_outside_the_stamp_counts_for_the_magnification():
    scenes = trial_scenes(2, size_px=15)
    found, expected = (open_renderer(engine, "standard").lensed(**scenes) for engine in ENGINES)
    assert (found.image.sum(axis=(2, 3)) < 0.9 * scenes["flux_nmgy"] * found.magnification[:, None]).any()
    np.testing.assert_allclose(found.magnification, expected.magnification, rtol=BUDGET)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_quality_changes_the_rays(engine, quality):
    scenes = trial_scenes(1, size_px=32)
    image = open_renderer(engine, quality).lensed(**scenes).image
    same = (image == render_lensed(**scenes, quality=quality).image).all()
    assert same == (engine == "numba")
    others = [q for q in QUALITIES if q != quality]
    assert all((image != open_renderer(engine, other).lensed(**scenes).image).any() for other in others)


@pytest.mark.parametrize("engine", ENGINES)
def test_image_does_not_depend_on_the_batch(engine):
    scenes = trial_scenes(3, size_px=33, fwhm_arcsec=(1.2,))
    alone = {k: v[[2]] if isinstance(v, np.ndarray) else v for k, v in scenes.items()}
    renderer = open_renderer(engine, "draft")
    np.testing.assert_array_equal(renderer.lensed(**scenes).image[2], renderer.lensed(**alone).image[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_refuse_the_same_input(engine):
    renderer = open_renderer(engine, "standard")
    scenes = trial_scenes(1)
    with pytest.raises(DataError, match="lens_q"):
        renderer.lensed(**scenes | {"lens_q": 0.1})
    with pytest.raises(DataError, match="sum of 1"):
        renderer.lensed(**scenes | {"templates": 2 * scenes["templates"]})
    point = np.zeros((1, 9, 9), np.float32)
    point[0, 4, 4] = 1.0
    with pytest.raises(DataError, match="smaller than the ray spacing"):
        renderer.unlensed(**unlensed(scenes) | {"templates": point, "template_scale_arcsec": 0.002})


def test_unknown_engine_and_quality_are_named():
    with pytest.raises(ConfigError, match=r"engine.*numba, lenstronomy, got galsim"):
        open_renderer("galsim", "standard")
    with pytest.raises(ConfigError, match=r"quality.*draft, standard, fine, got best"):
        open_renderer("numba", "best")


def test_experiment_offers_what_there_is():
    offered = {name: get_args(field.annotation) for name, field in Rendering.model_fields.items()}
    assert offered == {"engine": ENGINES, "quality": QUALITIES}
