"""Stamps with one band reached training, then absent bands were filled with zeros."""

import pytest
import sky_tree

from darkhaloscope.schema import HOSTS
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.hosts import UNIT_FUNCTION, plan_host_units
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.units import run_unit


@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_a_stamp_has_every_band_or_no_pixels_at_all(tmp_path, band):
    brick = sky_tree.pair()[0]
    root = sky_tree.write_tree(tmp_path / "survey", [brick])
    bricks = read_footprint(root, DR10_SOUTH)
    parents = select_parents(root, DR10_SOUTH, bricks["tile"][0].as_py(), bricks).table
    units = plan_host_units(
        parents, bricks, survey_root=root, release=DR10_SOUTH, size_px=41,
        staging=tmp_path / "s", unit_hosts=10, profile_max_hosts=None,
    )  # fmt: skip
    run_unit(UNIT_FUNCTION, units[0])
    assert pixels(read_table(units[0]["output"]), "image").shape == (3, len(DR10_SOUTH.bands), 41, 41)

    brick.file(root, "image", band).unlink()
    assert read_footprint(root, DR10_SOUTH)["status"].to_pylist() == [f"missing image-{band}"]
    (tmp_path / "s" / "hosts-00000.parquet").unlink()
    run_unit(UNIT_FUNCTION, units[0])
    hosts = read_table(units[0]["output"])
    HOSTS.validate(hosts)
    assert set(hosts["status"].to_pylist()) == {f"missing_band_{band}"}
    assert hosts["image"].null_count == hosts["invvar"].null_count == hosts.num_rows == 3
