import numpy as np
import pytest
from scipy.signal import fftconvolve

from darkhaloscope.sources.psf import match_psf


def gaussian(size, sigma_x, sigma_y=None, centre=None):
    x0, y0 = centre or ((size - 1) / 2.0, (size - 1) / 2.0)
    y, x = np.indices((size, size))
    image = np.exp(-((x - x0) ** 2) / (2 * sigma_x**2) - (y - y0) ** 2 / (2 * (sigma_y or sigma_x) ** 2))
    return image / image.sum()


def moments(image):
    y, x = np.indices(image.shape)
    total = image.sum()
    x0, y0 = (image * x).sum() / total, (image * y).sum() / total
    return x0, y0, (image * (x - x0) ** 2).sum() / total, (image * (y - y0) ** 2).sum() / total


def test_elliptical_psf_becomes_the_round_target():
    psf = gaussian(41, 1.7, 1.3)
    galaxy = gaussian(101, 4.0)
    seen = fftconvolve(galaxy, psf, mode="same")
    matched = match_psf(seen, psf, fwhm_arcsec=0.15, pixel_scale_arcsec=0.03)
    target_px = 0.15 / 0.03 / 2.3548
    _, _, xx, yy = moments(matched)
    assert xx == pytest.approx(16.0 + target_px**2, rel=0.02)
    assert yy == pytest.approx(16.0 + target_px**2, rel=0.02)


@pytest.mark.parametrize("shape", [(81, 82), (60, 45)])
def test_flux_and_position_are_kept_even_for_an_off_centre_psf_stamp(shape):
    psf = gaussian(41, 1.6, centre=(23.0, 18.5))
    image = np.zeros(shape)
    image[shape[0] // 2 - 3 : shape[0] // 2 + 4, shape[1] // 2 - 3 : shape[1] // 2 + 4] = gaussian(7, 2.5)
    matched = match_psf(image, psf, fwhm_arcsec=0.15)
    assert matched.shape == shape
    assert matched.sum() == pytest.approx(image.sum(), rel=0.01)
    assert moments(matched)[:2] == pytest.approx(moments(image)[:2], abs=0.05)


def test_noise_is_bounded_where_the_telescope_passes_nothing():
    psf = gaussian(61, 4.0)
    sky = np.random.Generator(np.random.Philox(key=6)).standard_normal((120, 120))
    assert match_psf(sky, psf).std() < 10.0


def test_noise_is_not_amplified():
    psf = gaussian(41, 1.55)
    sky = np.random.Generator(np.random.Philox(key=5)).standard_normal((120, 120))
    assert match_psf(sky, psf).std() < 1.0
