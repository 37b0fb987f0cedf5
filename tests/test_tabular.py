import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope import tabular
from darkhaloscope.errors import ContractError, DataError, MissingDataError
from darkhaloscope.schema import SCORES, Column, Role, TableSchema
from darkhaloscope.schema.columns import PixelColumn

SCHEMA = TableSchema(
    "toy",
    1,
    (
        Column("id", pa.string(), Role.IDENTITY, "", "id"),
        PixelColumn("image", None, Role.PIXELS, "nMgy/px", "image", True, 3, pa.float32()),
        PixelColumn("mask", None, Role.PIXELS, "", "mask", True, 0, pa.int32()),
    ),
)


def toy(n: int = 5, size: int = 4) -> pa.Table:
    image = np.arange(n * 3 * size * size, dtype=np.float32).reshape(n, 3, size, size) / 7
    return SCHEMA.table(
        {
            "id": [f"r{i}" for i in range(n)],
            "image": image,
            "mask": np.arange(n * size * size).reshape(n, size, size),
        },
        size=size,
    )


def test_pixels_come_back_bit_for_bit(tmp_path):
    table = toy()
    tabular.write_table(tmp_path / "a.parquet", SCHEMA, table)
    back = tabular.read_table(tmp_path / "a.parquet")
    np.testing.assert_array_equal(tabular.pixels(back, "image"), tabular.pixels(table, "image"))
    np.testing.assert_array_equal(tabular.pixels(back, "mask"), tabular.pixels(table, "mask"))
    assert back.schema.field("image").metadata[b"unit"] == b"nMgy/px"


def test_equal_tables_give_equal_bytes_and_split_encoding(tmp_path):
    first = tabular.write_table(tmp_path / "a.parquet", SCHEMA, toy())
    second = tabular.write_table(tmp_path / "b.parquet", SCHEMA, toy())
    assert first.sha256 == second.sha256
    assert first.rows == 5
    column = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(1)
    assert "BYTE_STREAM_SPLIT" in column.encodings


def test_wrong_columns_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ContractError, match=r"missing \['mask'\], unknown \['typo'\]"):
        tabular.write_table(tmp_path / "a.parquet", SCHEMA, toy().rename_columns(["id", "image", "typo"]))
    assert list(tmp_path.iterdir()) == []


def test_null_where_forbidden_names_the_row():
    with pytest.raises(ContractError, match="field object_id, row 1"):
        SCORES.table(
            {
                "object_id": ["a", None],
                "score": [0.1, 0.2],
                "preprocess_sha256": ["x"] * 2,
                "checkpoint_sha256": ["y"] * 2,
            }
        )


def test_wrong_pixel_shape_is_refused():
    with pytest.raises(ContractError, match=r"must be \('n', 3, 4, 4\), got \(1, 3, 5, 4\)"):
        SCHEMA.table({"id": ["a"], "image": np.zeros((1, 3, 5, 4)), "mask": np.zeros((1, 4, 4))}, size=4)


def test_rows_without_pixels_are_refused_as_array():
    storage = pa.array([list(range(48)), None], pa.list_(pa.float32(), 48))
    image = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), (3, 4, 4)), storage)
    with pytest.raises(DataError, match="select rows with status 'ok' first"):
        tabular.pixels(pa.table({"image": image}), "image")


def test_batches_stream_in_order(tmp_path):
    tabular.write_table(tmp_path / "a.parquet", SCHEMA, toy(5))
    tabular.write_table(tmp_path / "b.parquet", SCHEMA, toy(3))
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    ids = [i for batch in tabular.iter_batches(paths, ["id"], rows=2) for i in batch["id"].to_pylist()]
    assert ids == ["r0", "r1", "r2", "r3", "r4", "r0", "r1", "r2"]
    assert tabular.row_count(paths) == 8


def test_missing_file_and_broken_file_are_typed(tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.parquet"):
        tabular.read_table(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad\.parquet"):
        tabular.read_table(tmp_path / "bad.parquet")


def test_missing_column_is_named(tmp_path):
    tabular.write_table(tmp_path / "a.parquet", SCHEMA, toy())
    with pytest.raises(DataError, match="field nope"):
        tabular.read_table(tmp_path / "a.parquet", ["id", "nope"])


def test_the_schema_of_a_file_is_that_of_its_table(tmp_path):
    tabular.write_table(tmp_path / "a.parquet", SCHEMA, toy())
    schema = tabular.read_schema(tmp_path / "a.parquet")
    assert schema.equals(tabular.read_table(tmp_path / "a.parquet").schema)
    assert tuple(schema.field("mask").type.shape) == (4, 4)
