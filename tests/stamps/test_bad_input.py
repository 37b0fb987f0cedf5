"""Wrong numbers and mixed-up units, from bank, hosts and manifest to the stamps of a unit.

A row that cannot be made has a status and no pixels, and the rows beside it are
what they are without it. What makes every row wrong is an error of the user's,
and leaves no file.
"""

from pathlib import Path

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
    ("theta_e_arcsec", 12.0),
    ("lens_x_arcsec", 40.0),
    ("src_mag_z", float("inf")),
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


@pytest.mark.parametrize(("column", "value"), BAD_VALUES)
def test_one_bad_value_costs_one_row(world, positives, clean, column, value):
    found = stamp_world.stamps_of(world, spoilt(positives, column, value))
    assert found["task_id"].equals(positives["task_id"])
    assert_only_the_bad_row_is_lost(found, clean)


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
