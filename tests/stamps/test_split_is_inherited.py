"""What is made from a galaxy is in the split of its cell: pairs, the light of twins, hard negatives."""

import pytest
import stamp_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.fixture(scope="module")
def tasks(world):
    return world.table("manifest")


def test_every_kind_of_row_has_the_split_of_its_hosts_position(world, tasks):
    hosts = world.table("hosts", ["host_id", "ra", "dec"])
    split = stamp_world.split_map().of(hosts["ra"].to_numpy(), hosts["dec"].to_numpy())
    of_host = dict(zip(hosts["host_id"].to_pylist(), split.tolist(), strict=True))
    kinds = {}
    for row in tasks.select(["host_id", "split", "control_kind"]).to_pylist():
        assert row["split"] == of_host[row["host_id"]], row
        kinds.setdefault(row["control_kind"], set()).add(row["split"])
    assert {"paired", "unpaired", "matched_light"} <= set(kinds)


def test_a_twins_light_stays_in_the_twins_split(tasks):
    of_task = dict(zip(tasks["task_id"].to_pylist(), tasks["split"].to_pylist(), strict=True))
    lit = [row for row in tasks.to_pylist() if row["control_kind"] == "matched_light"]
    assert lit
    for row in lit:
        assert of_task[row["twin_task_id"]] == row["split"]


def test_hard_negatives_are_in_the_split_of_their_own_cell_and_never_in_test(world):
    hosts = world.table("hosts", stamp_world.METADATA)
    rows = [0, 20, 50]
    ra, dec = (hosts[name].to_numpy()[rows] for name in ("ra", "dec"))
    experiment = stamp_world.experiment(controls={"hard_negatives": True})
    anchors = stamp_world.anchors_at(ra, dec, ["hard_negative"] * len(rows))
    from darkhaloscope.stamps.roles import HARD_NEGATIVE, classify_hosts

    use = classify_hosts(
        experiment, stamp_world.PROFILE, hosts=hosts, splits=stamp_world.split_map(), anchors=anchors
    )
    own = stamp_world.split_map().of(hosts["ra"].to_numpy(), hosts["dec"].to_numpy())
    assert use.split.tolist() == own.tolist()
    taken = [use.split[row] for row in range(hosts.num_rows) if use.reason[row] == HARD_NEGATIVE]
    assert taken
    assert "test" not in taken
