"""The one writer and reader of tables: Parquet with the schema's columns.

In memory pixels are Arrow tensors. In a file, images are fixed-size lists of
float32 with BYTE_STREAM_SPLIT and zstd, which takes the least room without
losing a bit; planes that are nearly constant, and host cutouts, are fixed-size
binary: a list costs two counters per pixel to write and to read, more than the
pixels themselves. All else is plain zstd. Equal tables give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from darkhaloscope.artifacts import Part, atomic_path
from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.parquet.file import PixelFile
from darkhaloscope.parquet.pages import Form, Page, make_page, page_rows
from darkhaloscope.parquet.view import PixelView
from darkhaloscope.schema import TableSchema
from darkhaloscope.schema.columns import ROW_GROUP_ROWS

_ZSTD_LEVEL = 1
_STORED: Mapping[str, Form] = MappingProxyType(
    {"noise": Form(True, _ZSTD_LEVEL), "map": Form(False, _ZSTD_LEVEL), "raw": Form(False, None)}
)
"""Pixels as their schema says they are stored."""

# Seventy columns of a few hundred rows: what a codec takes to start counts more than what it saves.
_COMPRESSION = "snappy"
_SHAPE, _VALUE_TYPE = b"shape", b"value_type"


class TableWriter:
    """Writes the row groups of one file as they are made; from :func:`open_writer`.

    Attributes
    ----------
    rows : int
        Rows written so far.
    part : Part or None
        The file, once it is complete.
    """

    def __init__(self, path: Path, schema: TableSchema) -> None:
        self.rows = 0
        self.part: Part | None = None
        self._path = path
        self._schema = schema
        self._pixels = {column.name: _STORED[column.stored] for column in schema.pixel_columns()}
        self._group_rows = schema.rows_per_group
        self._file: PixelFile | None = None
        self._waiting: list[pa.Table] = []
        self._pages: dict[str, list[Page]] = {name: [] for name in self._pixels}

    def write(self, table: pa.Table) -> None:
        """Validate a table and append it.

        Pixels are encoded at once and wait, in that form, until a row group is full.

        Raises
        ------
        ContractError
            If the table does not match the schema.
        """
        self._schema.validate(table)
        if self._file is None:
            stored = _to_file(table.slice(0, 0), self._schema).schema
            self._file = PixelFile(self._path, stored, self._pixels, _COMPRESSION)
        start = 0
        while start < table.num_rows:
            free = self._group_rows - sum(waiting.num_rows for waiting in self._waiting)
            self._take(self._file, table.slice(start, free))
            start += free
        self.rows += table.num_rows

    def _take(self, file: PixelFile, table: pa.Table) -> None:
        """Encode rows that fit into the row group that is being made."""
        for name, leaf in file.leaves.items():
            array = _one_array(table, name)
            valid = array.is_valid().to_numpy(zero_copy_only=False)
            slots = pixel_slots(table, name)
            step = page_rows(slots[:1].nbytes)
            for start in range(0, len(slots), step):
                here, use = slots[start : start + step], valid[start : start + step]
                self._pages[name].append(make_page(leaf, here if use.all() else here[use], use))
        self._waiting.append(table.drop_columns(list(self._pixels)) if self._pixels else table)
        if sum(waiting.num_rows for waiting in self._waiting) == self._group_rows:
            self._flush(file)

    def _flush(self, file: PixelFile) -> None:
        """Write the rows that wait as a row group."""
        if self._waiting:
            file.write_group(pa.concat_tables(self._waiting), self._pages)
        self._waiting, self._pages = [], {name: [] for name in self._pixels}

    def close(self) -> None:
        """Write what waits and the footer."""
        if self._file is None:
            return
        self._flush(self._file)
        size, sha256 = self._file.close()
        self.part = Part(self._path.name, size, sha256, self.rows)

    def abandon(self) -> None:
        """Give up a file that cannot be completed."""
        if self._file is not None:
            self._file.abandon()


@contextmanager
def open_writer(path: str | Path, schema: TableSchema) -> Iterator[TableWriter]:
    """Yield a writer of a file that appears whole, or not at all, when the block ends.

    Parameters
    ----------
    path : path
        Destination; its directory is created.
    schema : TableSchema
        What every table written must be.

    Raises
    ------
    DataError
        If nothing was written.
    StorageError
        If the disk is full.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        writer = TableWriter(temporary, schema)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        if writer.part is None:
            raise DataError(describe("Nothing was written", file=path, expected="at least one table"))
        writer.part = replace(writer.part, path=path.name)


def write_table(path: str | Path, schema: TableSchema, table: pa.Table) -> Part:
    """Validate ``table`` and write it atomically.

    Parameters
    ----------
    path : path
        Destination; its directory is created.
    schema : TableSchema
        What the table must be.
    table : pyarrow.Table
        As made by :meth:`TableSchema.table`.

    Returns
    -------
    Part
        ``path`` is the file name.

    Raises
    ------
    ContractError
        If the table does not match the schema.
    StorageError
        If the disk is full.
    """
    with open_writer(path, schema) as writer:
        writer.write(table)
    assert writer.part is not None
    return writer.part


def read_table(paths: Sequence[str | Path] | str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one or more files of one schema into a table, in the order given.

    Raises
    ------
    MissingDataError
        If a file does not exist.
    DataError
        If a file is not readable Parquet or lacks a column.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise DataError(describe("No files to read", expected="at least one table", got=0))
    return pa.concat_tables([_read_one(Path(f), columns) for f in files])


def iter_batches(
    paths: Sequence[str | Path],
    columns: Sequence[str] | None = None,
    rows: int = ROW_GROUP_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Stream record batches of at most ``rows`` rows from files, in order.

    Memory is one row group of one file.
    """
    for path in paths:
        with _open(Path(path)) as file:
            for batch in file.iter_batches(batch_size=rows, columns=_checked(file, path, columns)):
                yield _from_file(pa.Table.from_batches([batch])).to_batches()[0]


def read_schema(path: str | Path) -> pa.Schema:
    """Return the columns of a file as they are read, from its footer alone."""
    with _open(Path(path)) as file:
        return _from_file(file.schema_arrow.empty_table()).schema


def row_count(paths: Sequence[str | Path]) -> int:
    """Return the total number of rows, from the footers alone."""
    total = 0
    for path in paths:
        with _open(Path(path)) as file:
            total += file.metadata.num_rows
    return total


def pixels(table: pa.Table | pa.RecordBatch, name: str) -> NDArray[Any]:
    """Return a pixel column as an array (n, planes, size, size) or (n, size, size).

    Raises
    ------
    DataError
        If a row has no pixels; select rows with ``status == "ok"`` first.
    """
    array = _one_array(table, name)
    if array.null_count:
        raise DataError(
            describe(
                "Rows without pixels cannot be read as an array",
                field=name,
                got=f"{array.null_count} nulls of {len(array)}",
                hint="select rows with status 'ok' first",
            )
        )
    if len(array) == 0:
        shape = tuple(array.type.shape)
        return np.empty((0, *shape), dtype=array.type.value_type.to_pandas_dtype())
    stamps: NDArray[Any] = array.to_numpy_ndarray()
    return stamps


def read_row_groups(
    path: str | Path, rows: Sequence[int] | NDArray[np.intp], columns: Sequence[str]
) -> Iterator[tuple[pa.Table, NDArray[np.intp]]]:
    """Stream the row groups of a file that hold the given rows.

    Parameters
    ----------
    path : path
        One file.
    rows : sequence of int
        Rows of the file, ascending.
    columns : sequence of str
        Columns to read.

    Yields
    ------
    table : pyarrow.Table
        A whole row group.
    rows : ndarray of int
        The given rows that lie in it, counted from its first row.

    Raises
    ------
    MissingDataError
        If the file does not exist.
    DataError
        If it is not readable Parquet, or lacks a column or a row.
    """
    with _open(Path(path)) as file:
        names = _checked(file, path, columns)
        for group, inside in _groups_of(file, path, rows):
            yield _from_file(file.read_row_group(group, columns=names, use_threads=False)), inside


class PixelGroup(NamedTuple):
    """Some columns of a row group.

    Attributes
    ----------
    table : pyarrow.Table
        Columns that are not pixels.
    rows : ndarray of int
        The rows that were asked for, counted from the first of the group.
    pixels : list of ndarray, each of shape (m, planes, size, size) or (m, size, size)
        Pixels of the rows of the group that have some, read-only, for as long
        as the next group is not asked for.
    at : ndarray of int
        Place of every row of the group among those with pixels, -1 for a row without.
    """

    table: pa.Table
    rows: NDArray[np.intp]
    pixels: list[NDArray[Any]]
    at: NDArray[np.intp]


def look_at_pixels(
    path: str | Path,
    rows: Sequence[int] | NDArray[np.intp],
    columns: Sequence[str],
    pixel_columns: Sequence[str],
) -> Iterator[PixelGroup]:
    """Stream the row groups that hold the given rows, with pixels where they lie in the file.

    For pixels that are stored as bytes, of which only a part is used.

    Parameters
    ----------
    path : path
        One file.
    rows : sequence of int
        Rows of the file, ascending.
    columns : sequence of str
        Columns without pixels.
    pixel_columns : sequence of str
        Columns whose form in a file is "raw" or "map"; a row has all of them or none.

    Raises
    ------
    MissingDataError
        If the file does not exist.
    DataError
        If it is not readable Parquet, or lacks a column or a row, or its pixels
        are stored otherwise.
    """
    with _open(Path(path)) as file:
        names = _checked(file, path, columns)
        _checked(file, path, pixel_columns)
        tensors = [_stored_tensor(file, path, name) for name in pixel_columns]
        groups = list(_groups_of(file, path, rows))
        table = file.read_row_groups([group for group, _ in groups], columns=names, use_threads=False)
        start = 0
        with PixelView(Path(path), file.metadata) as view:
            for group, inside in groups:
                count = file.metadata.row_group(group).num_rows
                stored = [view.read(group, name) for name in pixel_columns]
                valid = stored[0].valid
                if not all(np.array_equal(valid, other.valid) for other in stored):
                    raise DataError(
                        describe(
                            "Rows with some of their pixels", file=path, row=start, expected="all or none"
                        )
                    )
                yield PixelGroup(
                    table.slice(start, count),
                    inside,
                    [_as_pixels(pixels, tensor) for (pixels, _), tensor in zip(stored, tensors, strict=True)],
                    np.where(valid, np.cumsum(valid) - 1, -1),
                )
                view.forget()
                start += count


def _groups_of(
    file: pq.ParquetFile, path: str | Path, rows: Sequence[int] | NDArray[np.intp]
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield the row groups that hold rows of a file, and which of their own rows these are."""
    wanted = np.asarray(rows, dtype=np.intp)
    if len(wanted) and wanted[-1] >= file.metadata.num_rows:
        raise DataError(
            describe(
                "Row beyond the end of a table",
                file=path,
                row=int(wanted[-1]),
                expected=f"{file.metadata.num_rows} rows",
            )
        )
    start = 0
    for group in range(file.metadata.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)] - start
        if len(inside):
            yield group, inside
        start = stop


def _stored_tensor(file: pq.ParquetFile, path: str | Path, name: str) -> pa.DataType:
    """Return the tensor type of a column that is stored as bytes."""
    field = file.schema_arrow.field(name)
    tensor = _tensor_of(field)
    if tensor is None:
        raise DataError(
            describe("Pixels are stored otherwise", file=path, field=name, expected="bytes", got=field.type)
        )
    return tensor


def _as_pixels(stored: NDArray[np.uint8], tensor: pa.DataType) -> NDArray[Any]:
    """See bytes as pixels; they are copied if they begin at an odd place."""
    dtype = np.dtype(tensor.value_type.to_pandas_dtype())
    if stored.ctypes.data % dtype.itemsize:
        stored = stored.copy()
    seen: NDArray[Any] = stored.view(dtype).reshape(len(stored), *tensor.shape)
    return seen


def _one_array(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """Return a column as one array, copied only if it is in pieces."""
    column = table[name]
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=array.type)
    return array


def pixel_slots(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a pixel column as an array without copying; rows without pixels hold arbitrary values.

    Parameters
    ----------
    table : pyarrow.Table
        In memory.
    name : str
        Pixel column.

    Returns
    -------
    ndarray, shape (n, planes, size, size) or (n, size, size)
        Read-only.
    """
    array = _one_array(table, name)
    tensor, storage = array.type, array.storage
    child = storage.values
    values, offset = child.buffers()[1], storage.offset + child.offset // tensor.storage_type.list_size
    width = tensor.storage_type.list_size
    dtype = np.dtype(tensor.value_type.to_pandas_dtype())
    flat = np.frombuffer(values or b"", dtype, len(array) * width, offset * width * dtype.itemsize)
    return flat.reshape(len(array), *tensor.shape)


def _to_file(table: pa.Table, schema: TableSchema) -> pa.Table:
    """Turn tensor columns that are stored as bytes into fixed-size binary, without copying."""
    for column in schema.pixel_columns():
        if column.stored == "noise":
            continue
        at = table.column_names.index(column.name)
        field, tensor = table.schema.field(at), table.schema.field(at).type
        width = tensor.storage_type.list_size * tensor.value_type.byte_width
        chunks = [_as_binary(chunk.storage, pa.binary(width)) for chunk in table.column(at).chunks]
        note = {_SHAPE: json.dumps(list(tensor.shape)), _VALUE_TYPE: str(tensor.value_type)}
        field = pa.field(field.name, pa.binary(width), field.nullable, {**(field.metadata or {}), **note})
        table = table.set_column(at, field, pa.chunked_array(chunks, type=field.type))
    return table


def _from_file(table: pa.Table) -> pa.Table:
    """Undo :func:`_to_file`."""
    for at, field in enumerate(table.schema):
        tensor = _tensor_of(field)
        if tensor is None:
            continue
        chunks = [_as_tensor(chunk, tensor) for chunk in table.column(at).chunks]
        note = {k: v for k, v in field.metadata.items() if k not in {_SHAPE, _VALUE_TYPE}}
        restored = pa.field(field.name, tensor, field.nullable, note)
        table = table.set_column(at, restored, pa.chunked_array(chunks, type=tensor))
    return table


def _tensor_of(field: pa.Field) -> pa.DataType | None:
    """Return the tensor type of a column that is stored as bytes, None for any other column."""
    if not pa.types.is_fixed_size_binary(field.type) or _SHAPE not in (field.metadata or {}):
        return None
    value_type = pa.type_for_alias(field.metadata[_VALUE_TYPE].decode())
    return pa.fixed_shape_tensor(value_type, json.loads(field.metadata[_SHAPE]))


def _as_binary(storage: pa.Array, kind: pa.DataType) -> pa.Array:
    """See the fixed-size lists of an array as bytes."""
    values = storage.values
    if values.offset:
        values = pa.concat_arrays([values])  # a copy that begins at its own first value
    buffers = [storage.buffers()[0], values.buffers()[1] if len(storage) else pa.py_buffer(b"")]
    return pa.Array.from_buffers(kind, len(storage), buffers, storage.null_count, storage.offset)


def _as_tensor(array: pa.Array, tensor: pa.DataType) -> pa.Array:
    """See the bytes of an array as tensors."""
    valid, values = array.buffers()
    count = (array.offset + len(array)) * tensor.storage_type.list_size
    flat = pa.Array.from_buffers(tensor.value_type, count, [None, values])
    storage = pa.Array.from_buffers(
        tensor.storage_type, len(array), [valid], array.null_count, array.offset, children=[flat]
    )
    return pa.ExtensionArray.from_storage(tensor, storage)


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise MissingDataError(describe("Table not found", file=path))
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(
            describe("Not a readable Parquet file", file=path, got=str(error).split("\n")[0])
        ) from error


def _checked(file: pq.ParquetFile, path: str | Path, columns: Sequence[str] | None) -> list[str] | None:
    if columns is None:
        return None
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
        raise DataError(describe("Column not found", file=path, field=missing[0], expected=list(columns)))
    return list(columns)


def _read_one(path: Path, columns: Sequence[str] | None) -> pa.Table:
    with _open(path) as file:
        return _from_file(file.read(columns=_checked(file, path, columns)))
