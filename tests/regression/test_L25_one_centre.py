"""L25: the lens sat on pixel 32 in one path and on 31.5 in the other, its sub-pixel offset rounded away."""

import numpy as np
import pytest

from darkhaloscope.lensing.geometry import StampGeometry, crop_about
from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.lensing.render import render_unlensed
from darkhaloscope.lensing.trial import trial_scenes

PX = 0.262


def centroid_px(image):
    weights = image.astype(np.float64)
    rows, columns = np.indices(image.shape)
    return (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("target", [(1234.0, 871.5), (1234.37, 871.82), (1233.51, 870.99)])
def test_l25_centroid_is_the_sub_pixel_target(size, target):
    window = crop_about(*target, size)
    blob = np.exp(-0.5 * (np.hypot(*np.mgrid[-10:11, -10:11]) / 4) ** 2)
    image = render_unlensed(
        (blob / blob.sum())[None],
        template_scale_arcsec=0.03,
        size_px=size,
        pixel_scale_arcsec=PX,
        x_arcsec=window.x_offset_px * PX,
        y_arcsec=window.y_offset_px * PX,
        rotation_rad=0.0,
        flip=False,
        psf_fwhm_arcsec=[[1.3]],
        flux_nmgy=[[1.0]],
    ).image[0, 0]
    x, y = centroid_px(image)
    assert x + window.x0 == pytest.approx(target[0], abs=0.02)
    assert y + window.y0 == pytest.approx(target[1], abs=0.02)


@pytest.mark.parametrize("size", [64, 65])
def test_l25_stamp_and_oracle_share_the_centre(size):
    assert StampGeometry(size, PX).centre_px == (size - 1) / 2
    scenes = trial_scenes(1, size_px=size, fwhm_arcsec=(1.3,))
    x, y = centroid_px(reference_render(**scenes).image[0, 0])
    from darkhaloscope.lensing.render import render_lensed

    assert centroid_px(render_lensed(**scenes).image[0, 0]) == pytest.approx((x, y), abs=0.01)
