"""L29: the quick fix for L28 cut the kernel's wings, a flux loss that depends on the seeing."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing.psf import moffat_enclosed_flux, moffat_kernel, moffat_profile
from darkhaloscope.lensing.render import render_unlensed


@pytest.mark.parametrize("fwhm", [0.8, 1.3, 1.6, 2.5])
def test_l29_kernel_holds_the_flux_and_grows_with_the_seeing(fwhm):
    kernel = moffat_kernel(fwhm, 0.262)
    half = kernel.shape[0] // 2
    assert moffat_enclosed_flux(half * 0.262, fwhm) >= 0.999
    assert kernel.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("subsampling", [1, 2])
def test_l29_undersampled_kernel_is_refused(subsampling):
    with pytest.raises(DataError, match="truncated or undersampled"):
        moffat_kernel(0.1, 0.262, subsampling=subsampling)


@pytest.mark.parametrize("fwhm", [1.2, 1.6, 2.5])
def test_l29_rendered_wings_follow_the_profile_to_the_edge(fwhm):
    blob = np.exp(-0.5 * (np.hypot(*np.mgrid[-10:11, -10:11]) / 3) ** 2)
    image = render_unlensed(
        (blob / blob.sum())[None],
        template_scale_arcsec=0.03,
        size_px=65,
        pixel_scale_arcsec=0.262,
        x_arcsec=0.0,
        y_arcsec=0.0,
        rotation_rad=0.0,
        flip=False,
        psf_fwhm_arcsec=[[fwhm]],
        flux_nmgy=[[1.0]],
    ).image[0, 0]
    radius = np.arange(12, 30) * 0.262
    expected = moffat_profile(radius, fwhm) * 0.262**2
    np.testing.assert_allclose(image[32, 32 + 12 : 32 + 30], expected, rtol=0.12, atol=2e-7)
