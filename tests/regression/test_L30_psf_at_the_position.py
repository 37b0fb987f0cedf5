"""One brick-mean seeing served every object, and missing bands fell back to another band's."""

import numpy as np
import sky_tree

from darkhaloscope.schema import HOSTS, Role
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.coadds import cut_positions
from darkhaloscope.survey.release import DR10_SOUTH


def test_seeing_varies_inside_a_brick_and_a_missing_band_is_a_rejection(tmp_path):
    brick = sky_tree.pair()[0]
    sky_tree.write_tree(tmp_path, [brick])
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    ra, dec = brick.wcs.all_pix2world([[60.0, 200.0], [360.0, 200.0]], 0).T
    left, right = cut_positions(tmp_path, DR10_SOUTH, bricks, ra, dec, 41)
    assert np.allclose(right.psf_fwhm_arcsec - left.psf_fwhm_arcsec, 0.1 * 300 / 420, atol=1e-6)

    sky_tree.write_plane(
        brick.file(tmp_path, "psfsize", "z"), np.zeros((420, 420), np.float32), brick.wcs, "psfsize"
    )
    stamps = cut_positions(tmp_path, DR10_SOUTH, bricks, ra, dec, 41)
    assert {s.status for s in stamps} == {"no_psf_z"}
    assert all(np.isnan(s.psf_fwhm_arcsec[2]) for s in stamps)


def test_the_schema_has_a_seeing_per_band_and_position():
    for band in DR10_SOUTH.bands:
        column = HOSTS[f"psf_fwhm_{band}_arcsec"]
        assert column.role is Role.CONDITION
        assert "position" in column.description
