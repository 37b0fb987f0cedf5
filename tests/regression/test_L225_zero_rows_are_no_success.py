"""L225: jobs completed on nothing."""

import pytest
import stamp_world

from darkhaloscope.errors import ArtifactError, DataError
from darkhaloscope.schema import MANIFEST
from darkhaloscope.stamps.inject import plan_injection
from darkhaloscope.stamps.shards import ShardSet, write_shards
from darkhaloscope.tabular import write_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_a_tile_without_usable_hosts_is_an_error(world):
    table = stamp_world.hosts()
    with pytest.raises(DataError, match="No usable host"):
        stamp_world.manifest_of(world.experiment, world.bank_path, host_table=table.slice(0, 0))
    gone = stamp_world.replace(table, status=["off_edge"] * table.num_rows)
    with pytest.raises(DataError, match="'off_edge': 96"):
        stamp_world.manifest_of(world.experiment, world.bank_path, host_table=gone)


def test_an_empty_manifest_gives_no_units(world, tmp_path):
    write_table(tmp_path / "m.parquet", MANIFEST, world.table("manifest").slice(0, 0))
    with pytest.raises(DataError, match="empty"):
        plan_injection(
            world.experiment,
            stamp_world.PROFILE,
            manifest_paths=[tmp_path / "m.parquet"],
            host_paths=world.paths("hosts"),
            bank_path=world.bank_path,
            staging=tmp_path,
        )


def test_shards_of_nothing_are_refused(world, tmp_path):
    with pytest.raises(ArtifactError, match="at least one"):
        write_shards(
            world.experiment,
            stamp_world.PROFILE,
            manifest_records={},
            stamp_records={},
            store=world.store,
            staging=tmp_path,
        )
    none_pass = stamp_world.experiment(snr_targeting={"mode": "floor", "low": 900.0, "high": 1000.0})
    with pytest.raises(DataError, match="both classes"):
        write_shards(
            none_pass,
            stamp_world.PROFILE,
            manifest_records={stamp_world.TILE: world.manifest},
            stamp_records={stamp_world.TILE: world.stamps},
            store=world.store,
            staging=tmp_path,
        )
    with pytest.raises(DataError, match="No shards"):
        ShardSet([])
