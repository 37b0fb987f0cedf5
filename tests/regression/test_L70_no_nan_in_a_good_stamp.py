"""L70: stamps with NaN pixels were accepted, and training stopped at batch 300."""

import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.mark.parametrize("band", [0, 1, 2])
@pytest.mark.parametrize("plane", ["image", "invvar"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_bad_pixel_in_any_plane_costs_the_stamp(world, tmp_path, band, plane, value):
    def change(image, invvar, mask):
        (image if plane == "image" else invvar)[band, 40, 60] = value

    rows = world.table("manifest").slice(0, 3)
    bad = rows["host_id"][0].as_py()
    table = stamp_world.hosts()
    few = table.filter(np.isin(table["host_id"].to_pylist(), rows["host_id"].to_pylist()))
    twins = stamp_world.of_kind(world.table("manifest"), "positive").slice(0, 8)
    path = stamp_world.damaged_hosts(tmp_path, few, change, {bad})
    found = stamp_world.stamps_of(world, rows, host_paths=[path], twins=twins)
    assert found["status"].to_pylist() == ["non_finite"] * 3
    assert found["nan_pixels"].to_pylist() == [1] * 3
    assert found["image"].null_count == found["invvar"].null_count == 3


def test_no_stamp_called_ok_has_one(world):
    stamps = world.table("stamps")
    for name in ("image", "invvar"):
        assert np.isfinite(tabular.pixels(stamps, name)).all()
