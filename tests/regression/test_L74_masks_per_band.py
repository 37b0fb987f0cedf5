"""The r-only bad-bit set judged g and z, so their bad pixels were never seen."""

import numpy as np
import pytest
import sky_tree

from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.coadds import cut_positions
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS


@pytest.mark.parametrize("kind", ["SATUR", "ALLMASK"])
@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_each_band_sees_its_own_bits_only(tmp_path, band, kind):
    brick = sky_tree.pair()[0]
    sky_tree.write_tree(tmp_path, [brick])
    mask = np.full((420, 420), 1 << MASK_BITS[f"{kind}_{band.upper()}"], dtype=np.int32)
    sky_tree.write_plane(brick.file(tmp_path, "maskbits"), mask, brick.wcs, "maskbits")
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    (stamp,) = cut_positions(tmp_path, DR10_SOUTH, bricks, [brick.ra], [brick.dec], 41)
    assert stamp.bad_pixel_frac.tolist() == [float(b == band) for b in DR10_SOUTH.bands]
