import numpy as np
import pytest
from cosmos_catalog import disc

from darkhaloscope.sources import template
from darkhaloscope.sources.template import (
    Segment,
    centroid_px,
    cut_template,
    ring_background,
    segment,
    taper,
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
    found = segment(image, sigma=SIGMA, hlr_px=8.0)
    mask = found.galaxy
    assert found.neighbours[70, 110]
    assert not (found.support & found.neighbours).any()
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
    areas = [segment(noise((80, 80), key), sigma=SIGMA, hlr_px=8.0).galaxy.sum() for key in range(20)]
    assert np.median(areas) < 80


def test_segment_ignores_a_galaxy_at_the_edge():
    image = 30.0 * disc(100, 4.0, (92.0, 92.0))
    assert not segment(image, sigma=SIGMA, hlr_px=4.0).galaxy.any()


def test_centroid_is_x_then_y():
    image = disc(100, 5.0, (61.0, 40.0))
    x, y = centroid_px(image, np.ones(image.shape, dtype=bool))
    assert x == pytest.approx(61.0, abs=0.2)
    assert y == pytest.approx(40.0, abs=0.2)


def test_a_bright_neighbour_that_touches_is_cut_off_and_counted_and_clumps_are_not():
    galaxy = 30.0 * disc(140, 8.0)
    touching = galaxy + 18.0 * disc(140, 3.0, (91.5, 69.5)) + noise((140, 140), 4)
    found = segment(touching, sigma=SIGMA, hlr_px=8.0)
    assert not found.galaxy[70, 91]
    assert found.neighbours[70, 91]
    assert 0.3 < found.blended_flux_fraction < 0.9
    clumpy = galaxy + 3.0 * disc(140, 1.2, (76.5, 69.5)) + 3.0 * disc(140, 1.2, (69.5, 62.5))
    found = segment(clumpy + noise((140, 140), 5), sigma=SIGMA, hlr_px=8.0)
    assert found.blended_flux_fraction == 0.0
    assert found.galaxy[70, 76]
    assert found.galaxy[62, 69]


def test_sky_ring_leaves_detected_neighbours_out():
    image = 30.0 * disc(160, 9.0) + noise((160, 160), 6)
    wide = 15.0 * disc(160, 9.0, (25.0, 25.0))
    found = segment(image + wide, sigma=SIGMA, hlr_px=9.0)
    known = {"hlr_px": 9.0, "noise_mean": 0.0, "noise_variance": SIGMA**2}
    naive = ring_background(image + wide, **known).level
    masked = ring_background(image + wide, **known, exclude=found.galaxy | found.neighbours).level
    alone = ring_background(image, **known).level
    assert abs(masked - alone) < 0.5 * abs(naive - alone)


def whole(shape, mask=None):
    mask = np.ones(shape, dtype=bool) if mask is None else mask
    return Segment(mask, ~mask, mask, 0.0)


def test_window_is_zero_outside_one_inside_and_without_a_step():
    mask = np.hypot(*(np.indices((61, 61)) - 30)) < 20
    window = taper(mask)
    assert (window[~mask] == 0.0).all()
    assert window[30, 30] == 1.0
    assert np.abs(np.diff(window[30])).max() < 0.35
    assert window[30, 11:50].min() > 0.0
    assert taper(np.ones((30, 30), dtype=bool))[0, 15] < 0.2


def test_support_holds_the_segment_untapered_and_a_rim_of_sky():
    image = 30.0 * disc(140, 8.0) + noise((140, 140), 7)
    found = segment(image, sigma=SIGMA, hlr_px=8.0)
    assert (found.support & found.galaxy == found.galaxy).all()
    assert taper(found.support)[found.galaxy].min() > 0.6
    assert found.support.sum() > found.galaxy.sum()


def test_template_is_zero_beyond_its_support_and_fades_towards_it():
    mask = np.hypot(*(np.indices((120, 120)) - 59.5)) < 25
    cut = cut_template(np.ones((120, 120)), whole(mask.shape, mask), (59.5, 59.5), 96)
    radius = np.hypot(*(np.indices((96, 96)) - 47.5))
    assert (cut.image[radius > 25] == 0.0).all()
    edge = cut.image[(radius > 24) & (radius < 25)].mean() / cut.image[48, 48]
    assert edge < 0.2


@pytest.mark.parametrize("side", [51, 96, 97, 180])
def test_template_is_centred_within_half_a_pixel_and_sums_to_one(side):
    centre = (side / 2.0 + 3.3, side / 2.0 - 5.6)
    image = disc(side, 3.0, centre)
    cut = cut_template(image, whole(image.shape), centre, 96)
    assert cut.image.dtype == np.float32
    assert cut.image.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-6)
    x, y = centroid_px(cut.image.astype(float), np.ones((96, 96), dtype=bool))
    assert abs(x - 47.5) <= 0.51
    assert abs(y - 47.5) <= 0.51


def test_template_keeps_negative_pixels_and_reports_what_the_box_lacks():
    image = disc(300, 40.0)
    image[149, 149] = -0.01
    cut = cut_template(image, whole(image.shape), (149.5, 149.5), 96)
    assert cut.image.min() < 0.0
    inside = image[102:198, 102:198].sum()
    untapered = image[106:194, 106:194].sum()
    assert untapered < cut.flux_fraction * image.sum() < inside


def test_template_without_flux_is_nan_not_zero():
    assert np.isnan(cut_template(np.zeros((50, 50)), whole((50, 50)), (25.0, 25.0), 96).image).all()
