import numpy as np
import pytest
from cosmos_catalog import disc

from darkhaloscope.sources import template
from darkhaloscope.sources.template import (
    centroid_px,
    cut_template,
    half_light_radius_px,
    ring_background,
    segment,
)

SIGMA = 0.003


def noise(shape, key):
    return SIGMA * np.random.Generator(np.random.Philox(key=key)).standard_normal(shape)


def test_ring_background_finds_the_sky_under_a_galaxy_with_a_neighbour():
    image = 30.0 * disc(160, 9.0) + 0.02 + noise((160, 160), 1)
    image[5:15, 5:15] += 1.0
    sky = ring_background(image, hlr_px=9.0, noise_mean=9.0, noise_variance=9.0)
    assert sky.n_px > 5000
    assert sky.level == pytest.approx(0.02, abs=3.0 * SIGMA / np.sqrt(sky.n_px) + 1e-4)
    assert sky.sigma == pytest.approx(SIGMA, rel=0.1)


def test_stamp_filled_by_its_galaxy_takes_the_catalogue_sky():
    image = 30.0 * disc(60, 12.0) + noise((60, 60), 2)
    sky = ring_background(image, hlr_px=12.0, noise_mean=1e-4, noise_variance=SIGMA**2)
    assert sky.n_px == 0
    assert sky.level == 1e-4
    assert sky.sigma == pytest.approx(SIGMA)


def test_segment_holds_the_light_and_leaves_the_neighbour_out():
    image = 30.0 * disc(140, 8.0) + 5.0 * disc(140, 3.0, (110.0, 70.0)) + noise((140, 140), 3)
    mask = segment(image, sigma=SIGMA, hlr_px=8.0)
    own = np.where(mask, 30.0 * disc(140, 8.0), 0.0).sum()
    assert own > 0.95 * 30.0
    assert not mask[70, 110]
    assert not mask[:10].any()


def test_growth_follows_faint_light_around_a_neighbour_and_stops_in_the_dark():
    y, x = np.indices((101, 101)) - 50
    radius = np.hypot(x, y)
    neighbour = (x > 22) & (x < 29) & (np.abs(y) < 4)
    light = np.where(radius < 30, 0.3 * SIGMA, 0.0) + np.where(neighbour, 20.0 * SIGMA, 0.0)
    grown = template._grow(light, radius < 20, neighbour, SIGMA)
    assert not (grown & neighbour).any()
    assert grown[(radius < 28) & ~neighbour].all()
    assert not grown[radius > 32].any()


def test_segment_of_pure_noise_is_empty_or_tiny():
    areas = [segment(noise((80, 80), key), sigma=SIGMA, hlr_px=8.0).sum() for key in range(20)]
    assert np.median(areas) < 80


def test_segment_ignores_a_galaxy_at_the_edge():
    image = 30.0 * disc(100, 4.0, (92.0, 92.0))
    assert not segment(image, sigma=SIGMA, hlr_px=4.0).any()


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


def test_centroid_is_x_then_y():
    image = disc(100, 5.0, (61.0, 40.0))
    x, y = centroid_px(image, np.ones(image.shape, dtype=bool))
    assert x == pytest.approx(61.0, abs=0.2)
    assert y == pytest.approx(40.0, abs=0.2)


@pytest.mark.parametrize("side", [51, 96, 97, 180])
def test_template_is_centred_within_half_a_pixel_and_sums_to_one(side):
    centre = (side / 2.0 + 3.3, side / 2.0 - 5.6)
    image = disc(side, 3.0, centre)
    cut = cut_template(image, centre, 96)
    assert cut.image.dtype == np.float32
    assert cut.image.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-6)
    x, y = centroid_px(cut.image.astype(float), np.ones((96, 96), dtype=bool))
    assert abs(x - 47.5) <= 0.51
    assert abs(y - 47.5) <= 0.51


def test_template_keeps_negative_pixels_and_reports_what_the_box_lacks():
    image = disc(300, 40.0)
    image[149, 149] = -0.01
    cut = cut_template(image, (149.5, 149.5), 96)
    assert cut.image.min() < 0.0
    inside = image[102:198, 102:198].sum()
    assert cut.flux_fraction == pytest.approx(inside / image.sum(), rel=1e-6)


def test_template_without_flux_is_nan_not_zero():
    assert np.isnan(cut_template(np.zeros((50, 50)), (25.0, 25.0), 96).image).all()
