"""L71: stamps held one band only; a later fix filled the absent ones with zeros."""

import pytest
import stamp_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def blank_image(image, invvar, mask):
    image[0] = 0.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [(stamp_world.clear_band(0), "missing_band_g"), (blank_image, "missing_band_g")],
)
def test_a_stamp_without_a_band_is_not_written(world, tmp_path, change, reason):
    rows = stamp_world.of_kind(world.table("manifest"), "unpaired").slice(0, 2)
    path = stamp_world.damaged_hosts(tmp_path, stamp_world.hosts(), change, {rows["host_id"][0].as_py()})
    found = stamp_world.stamps_of(world, rows, host_paths=[path])
    assert found["status"].to_pylist() == [reason, "ok"]
    assert found["image"].is_null().to_pylist() == [True, False]
    assert found["bandset"][1].as_py() == "grz"
