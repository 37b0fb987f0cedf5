"""Redshifts from photo-z sweeps, on files written by cfitsio."""

import fitsio
import numpy as np
import pytest
import sky_tree

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey import fits_tables, inputs, layout
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.fits_tables import DamagedFileError
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.photoz import SweepRedshifts
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.roots import open_root

KINDS = [("RELEASE", "i2"), ("BRICKID", "i4"), ("OBJID", "i4")]
VALUES = ("MEAN", "MEDIAN", "STD", "L68", "U68", "L95", "U95")
KINDS += [(f"Z_PHOT_{name}{band}", "f4") for band in ("", "_I") for name in VALUES]
KINDS += [("Z_SPEC", "f4"), ("SURVEY", "S10"), ("TRAINING", "?"), ("KFOLD", "i2")]


def table(n, kinds=KINDS):
    rows = np.zeros(n, dtype=kinds)
    for name, _ in kinds:
        if name.startswith("Z_"):
            rows[name] = -99.0
    return rows


def of_sweep(sweep, kinds=KINDS):
    rows = table(len(sweep), kinds)
    for name in ("RELEASE", "BRICKID", "OBJID"):
        rows[name] = sweep[name]
    return rows


def sources(rows, place):
    place = np.asarray(place)
    return {"ROW": place, **{name: rows[name][place] for name in ("RELEASE", "BRICKID", "OBJID")}}


@pytest.fixture
def many(tmp_path):
    """5,000 rows, redshift = row / 10,000; every third of them without the i band."""
    rows = table(5000)
    rows["RELEASE"], rows["BRICKID"], rows["OBJID"] = 10000, 7, np.arange(5000)
    for name, off in (("MEDIAN", 0.0), ("L68", -0.01), ("U68", 0.02)):
        rows[f"Z_PHOT_{name}"] = np.arange(5000) / 1e4 + 0.1 + off
        rows[f"Z_PHOT_{name}_I"] = np.arange(5000) / 1e4 + 0.3 + off
        rows[f"Z_PHOT_{name}_I"][::3] = -99.0
    rows["Z_SPEC"][10], rows["Z_SPEC"][11] = 0.25, 0.0
    fitsio.write(str(tmp_path / "pz.fits"), rows, clobber=True)
    return tmp_path / "pz.fits", rows


def test_rows_are_followed_over_the_runs_of_the_file(many, monkeypatch):
    path, rows = many
    monkeypatch.setattr(fits_tables, "BUFFER_BYTES", 30 * rows.dtype.itemsize)
    reader = SweepRedshifts(path)
    for place in ([0, 1, 10, 11, 29], [30, 31, 500], [501], [4000, 4999]):
        found = reader.take(sources(rows, place))
        at = np.array(place)
        expected = at / 1e4 + np.where(at % 3 == 0, 0.1, 0.3)
        np.testing.assert_allclose(found["z_phot"], expected, atol=1e-6)
        np.testing.assert_allclose(found["z_phot_l68"], expected - 0.01, atol=1e-6)
        np.testing.assert_allclose(found["z_phot_u68"], expected + 0.02, atol=1e-6)
        spectra = [{10: 0.25, 11: 0.0}.get(i, np.nan) for i in place]
        np.testing.assert_array_equal(found["z_spec"], spectra)


@pytest.mark.parametrize("name", ["RELEASE", "BRICKID", "OBJID"])
def test_a_row_of_another_source_is_an_error_that_names_it(many, name):
    path, rows = many
    asked = sources(rows, [3, 40])
    asked[name] = asked[name] + np.array([0, 1], asked[name].dtype)
    with pytest.raises(DataError, match=rf"row 40.*{name}"):
        SweepRedshifts(path).take(asked)


def test_a_file_with_fewer_rows_is_another_sweeps(many):
    path, rows = many
    asked = sources(rows, [3, 40])
    asked["ROW"] = np.array([3, 5000])
    with pytest.raises(DataError, match="the file has 5000 rows"):
        SweepRedshifts(path).take(asked)


def test_releases_before_the_i_band_are_read(tmp_path):
    rows = table(4, [kind for kind in KINDS if not kind[0].endswith("_I")])
    for name in ("MEDIAN", "L68", "U68"):
        rows[f"Z_PHOT_{name}"] = 0.4
    fitsio.write(str(tmp_path / "pz.fits"), rows)
    found = SweepRedshifts(tmp_path / "pz.fits").take(sources(rows, [0, 3]))
    np.testing.assert_allclose(found["z_phot"], 0.4, rtol=1e-6)


def test_absent_cut_and_foreign_files_are_told_apart(many, tmp_path):
    path, _ = many
    with pytest.raises(MissingDataError):
        SweepRedshifts(tmp_path / "none.fits")
    (tmp_path / "cut.fits").write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DamagedFileError):
        SweepRedshifts(tmp_path / "cut.fits")
    fitsio.write(str(tmp_path / "other.fits"), np.zeros(3, dtype=[("RELEASE", "i2")]))
    with pytest.raises(DataError, match="lacks a column"):
        SweepRedshifts(tmp_path / "other.fits")


def test_the_file_of_a_sweep_is_where_the_survey_puts_it(tree):
    sweep = layout.sweep_files(open_root(tree), DR10_SOUTH)[0]
    name = sweep.relative.rpartition("/")[2].removesuffix(".fits")
    assert layout.photo_z_file(sweep) == f"south/sweep/10.1-photo-z/{name}-pz.fits"


@pytest.fixture
def with_redshifts(tree):
    """The tree with photo-z sweeps: redshift = object id / 100."""
    (sweep,) = layout.sweep_files(open_root(tree), DR10_SOUTH)
    with fitsio.FITS(str(tree / sweep.relative)) as file:
        rows = of_sweep(file[1].read())
    for name, off in (("MEDIAN", 0.0), ("L68", -0.01), ("U68", 0.01)):
        rows[f"Z_PHOT_{name}"] = rows["OBJID"] / 100.0 + 0.2 + off
    path = tree / layout.photo_z_file(sweep)
    path.parent.mkdir(parents=True)
    fitsio.write(str(path), rows)
    return path


def selected(tree):
    bricks = read_footprint(tree, DR10_SOUTH)
    return select_parents(tree, DR10_SOUTH, bricks["tile"][0].as_py(), bricks)


def test_parents_carry_the_redshifts_of_their_own_rows(tree, with_redshifts):
    parents = selected(tree)
    table = parents.table
    assert table.num_rows
    np.testing.assert_allclose(table["z_phot"], table["objid"].to_numpy() / 100.0 + 0.2, atol=1e-6)
    assert table["z_spec"].null_count == table.num_rows
    assert parents.redshifts.as_dict() == {
        "photo_z": {"read": 1, "missing": 0, "damaged": 0}, "photo_z_lost": [],
    }  # fmt: skip


def test_a_missing_or_damaged_file_costs_redshifts_and_is_named(tree, with_redshifts):
    whole = selected(tree).table
    content = with_redshifts.read_bytes()
    with_redshifts.write_bytes(content[:3000])
    for status in ("damaged", "missing"):
        if status == "missing":
            with_redshifts.unlink()
        parents = selected(tree)
        (lost,) = parents.redshifts.lost
        assert (lost.name, lost.status) == (with_redshifts.name, status)
        assert parents.redshifts.as_dict()["photo_z"][status] == 1
        assert parents.table["z_phot"].null_count == parents.table.num_rows
        assert parents.table.drop(["z_phot", "z_phot_l68", "z_phot_u68"]).equals(
            whole.drop(["z_phot", "z_phot_l68", "z_phot_u68"])
        )


def test_a_file_in_another_order_is_an_error_not_wrong_redshifts(tree, with_redshifts):
    rows = fitsio.read(str(with_redshifts))
    fitsio.write(str(with_redshifts), rows[::-1], clobber=True)
    with pytest.raises(DataError, match="does not go with its sweep"):
        selected(tree)


def test_a_file_that_is_added_changes_what_the_parents_are_made_from(tree, with_redshifts):
    box = (0.0, 360.0, -90.0, 90.0)
    present = inputs.photo_z_hash(tree, DR10_SOUTH, box)
    with_redshifts.unlink()
    assert inputs.photo_z_hash(tree, DR10_SOUTH, box) != present


def test_the_mock_writes_them_for_every_sweep(tmp_path):
    from darkhaloscope.survey.mock.redshifts import PHOTO_Z_DTYPE, photo_z_rows

    brick = sky_tree.pair()[0]
    sweep = sky_tree.sweep_rows(brick)
    native = sweep.astype(sweep.dtype.newbyteorder("="))
    rows = photo_z_rows(native, seed=1)
    assert rows.dtype == PHOTO_Z_DTYPE
    np.testing.assert_array_equal(rows["OBJID"], native["OBJID"])
    assert ((rows["Z_PHOT_L68"] < rows["Z_PHOT_MEDIAN"]) & (rows["Z_PHOT_MEDIAN"] < rows["Z_PHOT_U68"])).all()
    assert {name for name, _ in KINDS} <= set(PHOTO_Z_DTYPE.names)
