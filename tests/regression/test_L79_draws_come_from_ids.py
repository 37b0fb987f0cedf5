"""L79: the configuration of a row was chosen by its row number."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import stamp_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_rows_do_not_depend_on_the_order_of_the_hosts(world):
    order = np.random.default_rng(1).permutation(stamp_world.hosts().num_rows)
    shuffled = stamp_world.hosts().take(pa.array(order))
    made = stamp_world.manifest_of(world.experiment, world.bank_path, host_table=shuffled)
    assert made.equals(world.table("manifest"))


def test_rows_of_one_split_do_not_depend_on_the_hosts_of_another(world):
    hosts = stamp_world.hosts()
    rows = world.table("manifest")
    val = set(rows.filter(pc.equal(rows["split"], "val"))["host_id"].to_pylist())
    keep = [i for i, host in enumerate(hosts["host_id"].to_pylist()) if host not in val]
    made = stamp_world.manifest_of(world.experiment, world.bank_path, host_table=hosts.take(pa.array(keep)))
    assert made.equals(rows.filter(pc.not_equal(rows["split"], "val")))


def test_a_task_draws_the_same_whoever_its_neighbours_are(world):
    hosts, rows = stamp_world.hosts(), world.table("manifest")
    names = ["task_id", "theta_e_arcsec", "lens_q", "gamma1", "src_x_arcsec", "src_rotation_rad", "src_flip"]
    made = stamp_world.manifest_of(world.experiment, world.bank_path, host_table=hosts.slice(0, 40))
    before = {row["task_id"]: row for row in rows.select(names).to_pylist()}
    positives = stamp_world.of_kind(made, "positive").select(names).to_pylist()
    shared = [row for row in positives if row["task_id"] in before]
    assert len(shared) > 15
    assert all(row == before[row["task_id"]] for row in shared)
