"""L28: a kernel wider than the stamp raised an exception that silently removed positives in bad seeing."""

import numpy as np
import pytest

from darkhaloscope.lensing.psf import convolve, moffat_kernel
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes


@pytest.mark.parametrize("fwhm", [1.3, 1.36, 1.6, 2.0, 2.5, 4.0])
@pytest.mark.parametrize("size", [24, 64])
def test_l28_every_seeing_yields_the_arc(fwhm, size):
    scenes = trial_scenes(2, size_px=size) | {"psf_fwhm_arcsec": np.full((2, 3), fwhm)}
    image = render_lensed(**scenes).image
    assert np.isfinite(image).all()
    assert (image.sum(axis=(2, 3)) > 0.5 * scenes["flux_nmgy"]).all()


def test_l28_convolution_takes_a_kernel_wider_than_the_image():
    kernel = moffat_kernel(2.0, 0.262)
    image = np.zeros((15, 15))
    image[7, 4] = 1.0
    assert kernel.shape[0] > 15
    found = convolve(image, kernel)
    half = kernel.shape[0] // 2
    np.testing.assert_allclose(found, kernel[half - 7 : half + 8, half - 4 : half + 11], atol=1e-12)
