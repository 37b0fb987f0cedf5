"""The one writer and reader of tables: Parquet with the schema's columns.

Pixel columns are fixed-size lists of float32 with BYTE_STREAM_SPLIT and zstd,
which keeps every bit and costs the least per stamp; all else is plain zstd.
Equal tables give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from darkhaloscope.artifacts import Part, atomic_path
from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.hashing import sha256_file
from darkhaloscope.schema import TableSchema

ROW_GROUP_ROWS = 256
"""Rows per row group of tables with pixels: the unit of a streaming read."""

_PLAIN_ROW_GROUP_ROWS = 1 << 17
_ZSTD_LEVEL = 1


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
    schema.validate(table)
    path = Path(path)
    split = [
        f"{column.name}.list.element"
        for column in schema.pixel_columns()
        if column.value_type == pa.float32()
    ]
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=False,
            write_statistics=False,
            column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") if split else None,
            row_group_size=ROW_GROUP_ROWS if schema.pixel_columns() else _PLAIN_ROW_GROUP_ROWS,
            store_schema=True,
        )
    return Part(path.name, path.stat().st_size, sha256_file(path), table.num_rows)


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
            yield from file.iter_batches(batch_size=rows, columns=_checked(file, path, columns))


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
    column = table[name]
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=array.type)
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
        return file.read(columns=_checked(file, path, columns))
