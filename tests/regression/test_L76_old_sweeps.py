"""sweep/10.0 lost the sources of 598 bricks; only the repaired directory is read."""

import pytest
import sky_tree

from darkhaloscope.errors import MissingDataError
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH


def parents(root):
    bricks = read_footprint(root, DR10_SOUTH)
    return select_parents(root, DR10_SOUTH, bricks["tile"][0].as_py(), bricks).table


def test_the_old_directory_is_not_read(tmp_path):
    root = sky_tree.write_tree(tmp_path, [sky_tree.pair()[0]])
    sweeps = root / "south" / "sweep"
    (sweeps / "10.1").rename(sweeps / "10.0")
    with pytest.raises(MissingDataError, match=r"10\.1.*beside it: \['10\.0'\].*598 bricks"):
        parents(root)


def test_the_repaired_bricks_release_number_is_accepted(tmp_path):
    brick = sky_tree.pair()[0]
    root = sky_tree.write_tree(tmp_path, [brick])
    rows = sky_tree.sweep_rows(brick)
    rows["RELEASE"] = 10002  # bricks processed again for DR10.1
    sky_tree.write_sweep(sky_tree.sweep_path(root, brick), rows)
    assert set(parents(root)["release"].to_pylist()) == {10002}
