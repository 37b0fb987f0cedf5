"""Photon noise of added light."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import noise
from darkhaloscope.streams import generator


def rng(name="a"):
    return generator(5, "test_noise", name)


def test_variance_is_light_over_gain():
    sky, sigma, level = 0.3, 0.004, 0.02
    shape = (400, 400)
    noisy = noise.add_photon_noise(
        np.full(shape, level), sky_nmgy=sky, invvar=np.full(shape, sigma**-2), rng=rng()
    )
    gain = sky / sigma**2
    assert noisy.light.mean() == pytest.approx(level, abs=5 * np.sqrt(level / gain) / 400 * 1.6)
    assert noisy.light.var() == pytest.approx(level / gain, rel=0.02)
    np.testing.assert_allclose(1 / noisy.invvar, sigma**2 + level / gain, rtol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.25, 0.4, 0.7])
def test_neighbours_are_correlated_as_asked(correlation):
    field = noise.correlated_normals(rng(str(correlation)), (600, 600), correlation)
    assert field.var() == pytest.approx(1.0, rel=0.02)
    assert (field[1:] * field[:-1]).mean() == pytest.approx(correlation, abs=0.01)
    assert (field[:, 1:] * field[:, :-1]).mean() == pytest.approx(correlation, abs=0.01)


def test_correlation_out_of_range_is_refused():
    with pytest.raises(DataError, match="correlation"):
        noise.correlated_normals(rng(), (4, 4), 0.8)


def test_pixels_without_data_stay_so():
    invvar = np.full((8, 8), 1e5)
    invvar[2, 3] = 0.0
    light = np.full((8, 8), 0.01)
    noisy = noise.add_photon_noise(light, sky_nmgy=0.2, invvar=invvar, rng=rng())
    assert noisy.invvar[2, 3] == 0.0
    assert noisy.light[2, 3] == np.float32(0.01)


def test_slightly_negative_pixels_make_no_noise():
    light = np.full((8, 8), -1e-7)
    noisy = noise.add_photon_noise(light, sky_nmgy=0.2, invvar=np.full((8, 8), 1e5), rng=rng())
    assert (noisy.light == np.float32(-1e-7)).all()


def test_bands_take_their_own_sky():
    sky = np.array([0.1, 0.4])[:, None, None]
    light, invvar = np.full((2, 300, 300), 0.01), np.full((2, 300, 300), 1e5)
    noisy = noise.add_photon_noise(light, sky_nmgy=sky, invvar=invvar, rng=rng())
    assert noisy.light[0].var() / noisy.light[1].var() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("sky", [0.0, -0.1, float("nan")])
def test_sky_must_be_positive(sky):
    with pytest.raises(DataError, match="sky_nmgy"):
        noise.effective_gain(sky, np.ones(3))
