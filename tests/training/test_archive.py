"""Straight from the shards: every row once, another order each epoch, divided and resumable."""

import numpy as np
import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import ConfigError
from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.training import archive
from darkhaloscope.training.archive import ArchiveLoader


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return synthetic.write_shards(tmp_path_factory.mktemp("archive"), train=192, val=8)[:2]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """Row groups of these small files as if they were many."""
    monkeypatch.setattr(archive, "ROW_GROUP_ROWS", 16)


def loader(shards, **changes):
    given = {"columns": ["task_id"], "batch_size": 10, "seed": 1, "groups_at_once": 3, **changes}
    return ArchiveLoader(shards, **given)


def tasks(batches):
    return [task for batch in batches for task in batch.rows["task_id"].to_pylist()]


def test_every_row_comes_once_with_its_own_pixels(shards):
    table = read_table(shards, ["task_id", "image"])
    images = dict(zip(table["task_id"].to_pylist(), pixels(table, "image"), strict=True))
    seen = []
    for batch in loader(shards).epoch(1):
        for task, image in zip(batch.rows["task_id"].to_pylist(), batch.images, strict=True):
            np.testing.assert_array_equal(image, images[task])
            seen.append(task)
    assert sorted(seen) == sorted(images)
    assert seen != list(images)


def test_epochs_and_seeds_differ_and_come_back(shards):
    first = tasks(loader(shards).epoch(1))
    assert first == tasks(loader(shards).epoch(1))
    assert first != tasks(loader(shards).epoch(2))
    assert first != tasks(loader(shards, seed=2).epoch(1))


def test_parts_divide_the_rows(shards):
    parts = [tasks(loader(shards, part=k, parts=3).epoch(4)) for k in range(3)]
    assert all(parts)
    assert sorted(task for part in parts for task in part) == sorted(tasks(loader(shards).epoch(4)))
    with pytest.raises(ConfigError, match="0 <= part < 3"):
        loader(shards, part=3, parts=3)


@pytest.mark.parametrize("start", [0, 1, 5, 11, 19])
def test_an_epoch_is_taken_up_in_the_middle(shards, start):
    whole = list(loader(shards).epoch(3))
    rest = list(loader(shards).epoch(3, start_batch=start))
    assert tasks(rest) == tasks(whole[start:])


def test_rows_of_a_block_are_mixed(shards):
    """Neighbours in the file do not stay neighbours."""
    order = tasks(loader(shards, groups_at_once=12).epoch(1))
    where = {task: i for i, task in enumerate(read_table(shards, ["task_id"])["task_id"].to_pylist())}
    steps = np.abs(np.diff([where[task] for task in order]))
    assert np.median(steps) > len(order) / 8
