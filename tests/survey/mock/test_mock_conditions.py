"""Seeing, depth and noise of a brick."""

import numpy as np
import pytest

from darkhaloscope import streams
from darkhaloscope.survey.mock.conditions import depth_mag, draw_conditions, psfdepth_ivar
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import plan_bricks
from darkhaloscope.survey.mock.pixels import correlated_noise

CONFIG = MockSkyConfig()


@pytest.fixture(scope="module")
def drawn():
    return [draw_conditions(CONFIG, brick) for brick in plan_bricks(CONFIG)]


def test_depth_and_pixel_noise_are_those_of_the_survey():
    # Pixel noise of 24.46 mag at 1.33 arcsec, from Gaussian-PSF arithmetic.
    assert depth_mag(psfdepth_ivar(np.array(0.0043**-2.0), np.array(1.33))) == pytest.approx(24.46, abs=0.03)


def test_conditions_span_the_survey(drawn):
    seeing = np.array([c.bands["r"].seeing_map().mean() for c in drawn])
    middle = np.array([770.0])
    depth = np.array([depth_mag(c.bands["r"].psfdepth_at(middle, middle))[0] for c in drawn])
    assert 1.15 < np.median(seeing) < 1.45
    assert np.ptp(seeing) > 0.3
    assert 24.0 < np.median(depth) < 25.0
    assert np.ptp(depth) > 1.0
    g = np.array([c.bands["g"].seeing_map().mean() for c in drawn])
    assert np.mean(g > seeing) > 0.8, "g is the worst band"


def test_seeing_varies_over_a_brick_in_patches(drawn):
    for conditions in drawn:
        seeing = conditions.bands["r"].seeing_map()
        assert 0.01 < np.ptp(seeing) / seeing.mean() < 0.35
        assert len(np.unique(seeing)) < 300
        assert conditions.bands["r"].nexp_map().min() >= 1


def test_value_at_a_position_is_the_map_there(drawn):
    facts = drawn[0].bands["z"]
    x, y = np.array([3.2, 900.7]), np.array([1200.4, 15.0])
    assert facts.seeing_at(x, y) == pytest.approx(facts.seeing_map()[[1200, 15], [3, 901]])
    assert facts.nexp_at(x, y).tolist() == facts.nexp_map()[[1200, 15], [3, 901]].tolist()
    assert facts.nexp_histogram().tolist() == np.bincount(facts.nexp_map().ravel()).tolist()


def test_noise_has_unit_variance_and_the_covariance_of_its_resampling():
    """Lanczos-3 by half a pixel: 0.256 at one pixel, -0.173 at two, 0.062 at three, by hand."""
    noise = correlated_noise(streams.generator(1, "noise", "a"), 900, (0.5, 0.3)).astype(float)
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    along_x = [np.mean(noise[:, lag:] * noise[:, :-lag]) for lag in (1, 2, 3)]
    along_y = [np.mean(noise[lag:] * noise[:-lag]) for lag in (1, 2, 3)]
    assert along_x == pytest.approx([0.256, -0.173, 0.062], abs=0.01)
    assert along_y == pytest.approx([0.152, -0.103, 0.036], abs=0.01)
    assert correlated_noise(streams.generator(1, "noise", "a"), 40, (0.0, 0.0)).std() == pytest.approx(
        1.0, abs=0.1
    )


def test_residual_sky_is_a_small_positive_share_of_the_noise(drawn):
    for conditions in drawn:
        for facts in conditions.bands.values():
            sigma = (facts.invvar_per_exposure * np.median(facts.nexp_x + facts.nexp_y)) ** -0.5
            assert 0.0 <= facts.residual_nmgy < 0.25 * sigma
