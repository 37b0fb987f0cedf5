"""Rows made again are the stored rows, bit for bit."""

import pytest
import stamp_world

from darkhaloscope.errors import DataError
from darkhaloscope.stamps.agreement import Verdict, compare_rows
from darkhaloscope.stamps.rerender import find_stored_row, render_row, render_rows
from darkhaloscope.stamps.shards import ShardSet


def again(world, ids, function=render_rows):
    return function(
        ids,
        experiment=world.experiment,
        profile=stamp_world.PROFILE,
        manifest_paths=world.paths("manifest"),
        host_paths=world.paths("hosts"),
        bank_path=world.bank_path,
    )


def identical(stored, made):
    return all(row.verdict is Verdict.IDENTICAL for row in compare_rows(stored, made))


def test_a_sample_of_every_class_is_made_again(world):
    stored = ShardSet(world.paths("shards")).sample(6, seed=1)
    assert set(stored["control_kind"].to_pylist()) == {"positive", "paired", "unpaired", "matched_light"}
    assert identical(stored, again(world, stored["task_id"].to_pylist()))


@pytest.mark.parametrize("kind", ["positive", "matched_light", "unpaired"])
def test_one_row_alone_is_the_row_of_its_batch(world, kind):
    stored = stamp_world.of_kind(world.table("stamps"), kind).slice(7, 1)
    rendered = again(world, stored["task_id"][0].as_py(), render_row)
    assert identical(stored, rendered)


def test_a_stored_row_is_found_in_whichever_experiment_has_it(world):
    wanted = world.table("stamps", ["task_id"])["task_id"][5].as_py()
    found = find_stored_row(world.store, wanted, ["absent", world.experiment.name])
    assert found["task_id"].to_pylist() == [wanted]
    with pytest.raises(DataError, match=r"No stored stamp.*row feed.*1 tiles of unit searched"):
        find_stored_row(world.store, "feed", [world.experiment.name])


def test_an_unknown_task_is_an_error(world):
    with pytest.raises(DataError, match=r"not in the manifest.*abcd"):
        again(world, ["abcd"])
