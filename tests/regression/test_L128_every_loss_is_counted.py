"""L128: the loader dropped rows without a count and hid that most positives were gone."""

import pytest
import stamp_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_losses_are_counted_by_class_and_reason_and_add_up(world, tmp_path):
    hosts = stamp_world.hosts()
    ids = hosts["host_id"].to_pylist()
    (tmp_path / "hosts").mkdir()
    chosen = stamp_world.experiment(snr_targeting={"mode": "floor", "low": 8.0, "high": 1000.0})
    damaged = stamp_world.damaged_hosts(
        tmp_path / "hosts", hosts, stamp_world.clear_band(2), {ids[0], ids[30]}
    )
    made = stamp_world.build(
        tmp_path, chosen, world.bank_path, host_table=stamp_world.tabular.read_table(damaged)
    )
    outcomes, planned = made.summary["outcomes"], made.summary["planned"]
    for kind in ("positive", "paired", "matched_light", "unpaired"):
        of_kind = sum(split[kind] for split in planned.values())
        assert sum(outcomes[kind].values()) == of_kind
        assert outcomes[kind]["kept"] == sum(split[kind] for split in made.summary["rows"].values())
    lost = sum(counts.get("missing_band_z", 0) for counts in outcomes.values())
    rows = world.table("manifest")["host_id"].to_pylist()
    assert lost == rows.count(ids[0]) + rows.count(ids[30]) > 0
    assert outcomes["positive"]["snr_low"] > 0
