import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.survey.photometry import (
    DepthIvar,
    checked_depth_mag,
    depth_mag_from_ivar,
    magnitude,
    sky_nmgy_per_px,
)


def test_magnitude_zero_point_and_undefined_fluxes():
    mag = magnitude([1.0, 100.0, 0.0, -3.0, np.nan])
    assert mag[:2].tolist() == [22.5, 17.5]
    assert np.isnan(mag[2:]).all()


def test_depth_is_the_magnitude_of_five_sigma():
    # 5 sigma = 1 nMgy (22.5 mag) means sigma = 0.2 nMgy, inverse variance 25.
    depth = depth_mag_from_ivar(DepthIvar(np.array([25.0, 2500.0, 0.0])), file="s", field="f")
    assert depth[:2] == pytest.approx([22.5, 25.0])
    assert np.isnan(depth[2])


def test_depth_map_agrees_with_pixel_noise_of_the_documentation():
    # sigma_px of 0.0043 nMgy at FWHM 1.33" is a depth of 24.46 mag (Gaussian PSF, N_eff = 4 pi s^2).
    n_eff = 4.0 * np.pi * (1.33 / (2.355 * 0.262)) ** 2
    depth = depth_mag_from_ivar(DepthIvar(np.array([1.0 / (0.0043**2 * n_eff)])), file="s", field="f")
    assert depth[0] == pytest.approx(24.46, abs=0.02)


def test_brick_depths_outside_15_to_30_mag_name_file_field_and_row():
    kept = checked_depth_mag([24.0, 0.0, np.inf, np.nan], file="b.fits", field="psfdepth_r")
    assert kept[0] == 24.0
    assert np.isnan(kept[1:]).all()
    with pytest.raises(DataError, match=r"b\.fits, field psfdepth_r, row 1.*995"):
        checked_depth_mag([24.0, 995.0], file="b.fits", field="psfdepth_r")


def test_sky_level_per_pixel():
    assert sky_nmgy_per_px(22.5, 0.262) == pytest.approx(0.262**2)
    assert sky_nmgy_per_px(20.0, 1.0) == pytest.approx(10.0)
