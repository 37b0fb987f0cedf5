"""Seeing and depth were cut in r only, and g seeing up to 3.18 arcsec came in."""

import numpy as np
import pytest
import sky_tree

from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH


@pytest.mark.parametrize("band", ["g", "r", "z"])
@pytest.mark.parametrize(
    ("column", "value", "name"), [("PSFSIZE", 3.18, "psf_fwhm"), ("PSFDEPTH", 0.0, "psfdepth")]
)
def test_a_galaxy_unfit_in_one_band_is_rejected_and_counted(tmp_path, band, column, value, name):
    brick = sky_tree.pair()[0]
    sky_tree.write_tree(tmp_path, [brick])
    rows = sky_tree.sweep_rows(brick)
    rows[f"{column}_{band.upper()}"][1] = value
    sky_tree.write_sweep(sky_tree.sweep_path(tmp_path, brick), rows)
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    parents = select_parents(tmp_path, DR10_SOUTH, bricks["tile"][0].as_py(), bricks).table
    reasons = np.array(parents["reject_reason"].to_pylist())
    assert reasons.tolist() == ["", f"{name}_{band}", ""]


def test_limits_exist_for_every_band():
    assert set(DR10_SOUTH.limits.min_psfdepth_mag) == set(DR10_SOUTH.bands)
