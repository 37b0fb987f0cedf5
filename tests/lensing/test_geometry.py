"""Centres, windows and crops."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.lensing.geometry import StampGeometry, crop_about, crop_stamp


@pytest.mark.parametrize(("size", "centre"), [(64, 31.5), (101, 50.0), (1, 0.0)])
def test_centre_is_the_middle_of_the_outer_edges(size, centre):
    geometry = StampGeometry(size, 0.262)
    assert geometry.centre_px == centre
    assert geometry.axis_arcsec().sum() == pytest.approx(0.0, abs=1e-12)
    assert geometry.side_arcsec == pytest.approx(size * 0.262)


def test_pixels_and_arcsec_are_inverse():
    geometry = StampGeometry(65, 0.262)
    pixels = np.array([-0.5, 0.0, 31.7, 64.5])
    assert geometry.to_px(geometry.to_arcsec(pixels)) == pytest.approx(pixels)
    assert geometry.to_arcsec(32.0) == 0.0


def test_radius_is_measured_from_the_offset_point():
    radius = StampGeometry(5, 1.0).radius_px(x_offset_px=1.0, y_offset_px=-2.0)
    assert radius[0, 3] == 0.0
    assert radius[4, 3] == 4.0


@pytest.mark.parametrize(("size", "scale"), [(0, 0.262), (64, 0.0), (64, float("nan"))])
def test_impossible_stamps_are_refused(size, scale):
    with pytest.raises(DataError, match="Stamp"):
        StampGeometry(size, scale)


@pytest.mark.parametrize("size", [64, 101])
@pytest.mark.parametrize("target", [500.0, 500.49, 500.5, 500.51, 3.2, -7.75])
def test_window_keeps_the_remainder(size, target):
    window = crop_about(target, 100.0, size)
    assert -0.5 < window.x_offset_px <= 0.5
    assert window.x0 + (size - 1) / 2 + window.x_offset_px == pytest.approx(target, abs=1e-9)
    assert isinstance(window.x0, int)


@pytest.mark.parametrize("size", [64, 65, 99])
@pytest.mark.parametrize(("x_off", "y_off"), [(0.0, 0.0), (0.4, -0.3), (-0.5, 0.5)])
def test_crop_follows_the_target(size, x_off, y_off):
    image = StampGeometry(101, 1.0).radius_px(x_off, y_off)[None]
    crop, new_x, new_y = crop_stamp(image, x_off, y_off, size)
    assert crop.shape == (1, size, size)
    np.testing.assert_allclose(crop[0], StampGeometry(size, 1.0).radius_px(new_x, new_y), atol=1e-9)


def test_crop_beyond_the_stamp_is_refused():
    with pytest.raises(DataError, match="beyond"):
        crop_stamp(np.zeros((3, 70, 70)), 5.0, 0.0, 64)
