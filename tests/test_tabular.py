import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darkhaloscope import tabular
from darkhaloscope.errors import ContractError, DataError, MissingDataError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.lensing.exposure import put_light
from darkhaloscope.schema import SCORES, Column, Role, TableSchema
from darkhaloscope.schema.columns import PixelColumn
from darkhaloscope.streams import keys

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


STORED = TableSchema(
    "stored",
    1,
    (
        Column("id", pa.string(), Role.IDENTITY, "", "id"),
        PixelColumn("image", None, Role.PIXELS, "nMgy/px", "image", True, 3, pa.float32(), "noise"),
        PixelColumn("invvar", None, Role.PIXELS, "1/nMgy^2", "invvar", True, 3, pa.float32(), "map"),
        PixelColumn("mask", None, Role.PIXELS, "", "mask", True, 0, pa.int32(), "map"),
        PixelColumn("raw", None, Role.PIXELS, "", "raw", True, 0, pa.float32(), "raw"),
    ),
    row_group_rows=4,
)
PIXELS = ("image", "invvar", "mask", "raw")


def stored_table(n: int = 10, size: int = 4, nulls=()) -> pa.Table:
    """Noise, with NaN and -0.0 among it, and no pixels in some rows."""
    rng = np.random.Generator(np.random.Philox(key=n))
    image = rng.standard_normal((n, 3, size, size)).astype(np.float32)
    image[0, 0, 0, :2] = np.nan, -0.0
    data = {
        "image": image,
        "invvar": rng.uniform(0, 1e5, image.shape).astype(np.float32),
        "mask": rng.integers(0, 1 << 20, (n, size, size)).astype(np.int32),
        "raw": rng.standard_normal((n, size, size)).astype(np.float32),
    }
    lost = np.isin(np.arange(n), nulls)
    columns = {"id": [f"r{i}" for i in range(n)]}
    for column in STORED.pixel_columns():
        tensor, values = column.tensor_type(size), data[column.name]
        flat = pa.array(values.reshape(-1))
        storage = pa.FixedSizeListArray.from_arrays(flat, values[0].size, mask=pa.array(lost))
        columns[column.name] = pa.ExtensionArray.from_storage(tensor, storage)
    return STORED.table(columns, size=size)


def bits(table: pa.Table, name: str, row: int) -> bytes | None:
    """The bytes of one row's pixels."""
    value = table[name].combine_chunks()
    value = value.chunk(0) if isinstance(value, pa.ChunkedArray) else value
    if not value.is_valid()[row].as_py():
        return None
    return value.slice(row, 1).to_numpy_ndarray().tobytes()


@pytest.mark.parametrize("nulls", [(), (0,), (3, 4, 9), tuple(range(10))])
def test_every_stored_form_keeps_every_bit_and_every_missing_row(tmp_path, nulls):
    table = stored_table(nulls=nulls)
    tabular.write_table(tmp_path / "a.parquet", STORED, table)
    whole = tabular.read_table(tmp_path / "a.parquet")
    assert whole.schema.equals(table.schema, check_metadata=True)
    streamed = pa.Table.from_batches(tabular.iter_batches([tmp_path / "a.parquet"], rows=3))
    for name in PIXELS:
        expected = [bits(table, name, i) for i in range(10)]
        assert [value is None for value in expected] == [i in nulls for i in range(10)]
        assert [bits(whole, name, i) for i in range(10)] == expected
        assert [bits(streamed, name, i) for i in range(10)] == expected


def test_a_slice_writes_its_own_rows(tmp_path):
    table = stored_table(nulls=(5,))
    tabular.write_table(tmp_path / "a.parquet", STORED, table.slice(3, 4))
    back = tabular.read_table(tmp_path / "a.parquet")
    for name in PIXELS:
        assert [bits(back, name, i) for i in range(4)] == [bits(table, name, i + 3) for i in range(4)]


def test_columns_are_stored_as_their_schema_says(tmp_path):
    tabular.write_table(tmp_path / "a.parquet", STORED, stored_table())
    file = pq.ParquetFile(tmp_path / "a.parquet")
    group = file.metadata.row_group(0)
    found = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "BYTE_STREAM_SPLIT" in found["image.list.element"].encodings
    assert {name: found[name].physical_type for name in ("invvar", "mask", "raw")} == dict.fromkeys(
        ("invvar", "mask", "raw"), "FIXED_LEN_BYTE_ARRAY"
    )
    compression = {name: column.compression for name, column in found.items()}
    assert compression.pop("raw") == "UNCOMPRESSED"
    assert compression == {"id": "SNAPPY", "image.list.element": "ZSTD", "invvar": "ZSTD", "mask": "ZSTD"}
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [4, 4, 2]


def test_row_groups_written_one_by_one_are_those_of_one_table(tmp_path):
    table = stored_table()
    with tabular.open_writer(tmp_path / "a.parquet", STORED) as writer:
        for start in (0, 4, 8):
            writer.write(table.slice(start, 4))
    assert writer.part == tabular.Part(
        "a.parquet", (tmp_path / "a.parquet").stat().st_size, sha256_file(tmp_path / "a.parquet"), 10
    )
    whole = tabular.write_table(tmp_path / "b.parquet", STORED, table)
    assert writer.part.sha256 == whole.sha256


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path):
    def break_off():
        with tabular.open_writer(tmp_path / "a.parquet", STORED) as writer:
            writer.write(stored_table())
            writer.write(stored_table().drop_columns(["image"]))

    with pytest.raises(ContractError, match="image"):
        break_off()
    with pytest.raises(DataError, match="Nothing was written"), tabular.open_writer(tmp_path / "b", STORED):
        pass
    assert list(tmp_path.iterdir()) == []


def test_only_the_row_groups_that_hold_the_rows_are_read(tmp_path):
    table = stored_table(nulls=(9,))
    tabular.write_table(tmp_path / "a.parquet", STORED, table)
    groups = list(tabular.read_row_groups(tmp_path / "a.parquet", [1, 3, 8, 9], ["id", "raw"]))
    assert [inside.tolist() for _, inside in groups] == [[1, 3], [0, 1]]
    assert [group["id"].to_pylist() for group, _ in groups] == [["r0", "r1", "r2", "r3"], ["r8", "r9"]]
    assert groups[0][0].column_names == ["id", "raw"]
    slots = tabular.pixel_slots(groups[1][0], "raw")
    assert slots.shape == (2, 4, 4)
    assert slots[0].tobytes() == bits(table, "raw", 8)
    assert groups[1][0]["raw"].type == table["raw"].type
    with pytest.raises(DataError, match="nope"):
        list(tabular.read_row_groups(tmp_path / "a.parquet", [0], ["nope"]))


@pytest.mark.parametrize("nulls", [(), (0,), (3, 4, 9), tuple(range(10))])
@pytest.mark.parametrize("by_arrow", [False, True])
def test_pixels_are_seen_where_they_lie(tmp_path, nulls, by_arrow):
    """In files of this library and in those Arrow wrote, with its pages of either version."""
    table, path, names = stored_table(nulls=nulls), tmp_path / "a.parquet", ["invvar", "mask", "raw"]
    tabular.write_table(path, STORED, table)
    for version in ("1.0", "2.0") if by_arrow else ("",):
        if by_arrow:
            pq.write_table(
                pq.read_table(path),
                path,
                row_group_size=4,
                use_dictionary=False,
                data_page_version=version,
                compression="zstd",
            )
        groups = list(tabular.look_at_pixels(path, [1, 3, 8, 9], ["id"], names))
        assert [group.rows.tolist() for group in groups] == [[1, 3], [0, 1]]
        for group, start in zip(groups, (0, 8), strict=True):
            ids = group.table["id"].to_pylist()
            assert ids == [f"r{start + i}" for i in range(len(ids))]
            for name, pixels in zip(names, group.pixels, strict=True):
                found = [pixels[at].tobytes() if at >= 0 else None for at in group.at]
                assert found == [bits(table, name, start + i) for i in range(len(ids))]
            if not by_arrow:
                lie_in_the_file = group.pixels[2]
                assert not lie_in_the_file.flags.owndata
                assert lie_in_the_file.size == 0 or lie_in_the_file.ctypes.data % 64 == 0


def test_only_pixels_stored_as_bytes_can_be_looked_at(tmp_path):
    tabular.write_table(tmp_path / "a.parquet", STORED, stored_table())
    with pytest.raises(DataError, match="field image"):
        list(tabular.look_at_pixels(tmp_path / "a.parquet", [0], ["id"], ["image"]))
    pq.write_table(pq.read_table(tmp_path / "a.parquet"), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="encoding 8"):
        list(tabular.look_at_pixels(tmp_path / "b.parquet", [0], ["id"], ["mask"]))


def test_rows_beyond_the_file_are_refused(tmp_path):
    tabular.write_table(tmp_path / "a.parquet", STORED, stored_table())
    with pytest.raises(DataError, match="10 rows"):
        list(tabular.read_row_groups(tmp_path / "a.parquet", [2, 10], ["id"]))


def test_pixels_of_one_piece_are_not_copied():
    table = stored_table()
    flat = table["image"].chunk(0).storage.values.to_numpy()
    assert np.shares_memory(tabular.pixels(table, "image"), flat)
    assert np.shares_memory(tabular.pixel_slots(table, "image"), flat)


def test_stamps_take_no_more_room_than_promised(tmp_path):
    """43 kB for 64 px in three bands with inverse variance and mask, half of the rows with noisy light."""
    rng = np.random.Generator(np.random.Philox(key=1))
    n, size = 256, 64
    sigma = np.array([0.0018, 0.003, 0.0075])[:, None, None] * rng.uniform(0.8, 1.3, (n, 1, 1, 1))
    noise = rng.standard_normal((n, 3, size + 1, size + 1))
    noise = 0.8 * noise[..., 1:, 1:] + 0.4 * noise[..., 1:, :-1] + 0.4 * noise[..., :-1, 1:]
    image = (noise * sigma).astype(np.float32)
    invvar = np.broadcast_to(sigma**-2, image.shape).astype(np.float32)
    radius = np.hypot(*(np.mgrid[:size, :size] - 31.5))
    light = np.exp(-((radius - 6.0) ** 2) / 4.0) + 1e-3 * (1 + radius / 4) ** -3.5
    arcs = light * rng.uniform(0.01, 0.3, (n, 3, 1, 1))
    lit = np.arange(0, n, 2)
    put_light(
        image,
        invvar,
        lit,
        light_nmgy=arcs[lit].astype(np.float32),
        good=np.ones((1, 3, size, size), bool),
        hosts=np.zeros(len(lit), int),
        sky_nmgy=np.array([[0.06, 0.15, 0.5]]),
        keys=keys(1, "test_tabular", [str(i) for i in lit]),
    )
    columns = {
        "id": [f"r{i}" for i in range(n)],
        "image": image,
        "invvar": invvar,
        "mask": np.zeros((n, size, size), np.int32),
    }
    three = TableSchema("three", 1, STORED.columns[:4])
    table = three.table({name: columns[name] for name in three.names()}, size=size)
    assert tabular.write_table(tmp_path / "a.parquet", three, table).bytes / n < 43_000
