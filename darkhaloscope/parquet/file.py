"""A Parquet file whose pixel columns are pages made elsewhere and whose other columns Arrow writes.

Arrow writes row groups of all but the pixels to a sink that counts and hashes
every byte; pages of pixels go to the same file after them. The footer joins
both: its schema is what Arrow writes for a file of all columns, its row groups
are listed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from darkhaloscope.parquet import thrift
from darkhaloscope.parquet.pages import RLE, Chunk, Form, Leaf, Page, encoding_of, pages_of
from darkhaloscope.parquet.thrift import I32Value

_MAGIC = b"PAR1"
_ROWS, _ROW_GROUPS = 3, 4
_PHYSICAL = {
    "BOOLEAN": 0,
    "INT32": 1,
    "INT64": 2,
    "FLOAT": 4,
    "DOUBLE": 5,
    "BYTE_ARRAY": 6,
    "FIXED_LEN_BYTE_ARRAY": 7,
}
_ALIGNMENT = 64
_CODECS = {"none": 0, "snappy": 1, "zstd": 6}


class Sink:
    """A file that hashes what is written to it, for Arrow to write to."""

    closed = False

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=1 << 16)  # noqa: SIM115  # closed by ``close``
        self._digest = hashlib.sha256()
        self._silent = False
        self.bytes = 0

    def write(self, data: Any) -> int:
        """Append bytes, unless the sink is silent."""
        if not self._silent:
            self._file.write(data)
            self.bytes += len(data)
            self.hash(data)
        return len(data)

    def hash(self, data: Any) -> None:
        """Take bytes into the hash of the file."""
        self._digest.update(data)

    def silence(self) -> None:
        """Drop what is written from now on."""
        self._silent = True

    def finish(self, data: bytes) -> str:
        """Append the last bytes, close the file and return its hash."""
        self._silent = False
        self.write(data)
        self.close()
        return self._digest.hexdigest()

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is closed."""

    def readable(self) -> bool:
        """Return False: Arrow asks."""
        return False

    def writable(self) -> bool:
        """Return True: Arrow asks."""
        return True

    def seekable(self) -> bool:
        """Return False: Arrow asks."""
        return False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PixelFile:
    """Writes one file, row group by row group.

    Parameters
    ----------
    path : Path
        The file.
    schema : pyarrow.Schema
        All columns as they are stored; only the pixel columns may be nested.
    pixels : mapping of str to Form
        How the pixels of each pixel column are stored.
    compression : str
        Of the other columns.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        pixels: Mapping[str, Form],
        compression: str,
    ) -> None:
        self._layout = _layout(schema.serialize().to_pybytes(), tuple(pixels.items()), compression)
        self.leaves = self._layout.leaves
        self._names = schema.names
        self._rows = 0
        self._pages_bytes = 0
        self._sink = Sink(path)
        others = pa.schema([schema.field(name) for name in schema.names if name not in pixels])
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            others,
            store_schema=False,
            **_options(compression),
        )
        self._others: list[tuple[int, dict[str, Chunk]]] = []

    def write_group(self, others: pa.Table, pages: Mapping[str, Sequence[Page]]) -> None:
        """Append a row group: its other columns, and the pages of every pixel column."""
        # Arrow counts its own bytes alone.
        ahead = self._pages_bytes
        self._writer.write_table(others, others.num_rows)
        chunks: dict[str, Chunk] = {}
        for name in self.leaves:
            if self.leaves[name].form.level is None and not self.leaves[name].form.split:
                # Pixels as they are begin at a whole number, to be used where they lie.
                gap = -(self._sink.bytes + len(pages[name][0].front)) % _ALIGNMENT
                self._sink.write(bytes(gap))
                self._pages_bytes += gap
            chunks[name] = pages_of(pages[name], self._sink.bytes)
            for page in pages[name]:
                self._sink.write(page.front)
                self._sink.write(page.values)
            self._pages_bytes += chunks[name].stored_bytes
        self._others.append((ahead, chunks))
        self._rows += others.num_rows

    def close(self) -> tuple[int, str]:
        """Write the footer; return the size of the file and its SHA-256."""
        metadata = self._end()
        groups = [
            self._group(metadata.row_group(i), ahead, pixels)
            for i, (ahead, pixels) in enumerate(self._others)
        ]
        footer = b"".join(
            (
                self._layout.before_rows,
                thrift.zigzag(self._rows),
                self._layout.before_groups,
                thrift.list_header(thrift.STRUCT, len(groups)),
                *groups,
                self._layout.after_groups,
            )
        )
        sha256 = self._sink.finish(footer + len(footer).to_bytes(4, "little") + _MAGIC)
        return self._sink.bytes, sha256

    def abandon(self) -> None:
        """Close the file as it is."""
        self._end()
        self._sink.close()

    def _end(self) -> Any:
        """End Arrow's part and return what it says of it, without its footer."""
        self._sink.silence()
        self._writer.close()
        return self._writer.writer.metadata

    def _group(self, group: Any, ahead: int, pixels: Mapping[str, Chunk]) -> bytes:
        """Return a row group of the footer, with its columns in the order of the schema."""
        chunks = []
        at = 0
        for name in self._names:
            if name in pixels:
                chunks.append(pixels[name])
                continue
            column = group.column(at)
            chunks.append(
                Chunk(
                    column.num_values,
                    column.total_uncompressed_size,
                    column.total_compressed_size,
                    column.data_page_offset + ahead,
                )
            )
            at += 1
        columns = [front + _chunk(chunk) for front, chunk in zip(self._layout.columns, chunks, strict=True)]
        rest = thrift.encode_struct(
            {
                2: sum(chunk.raw_bytes for chunk in chunks),
                3: group.num_rows,
                6: sum(chunk.stored_bytes for chunk in chunks),
            },
            after=1,
        )
        return _COLUMN_LIST + thrift.list_header(thrift.STRUCT, len(columns)) + b"".join(columns) + rest


class _Layout(NamedTuple):
    """What all files of one schema have in common.

    Attributes
    ----------
    leaves : dict of str to Leaf
        How the pixel columns are written.
    columns : tuple of bytes
        Of every column, what a footer says of it in every row group.
    before_rows, before_groups, after_groups : bytes
        The footer around its number of rows and its row groups.
    """

    leaves: dict[str, Leaf]
    columns: tuple[bytes, ...]
    before_rows: bytes
    before_groups: bytes
    after_groups: bytes


_COLUMN_LIST = bytes([1 << 4 | thrift.LIST])


def _chunk(chunk: Chunk) -> bytes:
    """Return the end of a column chunk of the footer: fields 5, 6, 7 and 9 of its metadata."""
    zigzag = thrift.zigzag
    return b"".join(
        (
            b"\x16",
            zigzag(chunk.values),
            b"\x16",
            zigzag(chunk.raw_bytes),
            b"\x16",
            zigzag(chunk.stored_bytes),
            b"\x26",
            zigzag(chunk.offset),
            b"\x00\x00",
        )
    )


@lru_cache(maxsize=16)
def _layout(schema: bytes, pixels: tuple[tuple[str, Form], ...], compression: str) -> _Layout:
    """Let Arrow write an empty file of a schema and take its footer apart."""
    sink = pa.BufferOutputStream()
    columns = pa.ipc.read_schema(pa.py_buffer(schema))
    pq.ParquetWriter(sink, columns, **_options(compression)).close()
    data = sink.getvalue().to_pybytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    at = {field.number: field for field in thrift.fields_of(footer, 0)}
    fronts, leaves = [], {}
    for leaf in _leaves(pq.ParquetFile(pa.BufferReader(data)).schema, columns, dict(pixels)):
        if leaf.path[0] in dict(pixels):
            leaves[leaf.path[0]] = leaf
            codec = "none" if leaf.form.level is None else "zstd"
        else:
            codec = compression
        fronts.append(_front(leaf, _CODECS[codec]))
    return _Layout(
        leaves,
        tuple(fronts),
        footer[: at[_ROWS].value],
        footer[at[_ROWS].stop : at[_ROW_GROUPS].value],
        footer[at[_ROW_GROUPS].stop :],
    )


def _front(leaf: Leaf, codec: int) -> bytes:
    """Return the beginning of a column chunk of the footer, up to field 4 of its metadata."""
    metadata: dict[int, thrift.Value] = {
        1: I32Value(leaf.physical),
        2: [RLE, encoding_of(leaf)],
        3: [name.encode() for name in leaf.path],
        4: I32Value(codec),
    }
    chunk = thrift.encode_struct({2: 0, 3: metadata})
    return chunk[:-2]  # both structs go on


def _leaves(found: pq.ParquetSchema, columns: pa.Schema, pixels: Mapping[str, Form]) -> Iterator[Leaf]:
    """Yield how each column is written, in order."""
    for at in range(len(found.names)):
        column = found.column(at)
        path = tuple(column.path.split("."))
        kind = columns.field(path[0]).type
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        form = pixels.get(path[0], Form(split=False, level=None))
        yield Leaf(
            path,
            _PHYSICAL[column.physical_type],
            kind.list_size if pa.types.is_fixed_size_list(kind) else 1,
            column.max_repetition_level,
            column.max_definition_level,
            form,
        )


def _options(compression: str) -> dict[str, Any]:
    """Return how Arrow writes."""
    return {"compression": compression, "use_dictionary": False, "write_statistics": False}
