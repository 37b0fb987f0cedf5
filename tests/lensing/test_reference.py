"""The oracle agrees with itself by another route, and with lenstronomy's own image model."""

import numpy as np
import pytest

from darkhaloscope.lensing.psf import moffat_kernel
from darkhaloscope.lensing.reference import oracle_flux_nmgy, reference_render
from darkhaloscope.lensing.sie import ellipticity_from_axis_ratio
from darkhaloscope.lensing.trial import trial_scenes


def test_flux_is_the_sum_of_the_image():
    scenes = trial_scenes(3)
    summed = reference_render(**scenes).image.sum(axis=(2, 3), dtype=np.float64)
    np.testing.assert_allclose(oracle_flux_nmgy(**scenes), summed, rtol=5e-4)


# scipy.fft inside lenstronomy 1.13 with numpy 2
@pytest.mark.filterwarnings("ignore:`axes` should not be:DeprecationWarning")
def test_image_is_lenstronomys_image_model():
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    size, px = 65, 0.262
    s = trial_scenes(1, size_px=size, fwhm_arcsec=(1.3,)) | {"src_flip": np.array([False])}
    data = ImageData(
        image_data=np.zeros((size, size)),
        transform_pix2angle=np.eye(2) * px,
        ra_at_xy_0=-px * (size - 1) / 2,
        dec_at_xy_0=-px * (size - 1) / 2,
    )
    kernel = moffat_kernel(float(s["psf_fwhm_arcsec"][0, 0]), px)
    x, y = float(s["lens_x_arcsec"][0]), float(s["lens_y_arcsec"][0])
    e1, e2 = ellipticity_from_axis_ratio(s["lens_q"][0], s["lens_phi_rad"][0])
    model = ImageModel(
        data,
        PSF("PIXEL", kernel_point_source=kernel, pixel_size=px),
        LensModel(["SIE", "SHEAR"]),
        LightModel(["INTERPOL"]),
        kwargs_numerics={"supersampling_factor": 4},
    )
    expected = model.image(
        [
            {"theta_E": s["theta_e_arcsec"][0], "e1": e1, "e2": e2, "center_x": x, "center_y": y},
            {"gamma1": s["gamma1"][0], "gamma2": s["gamma2"][0], "ra_0": x, "dec_0": y},
        ],
        [
            {
                "image": s["templates"][0].astype(float) / s["template_scale_arcsec"] ** 2,
                "amp": s["flux_nmgy"][0, 0],
                "center_x": x + s["src_x_arcsec"][0],
                "center_y": y + s["src_y_arcsec"][0],
                "phi_G": s["src_rotation_rad"][0],
                "scale": s["template_scale_arcsec"],
            }
        ],
    )
    found = reference_render(**s).image[0, 0]
    # Native-pixel convolution with a pixel-integrated kernel blurs by one more pixel than the truth.
    assert np.abs(found - expected).max() / expected.max() < 0.03
    assert found.sum() / expected.sum() - 1 < 2e-3
