"""NPRIMARY pixels entered bad_pixel_frac, which then measured the distance to the brick edge."""

import sky_tree

from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.coadds import cut_positions
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS


def test_a_stamp_over_the_primary_edge_has_no_bad_pixels(tmp_path):
    brick = sky_tree.pair()[0]
    sky_tree.write_tree(tmp_path, [brick])
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    ra, dec = brick.wcs.all_pix2world([[42.0, 200.0]], 0).T
    (stamp,) = cut_positions(tmp_path, DR10_SOUTH, bricks, ra, dec, 41, [brick.name])
    assert stamp.status == "ok"
    outside = (stamp.maskbits & (1 << MASK_BITS["NPRIMARY"])) != 0
    assert outside.mean() > 0.4  # the test is of a stamp that does lie over the edge
    assert stamp.bad_pixel_frac.tolist() == [0.0, 0.0, 0.0]
