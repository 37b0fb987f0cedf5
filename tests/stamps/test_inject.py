"""Work units of injection: whole blocks, JSON only, the same stamps however they are cut."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.schema import MANIFEST, STAMPS
from darkhaloscope.stamps import inject
from darkhaloscope.units import run_unit


def plan(world, staging, *, unit_hosts=24, manifest_paths=None):
    return inject.plan_injection(
        world.experiment,
        dataclasses.replace(stamp_world.PROFILE, unit_hosts=unit_hosts),
        manifest_paths=manifest_paths or world.paths("manifest"),
        host_paths=world.paths("hosts"),
        bank_path=world.bank_path,
        staging=staging,
    )


def rows_of(unit):
    return pa.concat_tables([inject._read_rows(part["path"], part["ranges"]) for part in unit["manifest"]])


def test_units_are_json_and_hold_every_task_once_in_whole_blocks(world, tmp_path):
    units = plan(world, tmp_path)
    assert json.loads(json.dumps(units)) == units
    assert len(units) >= 4
    assert len({unit["output"] for unit in units}) == len(units)
    tables = [rows_of(unit) for unit in units]
    ids = [task for table in tables for task in table["task_id"].to_pylist()]
    assert sorted(ids) == sorted(world.table("manifest")["task_id"].to_pylist())
    for table in tables:
        assert table["task_id"].to_pylist()
        here = set(table["task_id"].to_pylist())
        assert set(table["twin_task_id"].drop_null().to_pylist()) <= here
        assert len(set(table["host_id"].to_pylist())) <= 24 + 8
    hosts = [set(table["host_id"].to_pylist()) for table in tables]
    # No host is cropped by two units.
    assert sum(map(len, hosts)) == len(set.union(*hosts))


def test_stamps_do_not_depend_on_how_the_manifest_is_cut(world, tmp_path):
    whole = world.table("stamps").sort_by("task_id")
    for number, unit_hosts in enumerate((8, 1000)):
        staging = tmp_path / str(number)
        units = plan(world, staging, unit_hosts=unit_hosts)
        for unit in units:
            run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
        other = tabular.read_table([unit["output"] for unit in units]).sort_by("task_id")
        assert other.equals(whole)
    assert len(units) == 1


def test_a_manifest_in_several_files_gives_the_same_stamps(world, tmp_path):
    table = world.table("manifest")
    paths = []
    for number, start in enumerate(range(0, table.num_rows, 50)):
        paths.append(tmp_path / f"manifest-{number}.parquet")
        tabular.write_table(paths[-1], MANIFEST, table.slice(start, 50))
    units = plan(world, tmp_path / "out", manifest_paths=paths)
    expected = plan(world, tmp_path / "out")
    assert [unit["unit_id"] for unit in units] == [unit["unit_id"] for unit in expected]
    for unit, other in zip(units, expected, strict=True):
        assert rows_of(unit).equals(rows_of(other))


def test_a_unit_says_what_became_of_its_tasks(world, tmp_path):
    lost = world.table("manifest")["host_id"][0].as_py()
    [unit] = plan(world, tmp_path / "out", unit_hosts=1000)
    path = stamp_world.damaged_hosts(tmp_path, stamp_world.hosts(), stamp_world.clear_band(1), {lost})
    unit["hosts"] = [{"path": str(path), "rows": list(range(stamp_world.hosts().num_rows))}]
    result = inject.inject_unit(unit)
    assert result == {
        "rows": 242,
        "sha256": sha256_file(unit["output"]),
        "statuses": {"missing_band_r": 3, "ok": 238, "twin_lost": 1},
    }
    stored = tabular.read_table(unit["output"])
    STAMPS.validate(stored)
    assert stored["image"].null_count == 4


def test_a_second_run_makes_nothing_again(world, tmp_path):
    unit = plan(world, tmp_path)[0]
    first = run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    second = run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    assert (first["resumed"], second["resumed"]) == (False, True)
    assert first["sha256"] == second["sha256"]


def test_an_empty_manifest_is_refused(world, tmp_path):
    path = tmp_path / "manifest.parquet"
    tabular.write_table(path, MANIFEST, world.table("manifest").slice(0, 0))
    with pytest.raises(DataError, match="empty"):
        plan(world, tmp_path, manifest_paths=[path])


def test_pixels_survive_the_round_trip(world):
    rows = world.table("manifest").slice(0, 5)
    made = stamp_world.stamps_of(world, rows, twins=stamp_world.of_kind(world.table("manifest"), "positive"))
    stored = world.table("stamps").filter(
        pc.is_in(world.table("stamps")["task_id"], value_set=rows["task_id"].combine_chunks())
    )
    assert np.array_equal(tabular.pixels(made, "image"), tabular.pixels(stored, "image"))
    assert tabular.pixels(stored, "image").dtype == np.float32


def test_a_unit_reads_the_region_of_its_blocks_and_no_other(world, tmp_path):
    """Blocks take hosts from all over a run of neighbours: a unit of half a run would read all of it."""
    manifest = world.table("manifest")
    split = dict(zip(manifest["host_id"].to_pylist(), manifest["split"].to_pylist(), strict=True))
    in_order = sorted(split, key=lambda host_id: (f"b{host_id.split('-')[1]}", host_id))
    units = plan(world, tmp_path, unit_hosts=stamp_world.PROFILE.unit_hosts)
    assert len(units) > 2
    for unit in units:
        hosts = set(rows_of(unit)["host_id"].to_pylist())
        for name in {split[host_id] for host_id in hosts}:
            same = [host_id for host_id in in_order if split[host_id] == name]
            places = sorted(same.index(host_id) for host_id in hosts if split[host_id] == name)
            assert places == list(range(places[0], places[0] + len(places)))


@pytest.mark.parametrize("rows_at_once", [1, 7, 10_000])
def test_a_stamp_does_not_depend_on_how_many_are_made_at_a_time(world, tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(inject, "_ROWS_AT_ONCE", rows_at_once)
    unit = plan(world, tmp_path)[1]
    inject.inject_unit(unit)
    made = tabular.read_table(unit["output"])
    stored = world.table("stamps").filter(
        pc.is_in(world.table("stamps")["task_id"], value_set=made["task_id"].combine_chunks())
    )
    assert made.sort_by("task_id").equals(stored.sort_by("task_id"))


def test_a_unit_killed_while_it_writes_leaves_nothing_and_is_made_whole_again(world, tmp_path, monkeypatch):
    monkeypatch.setattr(inject, "_ROWS_AT_ONCE", 16)
    unit = plan(world, tmp_path / "out")[0]
    inject.inject_unit({**unit, "output": str(tmp_path / "undisturbed.parquet")})
    make, calls = inject.make_stamps, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make(*args, **kwargs)

    monkeypatch.setattr(inject, "make_stamps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    assert list((tmp_path / "out").iterdir()) == []
    again = run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    assert again["sha256"] == sha256_file(tmp_path / "undisturbed.parquet")


def test_the_order_of_a_manifest_changes_no_stamp(world, tmp_path, monkeypatch):
    """Rows of one block may lie apart."""
    monkeypatch.setattr(inject, "_ROWS_AT_ONCE", 16)
    table = world.table("manifest")
    order = np.random.Generator(np.random.Philox(key=2)).permutation(table.num_rows)
    path = tmp_path / "shuffled.parquet"
    tabular.write_table(path, MANIFEST, table.take(pa.array(order)))
    units = plan(world, tmp_path, manifest_paths=[path])
    for unit in units:
        inject.inject_unit(unit)
    made = tabular.read_table([unit["output"] for unit in units])
    assert made.sort_by("task_id").equals(world.table("stamps").sort_by("task_id"))
