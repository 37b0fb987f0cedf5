"""L98: a test tier had no controls; training ran to its end on one class."""

import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope.errors import ConfigError, DataError
from darkhaloscope.stamps.kinds import POSITIVE


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_an_experiment_without_controls_is_refused_before_anything_is_drawn(world):
    bare = {"unpaired_fraction": 0.0, "paired": False, "matched_light": False}
    with pytest.raises(ConfigError, match="one class only"):
        stamp_world.manifest_of(stamp_world.experiment(controls=bare), world.bank_path)


def test_every_split_of_the_shards_has_both(world):
    table = world.table("shards", ["split", "control_kind"])
    for split in ("train", "val", "test"):
        kinds = table.filter(pc.equal(table["split"], split))["control_kind"].to_pylist()
        assert 0 < kinds.count(POSITIVE) < len(kinds)


def test_a_sky_too_small_for_a_split_is_refused(world, tmp_path):
    table = stamp_world.hosts()
    few = table.slice(0, 13 * stamp_world.HOSTS_PER_CELL)
    with pytest.raises(DataError, match=r"both classes \[field test\]"):
        stamp_world.build(tmp_path, world.experiment, world.bank_path, host_table=few)
