import numpy as np
import pytest
from cosmos_catalog import disc

from darkhaloscope.sources.morphology import (
    clumpiness,
    concentration,
    half_light_radius_px,
    high_pass,
    light_radii_px,
)


@pytest.mark.parametrize("sigma_px", [2.0, 5.0, 11.0])
@pytest.mark.parametrize("centre", [(60.0, 60.0), (60.4, 59.7)])
def test_half_light_radius_of_a_gaussian(sigma_px, centre):
    y, x = np.indices((121, 121))
    image = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2.0 * sigma_px**2))
    expected = sigma_px * np.sqrt(2.0 * np.log(2.0))
    assert half_light_radius_px(image, centre) == pytest.approx(expected, rel=0.02)


def test_half_light_radius_of_nothing_is_nan():
    assert np.isnan(half_light_radius_px(np.zeros((9, 9)), (4.0, 4.0)))
    assert np.isnan(half_light_radius_px(np.full((9, 9), -1.0), (4.0, 4.0)))


def test_concentration_of_a_disc_and_of_a_cuspy_profile():
    _, r20, r80 = 0.0, *light_radii_px(disc(301, 12.0), (150.0, 150.0), (0.2, 0.8))
    assert concentration(r20, r80) == pytest.approx(2.8, abs=0.05)
    cuspy = disc(301, 12.0) + disc(301, 2.0)
    r20, r80 = light_radii_px(cuspy, (150.0, 150.0), (0.2, 0.8))
    assert concentration(r20, r80) > 4.0
    assert np.isnan(concentration(0.0, 3.0))


def test_clumpiness_tells_knots_from_a_smooth_disc():
    smooth = disc(121, 10.0)
    spots = sum(disc(121, 1.5, (60.0 + dx, 60.0 + dy)) for dx, dy in ((9, 3), (-7, 6), (2, -11)))
    options = {"centre": (60.0, 60.0), "hlr_px": 10.0}
    assert clumpiness(smooth + 0.1 * spots, **options) > clumpiness(smooth, **options) + 0.8


def test_clumpiness_is_not_raised_by_the_noise_of_the_sky():
    noise = 0.0004 * np.random.Generator(np.random.Philox(key=9)).standard_normal((121, 121))
    image = disc(121, 10.0)
    options = {"centre": (60.0, 60.0), "hlr_px": 10.0}
    sky = np.maximum(high_pass(noise, 10.0), 0.0).mean()
    clean, noisy = clumpiness(image, **options), clumpiness(image + noise, **options)
    corrected = clumpiness(image + noise, **options, sky_per_px=sky)
    assert noisy > clean + 10.0
    assert corrected == pytest.approx(clean, abs=1.5)
