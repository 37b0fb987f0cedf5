"""The manifest: everything is drawn, balanced and joined before a pixel is read."""

from collections import Counter

import numpy as np
import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope.errors import DataError
from darkhaloscope.schema import MANIFEST, Role
from darkhaloscope.sources import open_sources
from darkhaloscope.stamps.manifest import build_manifest
from darkhaloscope.survey.tiles import cell_ids

TRUTH = set(MANIFEST.names(Role.TRUTH))
LENS_TRUTH = {
    "theta_e_arcsec", "lens_q", "lens_phi_rad", "lens_x_arcsec", "lens_y_arcsec", "gamma1", "gamma2",
    "src_x_arcsec", "src_y_arcsec", "src_rotation_rad", "src_flip",
    "src_mag_g", "src_mag_r", "src_mag_z", "z_source",
}  # fmt: skip
LIGHT_TRUTH = {"src_rotation_rad", "src_flip", "z_source", "light_quantile", "light_azimuth_rad"}


@pytest.fixture(scope="module")
def rows(world):
    return world.table("manifest").to_pylist()


def test_every_lens_host_is_positive_once_paired_once_and_carries_light_once(rows):
    roles = {}
    for row in rows:
        roles.setdefault(row["host_id"], []).append(row["control_kind"])
    assert Counter(tuple(sorted(kinds)) for kinds in roles.values()) == {
        ("matched_light", "paired", "positive"): 73,
        ("unpaired",): 23,
    }


def test_identities_join(rows):
    by_id = {row["task_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    for row in rows:
        assert row["is_control"] == (row["control_kind"] != "positive")
        if row["control_kind"] != "matched_light":
            assert row["twin_task_id"] is None
            continue
        twin = by_id[row["twin_task_id"]]
        assert twin["control_kind"] == "positive"
        assert (twin["pair_id"], twin["source_id"], twin["split"]) == (
            row["pair_id"],
            row["source_id"],
            row["split"],
        )
        assert twin["host_id"] != row["host_id"]
    twins = [row["twin_task_id"] for row in rows if row["twin_task_id"]]
    assert len(set(twins)) == len(twins)
    positives = {row["pair_id"]: row for row in rows if row["control_kind"] == "positive"}
    for row in rows:
        mate = positives[row["pair_id"]]
        assert mate["split"] == row["split"]
        assert (mate["host_id"] == row["host_id"]) == (row["control_kind"] in {"positive", "paired"})


def test_only_what_is_applied_is_not_null(rows):
    expected = {"positive": LENS_TRUTH, "matched_light": LIGHT_TRUTH, "paired": set(), "unpaired": set()}
    for row in rows:
        assert {name for name in TRUTH if row[name] is not None} == expected[row["control_kind"]]
        assert (row["source_id"] is not None) == (row["control_kind"] in {"positive", "matched_light"})


def test_sources_are_of_the_split_of_their_host(world, rows):
    with open_sources("cosmos", world.bank_path) as sources:
        split = dict(zip(sources.ids.tolist(), sources.split.tolist(), strict=True))
    used = {row["source_id"] for row in rows if row["source_id"]}
    assert len(used) > 20
    assert all(split[row["source_id"]] == row["split"] for row in rows if row["source_id"])


def test_sky_and_conditions_are_those_of_the_host(rows):
    hosts = {row["host_id"]: row for row in stamp_world.metadata(stamp_world.hosts()).to_pylist()}
    for row in rows:
        host = hosts[row["host_id"]]
        assert all(row[name] == host[name] for name in ["ra", "dec", *MANIFEST.names(Role.CONDITION)])
        assert row["healpix"] == cell_ids(row["ra"], row["dec"], 32)[0]
        assert row["split"] == stamp_world.CELLS[row["healpix"]]
        assert (row["tile"], row["experiment"]) == (stamp_world.TILE, "unit")


def test_host_tied_magnitudes_follow_the_host_and_population_ones_do_not(world):
    def slope(sources):
        rows = stamp_world.manifest_of(stamp_world.experiment(sources=sources), world.bank_path)
        rows = stamp_world.of_kind(rows, "positive")
        return np.polyfit(rows["host_mag_r"].to_numpy(), rows["src_mag_r"].to_numpy(), 1)[0]

    assert slope({"magnitude": "host_tied", "host_dmag": [1.0]}) == pytest.approx(1.0)
    assert abs(slope({"magnitude": "population"})) < 0.7


def test_magnitude_and_size_are_of_one_galaxy(world):
    flat = {"dimming_mag": (0.0, 0.0), "colours": "single", "g_r": (0.3, 0.0), "r_z": (0.0, 0.0)}
    rows = stamp_world.manifest_of(stamp_world.experiment(sources=flat), world.bank_path)
    with open_sources("cosmos", world.bank_path) as sources:
        magnitude = dict(zip(sources.ids.tolist(), sources.mag_f814w.tolist(), strict=True))
        redshift = dict(zip(sources.ids.tolist(), sources.z_phot.tolist(), strict=True))
    for row in stamp_world.of_kind(rows, "positive").to_pylist():
        assert row["src_mag_r"] == pytest.approx(magnitude[row["source_id"]], abs=1e-9)
        assert row["z_source"] == redshift[row["source_id"]]


def test_hard_negatives_are_rows_of_their_own(world):
    table = stamp_world.hosts()
    places = [stamp_world.of_host(table, 0), stamp_world.of_host(table, 14 * stamp_world.HOSTS_PER_CELL)]
    anchors = stamp_world.anchors_at(*zip(*places, strict=True), ["hard_negative"] * 2)
    chosen = stamp_world.experiment(controls={"hard_negatives": True})
    rows = stamp_world.manifest_of(chosen, world.bank_path, anchors=anchors).to_pylist()
    found = [row for row in rows if row["control_kind"] == "hard_negative"]
    assert [row["host_id"] for row in found] == ["10000-672-0"]
    assert found[0]["is_control"]
    assert found[0]["split"] == "train"
    assert sum(row["host_id"] == "10000-672-0" for row in rows) == 1
    assert sum(row["pair_id"] == found[0]["pair_id"] for row in rows) == 1


def test_no_usable_host_is_an_error_with_the_counts(world):
    table = stamp_world.hosts()
    none = stamp_world.replace(table, is_lrg_v3_raw=[False] * table.num_rows)
    with pytest.raises(DataError, match=r"042.*'not_selected': 96"):
        stamp_world.manifest_of(stamp_world.experiment(), world.bank_path, host_table=none)


def test_a_split_without_sources_is_an_error(world):
    class NoTest:
        def __init__(self, bank):
            self.ids, self.mag_f814w, self.z_phot = bank.ids, bank.mag_f814w, bank.z_phot
            self.split = np.where(bank.split == "test", "train", bank.split)

    with open_sources("cosmos", world.bank_path) as bank, pytest.raises(DataError, match="in test"):
        build_manifest(
            stamp_world.experiment(),
            stamp_world.PROFILE,
            hosts=stamp_world.metadata(stamp_world.hosts()),
            splits=stamp_world.split_map(),
            sources=NoTest(bank),
            anchors=None,
            tile=stamp_world.TILE,
        )


def test_another_seed_draws_another_manifest(world):
    chosen = stamp_world.experiment().model_copy(update={"seed": 4})
    other = stamp_world.manifest_of(chosen, world.bank_path)
    same = world.table("manifest")
    assert not set(other["task_id"].to_pylist()) & set(same["task_id"].to_pylist())
    assert not set(other["theta_e_arcsec"].drop_null().to_pylist()) & set(
        same["theta_e_arcsec"].drop_null().to_pylist()
    )


def test_unknown_redshift_is_null_and_not_nan(world):
    table = world.table("manifest")
    assert pc.sum(pc.is_nan(table["z_source"].drop_null())).as_py() == 0
