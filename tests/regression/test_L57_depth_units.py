"""PSFDEPTH is an inverse variance in sweeps and a magnitude in brick tables; they were mixed."""

import numpy as np
import pytest
import sky_tree
from astropy.table import Table

from darkhaloscope.errors import DataError
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH


@pytest.fixture
def root(tmp_path):
    return sky_tree.write_tree(tmp_path, [sky_tree.pair()[0]])


def parents(root):
    bricks = read_footprint(root, DR10_SOUTH)
    return select_parents(root, DR10_SOUTH, bricks["tile"][0].as_py(), bricks).table, bricks


def test_both_readers_give_the_same_magnitude(root):
    sources, bricks = parents(root)
    for band in DR10_SOUTH.bands:
        column = f"psfdepth_{band}_mag"
        assert sources[column].to_pylist() == pytest.approx([bricks[column][0].as_py()] * 3, abs=1e-4)


def test_a_brick_table_of_inverse_variances_is_refused(root):
    path = root / "south" / "survey-bricks-dr10-south.fits.gz"
    summary = Table.read(path)
    summary["psfdepth_r"] = np.float32(995.0)
    summary.write(path, overwrite=True)
    with pytest.raises(DataError, match=r"Depth out of range.*psfdepth_r"):
        read_footprint(root, DR10_SOUTH)


def test_sweeps_of_magnitudes_are_refused(root):
    brick = sky_tree.pair()[0]
    rows = sky_tree.sweep_rows(brick)
    rows["PSFDEPTH_R"] = 24.1  # as an inverse variance this is 22.5 mag: in range, but not this brick's
    sky_tree.write_sweep(sky_tree.sweep_path(root, brick), rows)
    with pytest.raises(DataError, match=r"disagree.*PSFDEPTH_R.*1/nMgy"):
        parents(root)
