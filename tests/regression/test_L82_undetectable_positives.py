"""L82: a fifth of the positives had no signal and were labelled as lenses all the same."""

import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope.stamps.shards import ShardSet, write_shards


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_nothing_below_the_floor_is_a_positive_and_what_went_is_counted(world, tmp_path):
    floor = 12.0
    chosen = stamp_world.experiment(snr_targeting={"mode": "floor", "low": floor, "high": 1000.0})
    summary = write_shards(
        chosen,
        stamp_world.PROFILE,
        manifest_records={stamp_world.TILE: world.manifest},
        stamp_records={stamp_world.TILE: world.stamps},
        store=world.store,
        staging=tmp_path,
    )
    below = pc.sum(pc.less(world.table("stamps", ["arc_snr_footprint_r", "control_kind"]).filter(
        pc.equal(pc.field("control_kind"), "positive"))["arc_snr_footprint_r"], floor)).as_py()  # fmt: skip
    assert below > 5
    assert summary["outcomes"]["positive"]["snr_low"] == below
    kept = ShardSet(list(tmp_path.glob("*.parquet"))).metadata(["control_kind", "arc_snr_footprint_r"])
    assert pc.min(stamp_world.of_kind(kept, "positive")["arc_snr_footprint_r"]).as_py() >= floor
