"""Photon noise of added light."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import noise
from darkhaloscope.streams import keys


def key(name="a"):
    return keys(5, "test_noise", [name])[0]


def test_variance_is_light_over_gain():
    sky, sigma, level = 0.3, 0.004, 0.02
    shape = (1, 400, 400)
    noisy = noise.add_photon_noise(
        np.full(shape, level), sky_nmgy=sky, invvar=np.full(shape, sigma**-2), key=key()
    )
    gain = sky / sigma**2
    assert noisy.light.mean() == pytest.approx(level, abs=5 * np.sqrt(level / gain) / 400 * 1.6)
    assert noisy.light.var() == pytest.approx(level / gain, rel=0.02)
    share = noisy.invvar * sigma**2
    np.testing.assert_allclose(share, 1 / (1 + level / gain / sigma**2), atol=0.51 / noise.INVVAR_STEPS)


def test_pixels_without_data_stay_so():
    invvar = np.full((1, 8, 8), 1e5)
    invvar[0, 2, 3] = 0.0
    light = np.full((1, 8, 8), 0.01)
    noisy = noise.add_photon_noise(light, sky_nmgy=0.2, invvar=invvar, key=key())
    assert noisy.invvar[0, 2, 3] == 0.0
    assert noisy.light[0, 2, 3] == np.float32(0.01)


def test_slightly_negative_pixels_make_no_noise():
    light = np.full((1, 8, 8), -1e-7)
    noisy = noise.add_photon_noise(light, sky_nmgy=0.2, invvar=np.full((1, 8, 8), 1e5), key=key())
    assert (noisy.light == np.float32(-1e-7)).all()


def test_bands_take_their_own_sky():
    sky = np.array([0.1, 0.4])[:, None, None]
    light, invvar = np.full((2, 300, 300), 0.01), np.full((2, 300, 300), 1e5)
    noisy = noise.add_photon_noise(light, sky_nmgy=sky, invvar=invvar, key=key())
    assert noisy.light[0].var() / noisy.light[1].var() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("sky", [0.0, -0.1, float("nan")])
def test_sky_must_be_positive(sky):
    with pytest.raises(DataError, match="sky_nmgy"):
        noise.effective_gain(sky, np.ones(3))


def test_light_too_faint_to_change_the_inverse_variance_is_noiseless():
    light = np.zeros((1, 40, 40))
    light[0, :20], light[0, 20:] = 0.2 * 0.4 / noise.INVVAR_STEPS, 0.2 * 0.6 / noise.INVVAR_STEPS
    invvar = np.full((1, 40, 40), 1e5, np.float32)
    noisy = noise.add_photon_noise(light, sky_nmgy=0.2, invvar=invvar, key=key())
    assert (noisy.light[0, :20] == light[0, :20].astype(np.float32)).all()
    assert (noisy.invvar[0, :20] == invvar[0, :20]).all()
    assert (noisy.light[0, 20:] != light[0, 20:].astype(np.float32)).mean() > 0.99
    assert (noisy.invvar[0, 20:] == np.float32(1e5 * (1 - 1 / noise.INVVAR_STEPS))).all()
