"""L39, L41, L42: no photon noise in arcs; noise changed where no arc was; sky noise added twice."""

import numpy as np
import pytest

from darkhaloscope.lensing.noise import add_photon_noise
from darkhaloscope.streams import generator, keys


def test_l39_added_light_is_as_noisy_as_its_photons():
    light = np.full((1, 200, 200), 0.05)
    noisy = add_photon_noise(
        light, sky_nmgy=0.3, invvar=np.full(light.shape, 4e4), key=keys(1, "L39", ["a"])[0]
    )
    electrons = 0.05 * 0.3 * 4e4
    assert noisy.light.std() / 0.05 == pytest.approx(electrons**-0.5, rel=0.03)


def test_l39_noise_is_correlated_as_the_coadd_is():
    light = np.full((1, 300, 300), 0.05)
    noisy = add_photon_noise(
        light, sky_nmgy=0.3, invvar=np.full(light.shape, 4e4), key=keys(1, "L39", ["b"])[0]
    )
    residual = noisy.light - light
    lag_one = (residual[..., 1:] * residual[..., :-1]).mean() / residual.var()
    assert 0.1 < lag_one < 0.4


def test_l41_no_light_changes_nothing_bit_for_bit():
    invvar = generator(1, "L41", "a").uniform(0, 1e5, (3, 64, 64)).astype(np.float32)
    noisy = add_photon_noise(np.zeros((3, 64, 64)), sky_nmgy=0.3, invvar=invvar, key=keys(1, "L41", ["b"])[0])
    assert noisy.light.tobytes() == np.zeros((3, 64, 64), np.float32).tobytes()
    assert noisy.invvar.tobytes() == invvar.tobytes()


def test_l42_sky_noise_is_not_added_again():
    light = np.zeros((1, 100, 100))
    light[:, 40:60, 40:60] = 0.05
    noisy = add_photon_noise(
        light, sky_nmgy=0.3, invvar=np.full(light.shape, 4e4), key=keys(1, "L42", ["a"])[0]
    )
    outside = light == 0
    assert (noisy.light[outside] == 0).all()
    assert noisy.light[~outside].var() == pytest.approx(0.05 / (0.3 * 4e4), rel=0.2)
