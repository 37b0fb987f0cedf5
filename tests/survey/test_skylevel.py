import numpy as np
import pytest
import sky_tree
from astropy.table import Table

from darkhaloscope.survey import layout
from darkhaloscope.survey.photometry import sky_nmgy_per_px
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.skylevel import brick_sky_nmgy

TABLE = sky_nmgy_per_px([22.0, 21.0, 19.0], 0.262)


def write_ccds(root, name, filters, mags, sigma):
    path = root / layout.ccd_table(DR10_SOUTH, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Table(
        {
            "filter": np.array(filters, dtype="S1"),
            "ccdskysb": np.array(mags, dtype="f4"),
            "sig1": np.array(sigma, dtype="f4"),
        }
    ).write(path, overwrite=True)


def test_brick_table_is_used_where_no_ccds_are_listed(tmp_path):
    assert brick_sky_nmgy(tmp_path, DR10_SOUTH, "0120p060", TABLE) == pytest.approx(TABLE)


def test_ccds_come_first_and_deep_ones_weigh_more(tmp_path):
    name = sky_tree.pair()[0].name
    write_ccds(tmp_path, name, ["g", "g", "r"], [22.0, 21.0, 20.5], [0.01, 0.02, 0.01])
    level = brick_sky_nmgy(tmp_path, DR10_SOUTH, name, TABLE)
    bright, faint = sky_nmgy_per_px([21.0, 22.0], 0.262)
    assert level[0] == pytest.approx((4.0 * faint + bright) / 5.0, rel=1e-6)
    assert level[1] == pytest.approx(sky_nmgy_per_px(20.5, 0.262), rel=1e-6)
    assert level[2] == pytest.approx(TABLE[2])  # no z CCD listed


def test_the_residual_sky_of_a_real_brick_table_does_not_pass_for_the_sky(tmp_path):
    # cosky of the survey is what was taken off the stack after the exposures' own sky: near zero.
    level = brick_sky_nmgy(tmp_path, DR10_SOUTH, "0120p060", np.array([2e-4, -1e-4, np.nan]))
    assert np.isnan(level).all()


def test_a_damaged_ccd_table_falls_back_to_the_brick_table(tmp_path):
    path = tmp_path / layout.ccd_table(DR10_SOUTH, "0120p060")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not FITS")
    assert brick_sky_nmgy(tmp_path, DR10_SOUTH, "0120p060", TABLE) == pytest.approx(TABLE)
