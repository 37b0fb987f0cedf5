"""Which hosts are used, and what for."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope.config import load_experiments
from darkhaloscope.errors import ConfigError, DataError
from darkhaloscope.stamps import roles
from darkhaloscope.stamps.kinds import HARD_NEGATIVE

PROJECT = Path(__file__).resolve().parents[2]


def classify(table, chosen=None, *, guard_deg=0.0, anchors=None, profile=stamp_world.PROFILE):
    return roles.classify_hosts(
        chosen or stamp_world.experiment(),
        profile,
        hosts=stamp_world.metadata(table),
        splits=stamp_world.split_map(guard_deg),
        anchors=anchors,
    )


def test_class_shares_of_the_shipped_experiments():
    shares = {
        name: roles.class_shares(found.controls)
        for name, found in load_experiments(PROJECT / "experiments").items()
    }
    assert shares["gen5-cosmos"] == {"positive": 0.5, "paired": 0.0, "unpaired": 0.5, "matched_light": 0.0}
    assert shares["gen5-prime"]["positive"] == shares["gen5-prime"]["paired"] == 0.5
    assert shares["gen6"] == pytest.approx(
        {"positive": 0.3, "paired": 0.3, "unpaired": 0.1, "matched_light": 0.3}
    )


@pytest.mark.parametrize(
    "controls",
    [
        {"unpaired_fraction": 1.0},
        {"unpaired_fraction": 0.0, "paired": False, "matched_light": False, "hard_negatives": True},
    ],
)
def test_controls_that_leave_one_class_are_refused(controls):
    with pytest.raises(ConfigError, match="one class"):
        roles.class_shares(stamp_world.experiment(controls=controls).controls)


def test_every_rule_names_itself():
    table = stamp_world.hosts()
    columns = {
        name: table[name].to_pylist()
        for name in (
            "status",
            "host_mag_g",
            "bad_pixel_frac_z",
            "psf_fwhm_r_arcsec",
            "is_lrg_v3_raw",
            "reject_reason",
        )
    }
    columns["status"][0] = "missing_band_z"
    columns["host_mag_g"][1] = None
    columns["bad_pixel_frac_z"][2] = 0.21
    columns["psf_fwhm_r_arcsec"][3] = 2.6
    columns["is_lrg_v3_raw"][4] = False
    columns["reject_reason"][5] = "MEDIUM"
    changed = stamp_world.replace(table, **columns)
    use = classify(changed)
    assert use.reason[:6].tolist() == [
        "missing_band_z",
        "missing_condition",
        "bad_pixels",
        "seeing_out_of_range",
        "not_selected",
        "MEDIUM",
    ]
    assert set(use.reason[6:]) == {roles.USED}
    assert use.counts()[roles.USED] == table.num_rows - 6


def test_guard_hosts_are_not_used():
    use = classify(stamp_world.hosts(), guard_deg=1.0)
    assert "guard" in use.counts()
    assert set(use.split[use.reason == roles.USED]) <= {"train", "val", "test"}
    assert (use.reason[use.split == "guard"] == "guard").all()


def test_limit_takes_hosts_by_id_and_not_by_row():
    table = stamp_world.hosts()
    profile = dataclasses.replace(stamp_world.PROFILE, max_hosts_per_tile=30)
    use = classify(table, profile=profile)
    assert use.counts() == {roles.USED: 30, "over_limit": table.num_rows - 30}
    kept = set(np.asarray(table["host_id"].to_pylist())[use.reason == roles.USED])
    order = np.random.default_rng(0).permutation(table.num_rows)
    again = classify(table.take(pa.array(order)), profile=profile)
    assert set(np.asarray(table["host_id"].to_pylist())[order][again.reason == roles.USED]) == kept
    assert kept != set(table["host_id"].to_pylist()[:30])


def test_hosts_near_an_anchor_are_not_used_whatever_the_anchor_is_for():
    table = stamp_world.hosts()
    near, far = stamp_world.of_host(table, 0, 10.5), stamp_world.of_host(table, 10, 11.5)
    anchors = stamp_world.anchors_at([near[0], far[0]], [near[1], far[1]], ["exclude", "grade"])
    use = classify(table, anchors=anchors)
    assert use.reason[0] == "near_anchor"
    assert use.reason[10] == roles.USED


def test_look_alikes_become_hard_negatives_in_train_and_val_only():
    table = stamp_world.hosts()
    per_cell = stamp_world.HOSTS_PER_CELL
    train, other, test = 0, per_cell, 14 * per_cell
    places = [
        stamp_world.of_host(table, train, 1.0),
        stamp_world.of_host(table, other, 2.0),
        stamp_world.of_host(table, test, 0.5),
    ]
    anchors = stamp_world.anchors_at(*zip(*places, strict=True), ["hard_negative"] * 3)
    asked = stamp_world.experiment(controls={"hard_negatives": True})
    use = classify(table, asked, anchors=anchors)
    assert use.reason[[train, other, test]].tolist() == [HARD_NEGATIVE, "near_anchor", "near_anchor"]
    assert use.counts()[HARD_NEGATIVE] == 1
    assert HARD_NEGATIVE not in classify(table, anchors=anchors).counts()


def test_a_look_alike_beside_a_lens_is_no_hard_negative():
    table = stamp_world.hosts()
    places = [stamp_world.of_host(table, 0, 0.5), stamp_world.of_host(table, 0, 5.0)]
    anchors = stamp_world.anchors_at(*zip(*places, strict=True), ["hard_negative", "grade"])
    asked = stamp_world.experiment(controls={"hard_negatives": True})
    assert classify(table, asked, anchors=anchors).reason[0] == "near_anchor"


def test_a_hard_negative_needs_no_lrg_colours_but_usable_pixels():
    table = stamp_world.hosts()
    selected = table["is_lrg_v3_raw"].to_pylist()
    selected[0] = selected[6] = False
    status = table["status"].to_pylist()
    status[6] = "off_edge"
    table = stamp_world.replace(table, is_lrg_v3_raw=selected, status=status)
    places = [stamp_world.of_host(table, 0), stamp_world.of_host(table, 6)]
    anchors = stamp_world.anchors_at(*zip(*places, strict=True), ["hard_negative"] * 2)
    use = classify(table, stamp_world.experiment(controls={"hard_negatives": True}), anchors=anchors)
    assert use.reason[[0, 6]].tolist() == [HARD_NEGATIVE, "off_edge"]


def test_a_galaxy_given_twice_is_refused():
    table = pa.concat_tables([stamp_world.hosts(), stamp_world.hosts().slice(3, 1)])
    with pytest.raises(DataError, match="10000-672-3"):
        classify(table)


@pytest.mark.parametrize("unpaired", [0.0, 0.25, 0.3, 0.5, 0.75])
@pytest.mark.parametrize("matched_light", [True, False])
def test_blocks_hold_every_host_once_in_the_asked_shares(unpaired, matched_light):
    table = stamp_world.hosts()
    chosen = stamp_world.experiment(controls={"unpaired_fraction": unpaired, "matched_light": matched_light})
    blocks, left_over = roles.assign_blocks(
        chosen, stamp_world.PROFILE, hosts=stamp_world.metadata(table), use=classify(table, chosen)
    )
    lens = [host for block in blocks for host in block.lens_hosts]
    controls = [host for block in blocks for host, _ in block.unpaired]
    assert not left_over
    assert sorted(lens + controls) == list(range(table.num_rows))
    for split, n in {"train": 60, "val": 18, "test": 18}.items():
        found = sum(len(block.unpaired) for block in blocks if block.split == split)
        assert abs(found - unpaired * n) <= 1.0
    for block in blocks:
        assert len(block.lens_hosts) >= (2 if matched_light else 1)
        assert all(mate in block.lens_hosts for _, mate in block.unpaired)


def test_a_block_is_of_one_split_and_of_similar_galaxies():
    table = stamp_world.hosts()
    chosen = stamp_world.experiment()
    use = classify(table, chosen)
    blocks, _ = roles.assign_blocks(chosen, stamp_world.PROFILE, hosts=stamp_world.metadata(table), use=use)
    mag = table["host_mag_r"].to_numpy()
    spreads = []
    for block in blocks:
        members = [*block.lens_hosts, *[host for host, _ in block.unpaired]]
        assert set(use.split[members]) == {block.split}
        spreads.append(np.ptp(mag[members]))
    # Four neighbours of about twenty hosts that spread over 2 mag.
    assert np.median(spreads) < 0.5


def test_too_few_hosts_of_a_split_are_left_over():
    table = stamp_world.hosts()
    chosen = stamp_world.experiment()
    keep = np.r_[0:8, 60, 61]
    small = table.take(pa.array(keep))
    blocks, left_over = roles.assign_blocks(
        chosen, stamp_world.PROFILE, hosts=stamp_world.metadata(small), use=classify(small, chosen)
    )
    assert {block.split for block in blocks} == {"train"}
    assert left_over == [8, 9]
