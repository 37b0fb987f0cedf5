"""L26: the PSF kernel was embedded in a corner and the image moved by up to 23 pixels, with the seeing."""

import numpy as np
import pytest

from darkhaloscope.lensing.psf import convolve, moffat_kernel
from darkhaloscope.lensing.render import render_unlensed


def centroid_px(image):
    rows, columns = np.indices(image.shape)
    return (columns * image).sum() / image.sum(), (rows * image).sum() / image.sum()


@pytest.mark.parametrize("size", [64, 65])
def test_l26_renderer_keeps_an_impulse_where_it_is_in_every_band(size):
    blob = np.exp(-0.5 * (np.hypot(*np.mgrid[-10:11, -10:11]) / 3) ** 2)
    fwhm = np.array([[0.8, 1.1, 1.4, 1.9, 2.5]])
    images = render_unlensed(
        (blob / blob.sum())[None],
        template_scale_arcsec=0.03,
        size_px=size,
        pixel_scale_arcsec=0.262,
        x_arcsec=0.6,
        y_arcsec=-1.1,
        rotation_rad=0.0,
        flip=False,
        psf_fwhm_arcsec=fwhm,
        flux_nmgy=np.ones(fwhm.shape),
    ).image[0]
    expected = ((size - 1) / 2 + 0.6 / 0.262, (size - 1) / 2 - 1.1 / 0.262)
    for image in images.astype(np.float64):
        assert centroid_px(image) == pytest.approx(expected, abs=0.05)
        assert image.sum() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("fwhm", [0.8, 1.3, 2.0])
def test_l26_kernel_convolution_keeps_an_impulse_where_it_is(size, fwhm):
    impulse = np.zeros((size, size))
    impulse[30, 33] = 1.0
    image = convolve(impulse, moffat_kernel(fwhm, 0.262))
    assert np.unravel_index(image.argmax(), image.shape) == (30, 33)
    assert centroid_px(image) == pytest.approx((33, 30), abs=0.05)
    assert image.sum() == pytest.approx(1.0, abs=0.01)
