"""Wrong numbers and mixed-up units, from bank, hosts and manifest to the stamps of a unit.

A row that cannot be made has a status and no pixels, and the rows beside it are
what they are without it. What makes every row wrong is an error of the user's,
and leaves no file.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow.compute as pc
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import UserError
from darkhaloscope.schema import MANIFEST
from darkhaloscope.stamps import inject, roles
from darkhaloscope.units import run_unit

PX_ARCSEC = 0.262
BAD = 1  # the row of ``positives`` that is spoilt
NULLED = ("magnification", "arc_flux_r_nmgy", "arc_snr_footprint_r", "image", "invvar", "maskbits")

BAD_VALUES = [
    ("theta_e_arcsec", 0.0, "bad_theta_e_arcsec"),
    ("theta_e_arcsec", -1.0, "bad_theta_e_arcsec"),
    ("theta_e_arcsec", float("nan"), "bad_theta_e_arcsec"),
    ("theta_e_arcsec", None, "bad_theta_e_arcsec"),
    ("theta_e_arcsec", 1300.0, "image_too_large"),  # milliarcsec
    ("psf_fwhm_r_arcsec", 0.0, "bad_psf_fwhm"),
    ("psf_fwhm_r_arcsec", float("nan"), "bad_psf_fwhm"),
    ("psf_fwhm_r_arcsec", -1.3, "bad_psf_fwhm"),
    ("psf_fwhm_r_arcsec", 1.3 / PX_ARCSEC, "bad_psf_fwhm"),  # pixels
    ("psf_fwhm_z_arcsec", 0.00036, "bad_psf_fwhm"),  # degrees
    ("lens_q", 0.0, "bad_lens_q"),
    ("lens_q", 0.1, "bad_lens_q"),
    ("lens_q", 1.5, "bad_lens_q"),  # major over minor
    ("lens_q", float("nan"), "bad_lens_q"),
    ("gamma1", 0.9, "bad_shear"),
    ("gamma2", float("inf"), "bad_shear"),
    ("lens_phi_rad", float("nan"), "bad_lens_phi_rad"),
    ("src_rotation_rad", None, "bad_src_rotation_rad"),
    ("src_flip", None, "bad_src_flip"),
    ("src_x_arcsec", float("nan"), "bad_src_x_arcsec"),
    ("src_y_arcsec", 1e6, "image_too_large"),
    ("lens_x_arcsec", 40.0, "light_off_stamp"),
    ("src_mag_r", float("nan"), "bad_src_mag"),
    ("src_mag_g", None, "bad_src_mag"),
    ("src_mag_r", -500.0, "bad_src_mag"),
    ("src_mag_z", float("inf"), "bad_src_mag"),
]


@pytest.fixture(scope="module")
def positives(rows):
    return stamp_world.of_kind(rows, "positive").slice(0, 4)


@pytest.fixture(scope="module")
def clean(world, positives):
    return stamp_world.stamps_of(world, positives)


def spoilt(table, column, value, row=BAD):
    values = table[column].to_pylist()
    values[row] = value
    return stamp_world.replace(table, **{column: values})


def assert_only_the_bad_row_is_lost(found, clean, bad=BAD):
    status = found["status"].to_pylist()
    assert status[bad] != "ok"
    assert [s for i, s in enumerate(status) if i != bad] == ["ok"] * (len(status) - 1)
    for name in NULLED:
        assert not found[name][bad].is_valid, name
    for row in range(len(status)):
        if row != bad:
            assert found.slice(row, 1).equals(clean.slice(row, 1))


@pytest.mark.parametrize(("column", "value", "status"), BAD_VALUES)
def test_one_bad_value_costs_one_row(world, positives, clean, column, value, status):
    found = stamp_world.stamps_of(world, spoilt(positives, column, value))
    assert found["task_id"].equals(positives["task_id"])
    assert found["status"][BAD].as_py() == status
    assert_only_the_bad_row_is_lost(found, clean)


@pytest.mark.parametrize("theta_e_arcsec", [9.0, 10.0, 12.0])
def test_an_arc_larger_than_the_stamp_is_no_lens_image(world, positives, clean, theta_e_arcsec):
    """On a stamp of 8.4 arcsec half side, less than half of the light is left."""
    found = stamp_world.stamps_of(world, spoilt(positives, "theta_e_arcsec", theta_e_arcsec))
    assert_only_the_bad_row_is_lost(found, clean)
    assert found["status"][BAD].as_py() == "light_off_stamp"


def test_matched_light_of_a_bad_twin_is_lost_with_it(world, rows):
    """And neither takes its host's control with it."""
    light = stamp_world.of_kind(rows, "matched_light").slice(0, 1)
    mine = pc.or_(
        pc.equal(rows["task_id"], light["twin_task_id"][0]), pc.equal(rows["host_id"], light["host_id"][0])
    )
    block = rows.filter(mine)
    kinds, ids = block["control_kind"].to_pylist(), block["task_id"].to_pylist()
    twin = ids.index(light["twin_task_id"][0].as_py())
    twins = stamp_world.of_kind(rows, "positive")
    found = stamp_world.stamps_of(world, spoilt(block, "theta_e_arcsec", -1.0, twin), twins=twins)
    status = dict(zip(ids, found["status"].to_pylist(), strict=True))
    assert status.pop(ids[twin]) != "ok"
    assert status.pop(light["task_id"][0].as_py()) == "twin_lost"
    assert set(status.values()) == {"ok"}
    assert "paired" in kinds


# ---- the bank


def damaged_bank(world, folder, change, source_id=None):
    """A copy of the bank; ``change`` gets the templates' row of a source, or the metadata."""
    path = folder / "bank.h5"
    shutil.copy(world.bank_path, path)
    with h5py.File(path, "r+") as file:
        if source_id is None:
            metadata = json.loads(file.attrs["metadata"])
            change(metadata)
            file.attrs["metadata"] = np.bytes_(json.dumps(metadata))
        else:
            row = [name.decode() for name in file["columns/source_id"][:]].index(source_id)
            template = file["templates"][row]
            change(template)
            file["templates"][row] = template
    return dataclasses.replace(world, bank_path=path)


def nan_pixel(template):
    template[48, 48] = np.nan


def infinities_that_cancel(template):
    template[3, 3], template[3, 4] = np.inf, -np.inf


def empty(template):
    template[:] = 0.0


def surface_brightness(template):
    template /= 0.03**2


def counts(template):
    template *= 35.0


def of_a_negative(template):
    template *= -1.0


@pytest.mark.parametrize(
    "change", [nan_pixel, infinities_that_cancel, empty, surface_brightness, counts, of_a_negative]
)
def test_one_bad_template_costs_the_rows_of_its_source(world, positives, clean, tmp_path, change):
    source = positives["source_id"][BAD].as_py()
    assert positives["source_id"].to_pylist().count(source) == 1
    found = stamp_world.stamps_of(damaged_bank(world, tmp_path, change, source), positives)
    assert_only_the_bad_row_is_lost(found, clean)


@pytest.mark.parametrize("scale", [PX_ARCSEC, 0.0, -0.03, float("nan"), 0.03 / 3600, None])
def test_bank_of_another_scale_is_an_error_and_leaves_nothing(world, tmp_path, scale):
    def change(metadata):
        if scale is None:
            del metadata["pixel_scale_arcsec"]
        else:
            metadata["pixel_scale_arcsec"] = scale

    bad = damaged_bank(world, tmp_path, change)
    [unit, *_] = units_of(bad, tmp_path / "staging")
    with pytest.raises(UserError, match="pixel_scale_arcsec"):
        run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    assert files_in(tmp_path / "staging") == []


# ---- hosts


@pytest.mark.parametrize(
    ("band", "value", "reason"),
    [
        ("g", 0.0, "seeing_out_of_range"),
        ("r", -1.3, "seeing_out_of_range"),
        ("z", 1.3 / PX_ARCSEC, "seeing_out_of_range"),
        ("r", 1.3 / 3600, "seeing_out_of_range"),
        ("g", float("nan"), "missing_condition"),
        ("z", None, "missing_condition"),
    ],
)
def test_host_of_impossible_seeing_gets_no_task(world, rows, band, value, reason):
    used = set(rows["host_id"].to_pylist())
    hosts = stamp_world.hosts()
    at = next(i for i, name in enumerate(hosts["host_id"].to_pylist()) if name in used)
    spoilt_hosts = spoilt(hosts, f"psf_fwhm_{band}_arcsec", value, at)
    chosen = stamp_world.experiment()
    use = roles.classify_hosts(
        chosen,
        stamp_world.PROFILE,
        hosts=stamp_world.metadata(spoilt_hosts),
        splits=stamp_world.split_map(),
        anchors=None,
    )
    assert use.reason[at] == reason
    manifest = stamp_world.manifest_of(chosen, world.bank_path, host_table=spoilt_hosts)
    assert hosts["host_id"][at].as_py() not in manifest["host_id"].to_pylist()


# ---- the unit


def units_of(world, staging, manifest_path=None):
    staging.mkdir(exist_ok=True)
    return inject.plan_injection(
        world.experiment,
        stamp_world.PROFILE,
        manifest_paths=world.paths("manifest") if manifest_path is None else [manifest_path],
        host_paths=world.paths("hosts"),
        bank_path=world.bank_path,
        staging=staging,
    )


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_unit_with_bad_rows_delivers_the_others(world, rows, tmp_path):
    """Every task has its row; all that is neither bad nor the light of a bad twin is as without them."""
    lit = [i for i, kind in enumerate(rows["control_kind"].to_pylist()) if kind == "positive"]
    table = spoilt(rows, "theta_e_arcsec", -1.0, lit[0])
    table = spoilt(table, "psf_fwhm_r_arcsec", float("nan"), lit[1])
    table = spoilt(table, "src_mag_g", None, lit[2])
    path = tmp_path / "manifest.parquet"
    tabular.write_table(path, MANIFEST, table)
    units = units_of(world, tmp_path / "staging", path)
    results = [run_unit("darkhaloscope.stamps.inject:inject_unit", unit) for unit in units]
    assert sum(result["rows"] for result in results) == rows.num_rows
    assert sum(sum(result["statuses"].values()) for result in results) == rows.num_rows
    found = tabular.read_table([unit["output"] for unit in units])
    assert sorted(found["task_id"].to_pylist()) == sorted(rows["task_id"].to_pylist())
    status = dict(zip(found["task_id"].to_pylist(), found["status"].to_pylist(), strict=True))
    bad = {rows["task_id"][i].as_py() for i in lit[:3]}
    orphans = {
        row["task_id"]
        for row in rows.select(["task_id", "twin_task_id"]).to_pylist()
        if row["twin_task_id"] in bad
    }
    assert {task for task, value in status.items() if value != "ok"} == bad | orphans
    assert {status[task] for task in orphans} == {"twin_lost"}

    before = world.table("stamps")
    order = pc.index_in(found["task_id"], value_set=before["task_id"].combine_chunks())
    good = pc.equal(found["status"], "ok")
    kept, expected = found.filter(good), before.take(order).filter(good)
    for name in kept.column_names:
        assert kept[name].combine_chunks().equals(expected[name].combine_chunks()), name


def test_a_source_that_no_bank_holds_names_itself_and_leaves_nothing(world, rows, tmp_path):
    """Manifest and bank do not belong together: no row of it can be trusted."""
    lit = rows["control_kind"].to_pylist().index("positive")
    path = tmp_path / "manifest.parquet"
    tabular.write_table(path, MANIFEST, spoilt(rows, "source_id", "cosmos-0", lit))
    [unit, *_] = units_of(world, tmp_path / "staging", path)
    with pytest.raises(UserError, match="cosmos-0"):
        run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    assert files_in(tmp_path / "staging") == []


def test_a_truncated_host_file_is_an_error_and_leaves_nothing(world, tmp_path):
    [unit, *_] = units_of(world, tmp_path / "staging")
    path = tmp_path / "hosts.parquet"
    path.write_bytes(Path(unit["hosts"][0]["path"]).read_bytes()[:-1000])
    unit["hosts"][0]["path"] = str(path)
    with pytest.raises(UserError, match=r"hosts\.parquet"):
        run_unit("darkhaloscope.stamps.inject:inject_unit", unit)
    assert files_in(tmp_path / "staging") == []
