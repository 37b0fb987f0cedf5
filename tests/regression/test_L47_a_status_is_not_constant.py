"""L47: a validity flag was true for every row because nothing could make it false."""

import numpy as np
import pytest
import stamp_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def nan(image, invvar, mask):
    image[0, 50, 50] = np.nan


def masked(image, invvar, mask):
    mask[:50] |= 1 << 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [(nan, "non_finite"), (masked, "bad_pixels_g"), (stamp_world.clear_band(1), "missing_band_r")],
)
def test_a_planted_bad_host_gets_its_reason_and_the_others_stay_ok(world, tmp_path, change, reason):
    rows = stamp_world.of_kind(world.table("manifest"), "paired").slice(0, 6)
    bad = rows["host_id"][2].as_py()
    path = stamp_world.damaged_hosts(tmp_path, stamp_world.hosts(), change, {bad})
    found = stamp_world.stamps_of(world, rows, host_paths=[path])["status"].to_pylist()
    assert found == ["ok", "ok", reason, "ok", "ok", "ok"]
