"""Pixel pages of a file, seen in place or decompressed, row group by row group.

Rows without pixels take no room in a page and none here. Any Parquet file will
do whose pixel columns are fixed-size bytes that are not dictionaries.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.parquet import thrift

_DATA_PAGE, _DATA_PAGE_V2 = 0, 3
_PLAIN = 0


class Stored(NamedTuple):
    """Pixels of a row group.

    Attributes
    ----------
    values : ndarray of uint8, shape (m, bytes per row)
        Bytes of the rows that have pixels, in order. They may lie in the file:
        read-only, and gone when the next row group is asked for.
    valid : ndarray of bool, shape (n,)
        Which rows these are.
    """

    values: NDArray[np.uint8]
    valid: NDArray[np.bool_]


class PixelView:
    """A file whose pixel pages are looked at; a context manager.

    Parameters
    ----------
    path : Path
        The file.
    metadata : pyarrow.parquet.FileMetaData
        Its footer.
    """

    def __init__(self, path: Path, metadata: pq.FileMetaData) -> None:
        self._path = path
        self._metadata = metadata
        self._column = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._seen: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The map closes itself when the last array that lies in it is gone.
        del self._map

    def read(self, group: int, name: str) -> Stored:
        """Return the pixels of a column of fixed-size bytes.

        Raises
        ------
        DataError
            If the pages are of a kind that this module does not know.
        """
        at = self._column[name]
        chunk = self._metadata.row_group(group).column(at)
        column = self._metadata.schema.column(at)
        codec = chunk.compression.lower()
        width, start, left = column.length, chunk.data_page_offset, chunk.num_values
        self._seen += [start, start + chunk.total_compressed_size]
        values, valid = [], []
        while left > 0:
            page = self._page(start, codec, column.max_definition_level, name)
            values.append(page.values.reshape(-1, width))
            valid.append(page.valid)
            start, left = page.stop, left - len(page.valid)
        if len(values) == 1:
            return Stored(values[0], valid[0])
        return Stored(np.concatenate(values), np.concatenate(valid))

    def forget(self) -> None:
        """Return the memory of what was read so far, which the map holds, to the system."""
        if self._seen:
            first = min(self._seen) // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, first, max(self._seen) - first)
        self._seen = []

    def _page(self, start: int, codec: str, definition: int, name: str) -> _Read:
        """Take the page apart that begins at a byte of the file."""
        # Headers are tens of bytes.
        head = self._map[start : start + 512]
        header = {field.number: field for field in thrift.fields_of(head, 0)}
        kind, raw, stored = (thrift.read_int(head, header[i].value) for i in (1, 2, 3))
        body, stop = start + header[0].stop, start + header[0].stop + stored
        if kind not in (_DATA_PAGE, _DATA_PAGE_V2):
            raise self._unknown(name, f"page type {kind}")
        inner = header[5 if kind == _DATA_PAGE else 8]
        page = {f.number: f for f in thrift.fields_of(head, inner.value)}
        entries = thrift.read_int(head, page[1].value)
        if (encoding := thrift.read_int(head, page[2 if kind == _DATA_PAGE else 4].value)) != _PLAIN:
            raise self._unknown(name, f"encoding {encoding}")
        if kind == _DATA_PAGE_V2:
            length = thrift.read_int(head, page[5].value)
            plain = 7 in page and page[7].kind == thrift.BOOLS[1]
            levels = self._map[body : body + length]
            data = self._bytes(body + length, stop, "uncompressed" if plain else codec, raw - length)
        else:
            data = self._bytes(body, stop, codec, raw)
            length = int.from_bytes(data[:4].tobytes(), "little") if definition else -4
            levels, data = data[4 : 4 + length].tobytes(), data[4 + length :]
        valid = read_levels(levels, entries) if definition else np.ones(entries, bool)
        return _Read(data, valid, stop)

    def _bytes(self, start: int, stop: int, codec: str, raw: int) -> NDArray[np.uint8]:
        here = np.frombuffer(self._map, np.uint8, stop - start, start)
        if codec == "uncompressed":
            return here
        return np.frombuffer(pa.Codec(codec).decompress(pa.py_buffer(here), raw), np.uint8)

    def _unknown(self, name: str, got: Any) -> DataError:
        return DataError(
            describe(
                "Pixel pages of another kind", file=self._path, field=name, expected="plain data", got=got
            )
        )


class _Read(NamedTuple):
    values: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    stop: int


def read_levels(data: bytes, count: int) -> NDArray[np.bool_]:
    """Return levels of one bit in Parquet's hybrid of runs and packed bits."""
    parts, at, found = [], 0, 0
    while found < count:
        head, at = thrift.read_varint(data, at)
        if head & 1:
            size = head >> 1
            bits = np.unpackbits(np.frombuffer(data, np.uint8, size, at), bitorder="little")
            parts.append(bits.astype(bool))
            at += size
        else:
            parts.append(np.full(head >> 1, data[at] != 0))
            at += 1
        found += len(parts[-1])
    return np.concatenate(parts)[:count]
