"""L124: a row limit that counted per worker, and shards read by all of them, gave data eight times."""

import pytest
import stamp_world

from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.errors import ArtifactError
from darkhaloscope.schema import STAMPS
from darkhaloscope.stamps.shards import ShardSet, write_shards
from darkhaloscope.tabular import write_table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_a_task_is_in_the_shards_once(world):
    ids = ShardSet(world.paths("shards")).metadata(["task_id"])["task_id"].to_pylist()
    assert len(set(ids)) == len(ids) == world.table("manifest", ["task_id"]).num_rows


def test_stamps_written_twice_are_refused(world, tmp_path):
    store = ArtifactStore(tmp_path / "store")
    staging = store.stage("injected_stamps", "unit", stamp_world.TILE, plan="p")
    stamps = world.table("stamps")
    write_table(staging / "part-0.parquet", STAMPS, stamps)
    write_table(staging / "part-1.parquet", STAMPS, stamps.slice(10, 5))
    twice = stamp_world.commit(
        store,
        staging,
        "injected_stamps",
        "unit",
        stamp_world.TILE,
        inputs={"manifest": world.manifest.content_hash},
    )

    class Both:
        """The manifest of one store and the stamps of the other."""

        def paths(self, record, suffix):
            return (world.store if record.name == "manifest" else store).paths(record, suffix)

    with pytest.raises(ArtifactError, match="5 repeated"):
        write_shards(
            world.experiment,
            stamp_world.PROFILE,
            manifest_records={stamp_world.TILE: world.manifest},
            stamp_records={stamp_world.TILE: twice},
            store=Both(),
            staging=tmp_path,
        )
