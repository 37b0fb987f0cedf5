"""Rows made again are the stored rows, bit for bit."""

import pytest
import stamp_world

from darkhaloscope.errors import DataError
from darkhaloscope.stamps.rerender import differences, render_row, render_rows
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


def test_a_sample_of_every_class_is_made_again(world):
    stored = ShardSet(world.paths("shards")).sample(6, seed=1)
    assert set(stored["control_kind"].to_pylist()) == {"positive", "paired", "unpaired", "matched_light"}
    assert differences(stored, again(world, stored["task_id"].to_pylist())) == {}


@pytest.mark.parametrize("kind", ["positive", "matched_light", "unpaired"])
def test_one_row_alone_is_the_row_of_its_batch(world, kind):
    stored = stamp_world.of_kind(world.table("stamps"), kind).slice(7, 1)
    rendered = again(world, stored["task_id"][0].as_py(), render_row)
    assert differences(stored, rendered) == {}


def test_differences_name_task_and_column(world):
    stored = world.table("stamps").slice(0, 3)
    values = stored["arc_flux_r_nmgy"].to_pylist()
    values[0] *= 1.0 + 1e-15
    changed = stamp_world.replace(stored, arc_flux_r_nmgy=values)
    assert differences(stored, changed) == {stored["task_id"][0].as_py(): ["arc_flux_r_nmgy"]}


def test_an_unknown_task_is_an_error(world):
    with pytest.raises(DataError, match=r"not in the manifest.*abcd"):
        again(world, ["abcd"])
