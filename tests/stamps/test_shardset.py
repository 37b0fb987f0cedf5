"""Shards are read in any portion: metadata, a stream, a sample by galaxy, named tasks."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.schema import QUANTISED, STAMPS
from darkhaloscope.stamps import quantise
from darkhaloscope.stamps.shardset import ShardSet


@pytest.fixture(scope="module", params=["float32", "quantised"])
def shards(world, request, tmp_path_factory):
    """The world's shards, as they are and quantised."""
    if request.param == "float32":
        return ShardSet(world.paths("shards"))
    folder = tmp_path_factory.mktemp("quantised")
    for path in world.paths("shards"):
        stored = quantise.quantised(tabular.read_table(path), 32.0)
        tabular.write_table(folder / path.name, QUANTISED, stored)
    return ShardSet(sorted(folder.iterdir()))


def test_metadata_reads_no_pixels(shards):
    names = shards.metadata().column_names
    assert not {"image", "invvar", "maskbits"} & set(names)
    assert len(names) == len(STAMPS.names()) - 3


def test_sample_is_by_galaxy_and_shared_between_classes(shards):
    table = shards.sample(10, seed=1)
    by_kind = {}
    for host, kind in zip(table["host_id"].to_pylist(), table["control_kind"].to_pylist(), strict=True):
        by_kind.setdefault(kind, set()).add(host)
    assert {kind: len(hosts) for kind, hosts in by_kind.items()} == dict.fromkeys(by_kind, 10)
    assert by_kind["positive"] == by_kind["paired"] == by_kind["matched_light"]
    assert tabular.pixels(table, "image").shape == (table.num_rows, 3, 64, 64)
    assert shards.sample(10, seed=1).equals(table)
    assert shards.sample(10, seed=2)["task_id"] != table["task_id"]


def test_sample_of_one_split_and_some_kinds(shards):
    table = shards.sample(5, seed=1, split="val", kinds=["positive"], columns=["split", "control_kind"])
    assert table.to_pylist() == [{"split": "val", "control_kind": "positive"}] * 5
    everything = shards.sample(10_000, seed=1, columns=["task_id"])
    assert everything.equals(shards.metadata(["task_id"]))


def test_sample_takes_no_prefix(shards):
    order = shards.metadata(["task_id"])["task_id"].to_pylist()
    places = [order.index(task) for task in shards.sample(8, seed=1, columns=["task_id"])[0].to_pylist()]
    assert max(places) > len(order) / 2


def test_load_keeps_the_asked_order(shards):
    ids = shards.metadata(["task_id"])["task_id"].to_pylist()
    asked = [ids[200], ids[3], ids[200], ids[17]]
    assert shards.load(asked)["task_id"].to_pylist() == asked
    with pytest.raises(DataError, match=r"Task is not in the shards.*ffff"):
        shards.load([ids[0], "ffff"])


def test_batches_stream_everything_once(shards):
    found = [task for batch in shards.iter_batches(columns=["task_id"]) for task in batch[0].to_pylist()]
    assert found == shards.metadata(["task_id"])["task_id"].to_pylist()


def test_every_way_of_reading_gives_the_same_pixels(shards):
    every = shards.rows()
    STAMPS.validate(every)
    streamed = pa.Table.from_batches(list(shards.iter_batches()))
    assert streamed.equals(every)
    sample = shards.sample(6, seed=1)
    assert sample.equals(
        every.filter(pc.is_in(every["task_id"], value_set=sample["task_id"].combine_chunks()))
    )
    ids = sample["task_id"].to_pylist()[::-1]
    assert (
        shards.load(ids)["image"]
        .combine_chunks()
        .equals(sample["image"].combine_chunks().take(pa.array(range(len(ids))[::-1])))
    )


def test_nothing_asked_gives_no_rows(shards):
    nothing = shards.sample(0, seed=1, columns=["task_id", "image"])
    assert (nothing.num_rows, nothing.column_names) == (0, ["task_id", "image"])
    assert tabular.pixels(nothing, "image").shape == (0, 3, 64, 64)


def test_files_that_are_no_shards_are_refused(tmp_path):
    with pytest.raises(DataError, match="Not a shard"):
        ShardSet([tmp_path / "everything.parquet"])
    with pytest.raises(DataError, match="No shards"):
        ShardSet([])
    with pytest.raises(DataError, match="Split has no shards"):
        ShardSet([tmp_path / "train-00000.parquet"]).rows("val")
