"""L42: sky noise was added to images that already contain it."""

import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.lensing.geometry import StampGeometry


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.mark.parametrize("kind", ["positive", "matched_light"])
def test_the_sky_of_a_stamp_with_light_is_the_sky_of_its_host(world, kind):
    stamps = world.table("stamps")
    bare = stamp_world.of_kind(stamps, "paired").sort_by("host_id")
    lit = stamp_world.of_kind(stamps, kind).sort_by("host_id")
    assert lit["host_id"].equals(bare["host_id"])
    outside = StampGeometry(64, 1.0).radius_px() > 26.0
    sky = tabular.pixels(bare, "image")[:, :, outside]
    other = tabular.pixels(lit, "image")[:, :, outside]
    # Noise of the same variance added again would give a ratio of 1.41.
    assert np.median(other.std(axis=2) / sky.std(axis=2)) == pytest.approx(1.0, abs=0.002)
    assert np.median(np.abs(other - sky) / sky.std(axis=2, keepdims=True)) < 0.05
