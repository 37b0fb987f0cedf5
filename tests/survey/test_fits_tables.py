import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey import fits_tables
from darkhaloscope.survey.fits_tables import DamagedFileError, iter_rows, read_columns


def write(path, rows=5000):
    Table(
        {"Name": np.array([f"b{i}" for i in range(rows)], dtype="S8"), "X": np.arange(rows, dtype=">f4")}
    ).write(path)
    return path


def test_columns_are_native_and_found_whatever_their_case(tmp_path):
    table = read_columns(write(tmp_path / "t.fits", 3), ("name", "x"), "Table")
    assert table["name"].tolist() == ["b0", "b1", "b2"]
    assert table["x"].dtype == np.dtype("float32")
    assert table["x"].dtype.isnative


@pytest.mark.parametrize("packed", [False, True])
def test_runs_of_rows_join_to_the_table(tmp_path, monkeypatch, packed):
    path = write(tmp_path / "t.fits", 1001)
    if packed:
        path = tmp_path / "t.fits.gz"
        path.write_bytes(gzip.compress((tmp_path / "t.fits").read_bytes()))
    monkeypatch.setattr(fits_tables, "BUFFER_BYTES", 100 * 12 + 5)
    runs = [rows.columns()["x"] for rows in iter_rows(path, ("x",), "Table")]
    assert [len(x) for x in runs] == [100] * 10 + [1]
    assert np.array_equal(np.concatenate(runs), np.arange(1001, dtype="f4"))


def test_rows_that_are_kept_do_not_change_when_the_buffer_is_read_into_again(tmp_path, monkeypatch):
    path = write(tmp_path / "t.fits", 200)
    monkeypatch.setattr(fits_tables, "BUFFER_BYTES", 100 * 12)
    kept = [rows.where(rows["x"] % 2 == 0).columns() for rows in iter_rows(path, ("x", "name"), "Table")]
    assert np.concatenate([k["x"] for k in kept]).tolist() == list(range(0, 200, 2))
    assert kept[0]["name"][:2].tolist() == ["b0", "b2"]
    # Bytes have no order to convert, yet they too must leave the buffer.
    Table({"B": np.arange(200, dtype="u1")}).write(tmp_path / "bytes.fits")
    monkeypatch.setattr(fits_tables, "BUFFER_BYTES", 100)
    whole = [rows.columns() for rows in iter_rows(tmp_path / "bytes.fits", ("b",), "Table")]
    assert np.concatenate([w["b"] for w in whole]).tolist() == list(range(200))


def test_unsigned_scaled_and_logical_columns_have_their_values(tmp_path):
    path = tmp_path / "t.fits"
    columns = [
        fits.Column("U", "I", bzero=32768, array=np.array([0, 40000, 65535], "u2")),
        fits.Column("S", "J", array=np.array([0, 2, 15])),
        fits.Column("L", "L", array=np.array([True, False, True])),
        fits.Column("V", "2E", array=np.arange(6, dtype="f4").reshape(3, 2)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header["TSCAL2"], hdu.header["TZERO2"] = 0.5, 3.0
    path.write_bytes(b"")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    table = read_columns(path, ("u", "s", "l", "v"), "Table")
    assert table["u"].tolist() == [0, 40000, 65535]
    assert table["s"].tolist() == [3.0, 4.0, 10.5]
    assert table["l"].tolist() == [True, False, True]
    assert table["v"].tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 0.98])
def test_truncated_table_names_the_file_before_a_row_is_used(tmp_path, fraction):
    path = write(tmp_path / "t.fits")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(DamagedFileError, match=r"t\.fits.*fetch the file again"):
        next(iter_rows(path, ("x",), "Table"))


def test_truncated_gzip_is_a_data_error(tmp_path):
    path = write(tmp_path / "t.fits")
    packed = tmp_path / "t.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-4000])
    with pytest.raises(DamagedFileError, match=r"t\.fits\.gz"):
        read_columns(packed, ("x",), "Table")


def test_text_file_is_a_data_error(tmp_path):
    path = tmp_path / "t.fits"
    path.write_text("404 Not Found\n" * 500)
    with pytest.raises(DataError, match=r"t\.fits"):
        read_columns(path, ("x",), "Table")


def test_absent_file_empty_table_and_missing_column_are_told_apart(tmp_path):
    with pytest.raises(MissingDataError, match="Sweep not found"):
        read_columns(tmp_path / "none.fits", ("x",), "Sweep")
    with pytest.raises(DamagedFileError, match="holds no rows"):
        read_columns(write(tmp_path / "empty.fits", 0), ("x",), "Sweep")
    with pytest.raises(DataError, match=r"lacks a column.*field y"):
        read_columns(write(tmp_path / "t.fits", 2), ("x", "y"), "Sweep")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(DataError, match="holds no table"):
        read_columns(tmp_path / "image.fits", ("x",), "Sweep")
