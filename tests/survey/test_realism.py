"""Measures of a cutout against images whose answer is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from darkhaloscope.errors import DataError
from darkhaloscope.evaluation.cutouts import read_cutouts
from darkhaloscope.streams import generator
from darkhaloscope.survey import realism
from darkhaloscope.survey.mock.pixels import correlated_noise
from darkhaloscope.survey.release import DR10_SOUTH

SCALE = 0.262
SIDE = 101


def noise(name="noise", shift=(0.0, 0.0), sigma=0.002, side=SIDE):
    return sigma * correlated_noise(generator(3, "test_realism", name), side, shift).astype(float)


def spot(sigma_px, flux, x=0.0, y=0.0, side=SIDE):
    axis = np.arange(side) - (side - 1) / 2.0
    r2 = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2
    return flux * np.exp(-0.5 * r2 / sigma_px**2) / (2.0 * np.pi * sigma_px**2)


def test_noise_of_the_sky_is_found_beside_galaxies():
    plane = noise() + spot(3.0, 20.0) + spot(2.0, 5.0, 25.0, -20.0) + 0.0005
    sky = realism.sky_pixels(plane)
    assert not sky[50, 50]
    assert 0.75 < sky.mean() < 0.95
    assert realism.sky_sigma(plane, sky) == pytest.approx(0.002, rel=0.03)
    assert np.median(plane[sky]) == pytest.approx(0.0005, abs=0.0001)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.3)])
def test_autocorrelation_is_that_of_the_resampling_and_knows_x_from_y(shift):
    truth = {0.0: (0.0, 0.0, 0.0), 0.5: (0.256, -0.173, 0.062), 0.3: (0.152, -0.103, 0.036)}
    plane = noise("acf", shift, side=401) + 0.0004
    plane[180:220, 180:220] += 0.5
    found = realism.autocorrelation(plane, realism.sky_pixels(plane))
    assert found[0] == pytest.approx(truth[shift[0]], abs=0.015)
    assert found[1] == pytest.approx(truth[shift[1]], abs=0.015)


def test_profile_growth_and_half_light_radius_of_a_gaussian():
    sigma_px, flux = 4.0, 30.0
    plane, use = spot(sigma_px, flux), np.ones((SIDE, SIDE), dtype=bool)
    # A masked neighbour is not the galaxy's light, and what it hides is filled from the other side.
    plane += spot(2.0, 8.0, 0.0, 14.0)
    use[56:, :] = False
    sigma_arcsec = sigma_px * SCALE
    edges = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    inside = flux * (1.0 - np.exp(-0.5 * (edges / sigma_arcsec) ** 2))
    mean = np.diff(inside) / (np.pi * np.diff(edges**2))
    assert realism.radial_profile(plane, use, edges, SCALE) == pytest.approx(mean, rel=0.05)
    assert realism.growth(plane, use, [1.0, 2.0, 4.0], SCALE) == pytest.approx(inside[2:], rel=0.03)
    assert realism.half_light_radius(plane, use, SCALE) == pytest.approx(1.1774 * sigma_arcsec, rel=0.03)


def test_sources_are_counted_and_the_narrowest_shows_its_width():
    plane = gaussian_filter(noise("white"), 0.4)
    for x, y, width in ((0, 0, 3.0), (30, 20, 1.8), (-25, 30, 2.5), (-35, -35, 2.5)):
        plane += spot(width, 6.0, x, y)
    labels = realism.detect(plane)
    assert labels.max() == 4
    width = realism.narrowest_fwhm(plane, labels, realism.sky_pixels(plane), SCALE)
    assert width == pytest.approx(2.3548 * 1.8 * SCALE, rel=0.06)
    assert np.isnan(realism.narrowest_fwhm(plane / 1e3 + noise(), labels, realism.sky_pixels(noise()), SCALE))


def test_a_cutout_in_numbers():
    colours = (4.0, 16.0, 40.0)
    planes = np.stack([noise(f"b{i}", sigma=0.002) + spot(3.0, flux) for i, flux in enumerate(colours)])
    planes += spot(2.0, 30.0, 14.0, 0.0)
    looks = realism.measure_looks(planes, pixel_scale_arcsec=SCALE)
    inside = 1.0 - np.exp(-0.5 * (realism.APERTURE_ARCSEC / (3.0 * SCALE)) ** 2)
    assert looks.mag == pytest.approx(22.5 - 2.5 * np.log10(np.array(colours) * inside), abs=0.05)
    assert looks.sources == 2
    assert looks.sigma_nmgy == pytest.approx([0.002] * 3, rel=0.05)
    assert np.abs(looks.level_sigma).max() < 0.15


def test_pixels_that_are_no_sky_are_errors():
    broken = np.stack([noise()] * 3)
    broken[1, 3, 4] = np.nan
    with pytest.raises(DataError, match="not finite"):
        realism.measure_looks(broken, pixel_scale_arcsec=SCALE)
    with pytest.raises(DataError, match="too little sky"):
        realism.sky_pixels(noise("small", side=20))


@pytest.mark.realdata
def test_real_sky_is_that_of_the_facts(realdata):
    """Noise and lag 1 to 3 along x as published for the three cutouts, within what the mask changes."""
    published = {
        "0001m060_2396": ((1.53, 2.30, 5.31), (0.23, 0.05, 0.13)),
        "0003m005_293": ((1.62, 2.27, 6.83), (0.29, -0.09, 0.06)),
        "3598m030_3212": ((1.94, 3.19, 8.76), (0.13, -0.06, 0.03)),
    }
    cutouts = read_cutouts(realdata / "dr10_cutouts", release=DR10_SOUTH, size_px=SIDE)
    assert set(cutouts.ids) == set(published)
    for identity, image in zip(cutouts.ids, cutouts.images, strict=True):
        looks = realism.measure_looks(image, pixel_scale_arcsec=SCALE)
        sigma, along_x = published[identity]
        assert 1e3 * looks.sigma_nmgy == pytest.approx(sigma, rel=0.06)
        assert looks.correlation[0, 0] == pytest.approx(along_x, abs=0.06)
