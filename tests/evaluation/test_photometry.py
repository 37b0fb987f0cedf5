import numpy as np
import pytest

from darkhaloscope.evaluation.photometry import aperture_flux_nmgy, aperture_mean_nmgy
from darkhaloscope.lensing.geometry import StampGeometry

SIZE = 64


def gaussian(flux, x_offset_px=0.0, y_offset_px=0.0, sigma_px=2.0):
    radius = StampGeometry(SIZE, 1.0).radius_px(x_offset_px, y_offset_px)
    return flux * np.exp(-0.5 * (radius / sigma_px) ** 2) / (2.0 * np.pi * sigma_px**2)


def test_all_light_inside_the_aperture_is_counted_above_the_sky():
    image = gaussian(8.0, 1.3, -2.2) + 0.05
    flux = aperture_flux_nmgy(image, x_offset_px=1.3, y_offset_px=-2.2)
    assert flux == pytest.approx(8.0, rel=2e-3)


def test_x_is_the_last_axis():
    image = gaussian(8.0, 10.0, 0.0)
    assert aperture_flux_nmgy(image, x_offset_px=10.0, y_offset_px=0.0, radius_px=4.0) > 6.0
    assert aperture_flux_nmgy(image, x_offset_px=0.0, y_offset_px=10.0, radius_px=4.0) < 0.1


def test_blank_sky_has_no_flux_and_full_stamp_noise_does_not_matter():
    image = np.random.Generator(np.random.Philox(key=1)).normal(0.02, 0.005, (SIZE, SIZE))
    assert abs(aperture_flux_nmgy(image, x_offset_px=0.0, y_offset_px=0.0)) < 5 * 0.005 * np.sqrt(201)


def test_mean_is_flux_over_the_aperture():
    image = gaussian(8.0)
    assert aperture_mean_nmgy(image, x_offset_px=0.0, y_offset_px=0.0) == pytest.approx(8.0 / 208, rel=0.01)
