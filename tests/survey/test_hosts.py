import json

import numpy as np
import pyarrow as pa
import pytest
import sky_tree
from astropy.table import Table

from darkhaloscope.errors import ConfigError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.schema import HOSTS
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.hosts import UNIT_FUNCTION, cut_hosts, plan_host_units
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.units import run_unit, run_unit_json

SIZE = 41


def prepare(root):
    bricks = read_footprint(root, DR10_SOUTH)
    return select_parents(root, DR10_SOUTH, bricks["tile"][0].as_py(), bricks).table, bricks


def plan(root, staging, parents, bricks, **change):
    given = {"unit_hosts": 3, "profile_max_hosts": None, **change}
    return plan_host_units(
        parents, bricks, survey_root=root, release=DR10_SOUTH, size_px=SIZE, staging=staging, **given
    )


def reject(parents, row, reason="mask_medium"):
    reasons = parents["reject_reason"].to_pylist()
    reasons[row] = reason
    index = parents.column_names.index("reject_reason")
    return parents.set_column(index, parents.schema.field(index), pa.array(reasons))


@pytest.fixture(scope="module")
def sky(pristine_tree):
    return (pristine_tree, *prepare(pristine_tree))


def test_units_are_json_hold_whole_bricks_and_every_parent_once(sky, tmp_path):
    root, parents, bricks = sky
    units = plan(root, tmp_path, parents, bricks)
    assert json.loads(json.dumps(units, allow_nan=False)) == units
    assert [set(u["hosts"]["brickname"]) for u in units] == [{"0119p060"}, {"0120p060"}]
    (joined,) = plan(root, tmp_path, parents, bricks, unit_hosts=4)
    assert joined["hosts"]["host_id"] == [i for u in units for i in u["hosts"]["host_id"]]
    # The neighbour travels with the unit, for stamps over the edge.
    assert set(units[0]["bricks"]["brickname"]) == {"0119p060", "0120p060"}


def test_cutouts_are_rows_of_the_schema_with_pixels(sky, tmp_path):
    root, parents, bricks = sky
    results = [run_unit(UNIT_FUNCTION, u) for u in plan(root, tmp_path, parents, bricks)]
    assert [r["statuses"] for r in results] == [{"ok": 3}, {"ok": 3}]
    hosts = read_table([tmp_path / r["part"] for r in results])
    HOSTS.validate(hosts)
    assert hosts["host_id"].to_pylist() == parents["host_id"].to_pylist()
    image = pixels(hosts, "image")
    assert image.shape == (6, 3, SIZE, SIZE)
    # The galaxy is in the middle, and in every band as bright as the catalogue says.
    half = (SIZE - 1) // 2
    core = image[:, :, half - 10 : half + 11, half - 10 : half + 11].sum(axis=(2, 3))
    for k, band in enumerate(sky_tree.BANDS):
        assert core[:, k] == pytest.approx(np.full(6, sky_tree.LRG_FLUX[band]), rel=0.05)
        magnitude = 22.5 - 2.5 * np.log10(sky_tree.LRG_FLUX[band])
        assert hosts[f"host_mag_{band}"].to_pylist() == pytest.approx([magnitude] * 6, abs=1e-4)
        sky_level = 10 ** ((22.5 - sky_tree.SKY_MAG[band]) / 2.5) * 0.262**2
        assert hosts[f"sky_{band}_nmgy"].to_pylist() == pytest.approx([sky_level] * 6, rel=1e-4)


def test_seeing_is_that_of_the_position_not_of_the_catalogue(sky, tmp_path):
    root, parents, bricks = sky
    hosts = [
        read_table(tmp_path / run_unit(UNIT_FUNCTION, u)["part"])
        for u in plan(root, tmp_path, parents, bricks)
    ]
    for table in hosts:
        seeing = table["psf_fwhm_r_arcsec"].to_pylist()
        x = [round(p[0]) for p in sky_tree.pair()[0].positions]
        assert seeing == pytest.approx([sky_tree.SEEING["r"] + 0.1 * v / 420 for v in x], abs=1e-6)


def test_losses_are_rows_with_a_status_and_no_pixels(tree, tmp_path):
    parents, bricks = prepare(tree)
    sky_tree.pair()[0].file(tree, "image", "z").unlink()
    parents = reject(parents, 0)
    units = plan(tree, tmp_path / "s", parents, bricks, unit_hosts=100)
    result = run_unit(UNIT_FUNCTION, units[0])
    assert result["statuses"] == {"missing_band_z": 3, "ok": 2, "rejected_parent": 1}
    hosts = read_table(units[0]["output"])
    HOSTS.validate(hosts)
    assert hosts.num_rows == parents.num_rows
    for name in ("image", "invvar", "maskbits"):
        nulls = hosts[name].is_null().to_pylist()
        assert nulls == [status != "ok" for status in hosts["status"].to_pylist()]
    rejected = hosts.to_pylist()[hosts["status"].to_pylist().index("rejected_parent")]
    assert rejected["reject_reason"] == "mask_medium"
    assert rejected["x_offset_px"] is None


def test_a_brick_without_a_sky_level_gives_no_hosts(tree, tmp_path):
    path = tree / "south" / "survey-bricks-dr10-south.fits.gz"
    summary = Table.read(path)
    summary["cosky_r"] = np.float32(1e-4)
    summary.write(path, overwrite=True)
    units = plan(tree, tmp_path / "s", *prepare(tree), unit_hosts=100)
    assert run_unit(UNIT_FUNCTION, units[0])["statuses"] == {"no_sky_r": 6}


def test_sample_is_by_id_and_keeps_rejected_and_listed_rows(sky, tmp_path):
    root, parents, bricks = sky
    parents = reject(reject(parents, 1), 2)
    ids = parents["host_id"].to_pylist()
    units = plan(root, tmp_path, parents, bricks, profile_max_hosts=2, unit_hosts=100)
    chosen = set(units[0]["hosts"]["host_id"])
    assert {ids[1], ids[2]} < chosen
    assert len(chosen) == 4
    shuffled = parents.take(np.random.default_rng([2]).permutation(parents.num_rows))
    assert plan(root, tmp_path, shuffled, bricks, profile_max_hosts=2, unit_hosts=100) == units
    smaller = plan(root, tmp_path, parents, bricks, profile_max_hosts=1, unit_hosts=100)
    assert set(smaller[0]["hosts"]["host_id"]) < chosen  # a larger sample contains the smaller one
    listed = plan(root, tmp_path, parents, bricks, profile_max_hosts=1, unit_hosts=100, include_ids=ids)
    assert set(listed[0]["hosts"]["host_id"]) == set(ids)


def test_a_listed_parent_is_cut_although_it_is_rejected(sky, tmp_path):
    root, parents, bricks = sky
    parents = reject(parents, 1)
    listed = parents["host_id"].to_pylist()[1]
    (unit,) = plan(root, tmp_path, parents, bricks, unit_hosts=100, include_ids=[listed])
    assert cut_hosts(unit)["statuses"] == {"ok": 6}
    hosts = read_table(unit["output"])
    assert hosts.to_pylist()[hosts["host_id"].to_pylist().index(listed)]["reject_reason"] == "mask_medium"


def test_same_bytes_from_text_and_after_a_killed_run(sky, tmp_path):
    root, parents, bricks = sky
    first, second = (plan(root, tmp_path / d, parents, bricks)[0] for d in "ab")
    result = run_unit(UNIT_FUNCTION, first)
    assert json.loads(run_unit_json(UNIT_FUNCTION, json.dumps(second)))["sha256"] == result["sha256"]
    assert run_unit(UNIT_FUNCTION, first)["resumed"] is True
    (tmp_path / "a" / result["part"]).write_bytes(b"half written")
    again = run_unit(UNIT_FUNCTION, first)
    assert (again["resumed"], sha256_file(tmp_path / "a" / result["part"])) == (False, result["sha256"])


def test_undefined_values_cross_the_seam_as_null(sky, tmp_path):
    root, parents, bricks = sky
    index = parents.column_names.index("psfdepth_g_mag")
    values = parents["psfdepth_g_mag"].to_pylist()
    values[0] = float("nan")
    parents = reject(
        parents.set_column(index, parents.schema.field(index), pa.array(values)), 0, "psfdepth_g"
    )
    (unit,) = plan(root, tmp_path, parents, bricks, unit_hosts=100)
    cut_hosts(json.loads(json.dumps(unit, allow_nan=False)))
    hosts = read_table(unit["output"])
    row = hosts.to_pylist()[hosts["host_id"].to_pylist().index(parents["host_id"].to_pylist()[0])]
    assert np.isnan(row["psfdepth_g_mag"])


def test_sizes_must_be_positive(sky, tmp_path):
    root, parents, bricks = sky
    with pytest.raises(ConfigError, match="unit_hosts"):
        plan(root, tmp_path, parents, bricks, unit_hosts=0)


def test_no_parents_means_no_units(sky, tmp_path):
    root, parents, bricks = sky
    assert plan(root, tmp_path, parents.slice(0, 0), bricks) == []


def test_only_hosts_of_the_selections_asked_for_are_cut(sky, tmp_path):
    root, parents, bricks = sky
    ids = parents["host_id"].to_pylist()
    flag = parents.column_names.index("is_lrg_desi")
    marked = parents.set_column(
        flag, parents.schema.field(flag), pa.array([i % 2 == 0 for i in range(len(ids))])
    )
    units = plan(root, tmp_path, marked, bricks, selections=["lrg_desi"], unit_hosts=100)
    assert sorted(units[0]["hosts"]["host_id"]) == sorted(ids[::2])
    for wrong in (["lrg_v9_raw"], []):
        with pytest.raises(ConfigError, match="host_selections"):
            plan(root, tmp_path, parents, bricks, selections=wrong)
