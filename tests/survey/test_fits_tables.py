import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey.fits_tables import iter_columns, read_columns


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


def test_chunks_join_to_the_table(tmp_path):
    path = write(tmp_path / "t.fits", 1001)
    chunks = list(iter_columns(path, ("x",), "Table", rows=100))
    assert [len(c["x"]) for c in chunks] == [100] * 10 + [1]
    assert np.array_equal(np.concatenate([c["x"] for c in chunks]), np.arange(1001, dtype="f4"))


@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.5, 0.98])
def test_truncated_table_names_the_file_before_a_row_is_used(tmp_path, fraction):
    path = write(tmp_path / "t.fits")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(DataError, match=r"t\.fits.*fetch the file again"):
        next(iter_columns(path, ("x",), "Table", rows=10))


def test_truncated_gzip_is_a_data_error(tmp_path):
    path = write(tmp_path / "t.fits")
    packed = tmp_path / "t.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes())[:-4000])
    with pytest.raises(DataError, match=r"t\.fits\.gz"):
        read_columns(packed, ("x",), "Table")


def test_text_file_is_a_data_error(tmp_path):
    path = tmp_path / "t.fits"
    path.write_text("404 Not Found\n" * 500)
    with pytest.raises(DataError, match=r"t\.fits"):
        read_columns(path, ("x",), "Table")


def test_absent_file_empty_table_and_missing_column_are_told_apart(tmp_path):
    with pytest.raises(MissingDataError, match="Sweep not found"):
        read_columns(tmp_path / "none.fits", ("x",), "Sweep")
    with pytest.raises(DataError, match="holds no rows"):
        read_columns(write(tmp_path / "empty.fits", 0), ("x",), "Sweep")
    with pytest.raises(DataError, match=r"lacks a column.*field y"):
        read_columns(write(tmp_path / "t.fits", 2), ("x", "y"), "Sweep")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(DataError, match="holds no table"):
        read_columns(tmp_path / "image.fits", ("x",), "Sweep")
