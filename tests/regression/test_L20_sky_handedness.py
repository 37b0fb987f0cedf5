"""L20: RA increases to the left; light put west of a galaxy must lie west of it through the WCS."""

import warnings

import numpy as np
import pytest
import sky_tree

from darkhaloscope.lensing.render import render_unlensed
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.coadds import cut_positions
from darkhaloscope.survey.release import get_release

RELEASE = get_release("dr10-south")
SIZE = 64


@pytest.mark.parametrize(("x_arcsec", "y_arcsec"), [(3.0, 0.0), (0.0, 3.0), (-2.0, 2.5)])
def test_the_position_angle_of_added_light_is_recovered_through_the_wcs(tmp_path, x_arcsec, y_arcsec):
    brick = sky_tree.pair()[0]
    root = sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())
    px, py = brick.positions[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ra, dec = (float(v) for v in brick.wcs.all_pix2world(px, py, 0))
    cut = cut_positions(root, RELEASE, read_footprint(root, RELEASE), [ra], [dec], SIZE, [brick.name])[0]
    template = np.zeros((1, 33, 33), np.float32)
    template[0, 16, 16] = 1.0
    shift = np.array([cut.x_offset_px, cut.y_offset_px]) * RELEASE.pixel_scale_arcsec
    image = render_unlensed(
        template,
        template_scale_arcsec=0.05,
        size_px=SIZE,
        pixel_scale_arcsec=RELEASE.pixel_scale_arcsec,
        x_arcsec=np.array([shift[0] + x_arcsec]),
        y_arcsec=np.array([shift[1] + y_arcsec]),
        rotation_rad=np.zeros(1),
        flip=np.zeros(1, bool),
        psf_fwhm_arcsec=np.full((1, 3), 1.2),
        flux_nmgy=np.full((1, 3), 10.0),
    ).image[0, 1]
    rows, columns = np.mgrid[:SIZE, :SIZE]
    middle = (SIZE - 1) / 2
    # stamp pixels to brick pixels: the stamp centre is the galaxy less its offset
    x = px - cut.x_offset_px + (image * columns).sum() / image.sum() - middle
    y = py - cut.y_offset_px + (image * rows).sum() / image.sum() - middle
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found_ra, found_dec = (float(v) for v in brick.wcs.all_pix2world(x, y, 0))
    east_arcsec = (found_ra - ra) * np.cos(np.radians(dec)) * 3600.0
    north_arcsec = (found_dec - dec) * 3600.0
    angle, expected = np.arctan2(east_arcsec, north_arcsec), np.arctan2(-x_arcsec, y_arcsec)
    assert np.hypot(east_arcsec, north_arcsec) == pytest.approx(np.hypot(x_arcsec, y_arcsec), abs=0.1)
    assert np.cos(angle - expected) > 0.999
