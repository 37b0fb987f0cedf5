"""Data pages of pixels: bytes and levels in, page out, and back.

A page is that of version 2 of the Parquet format: lengths of the repeated and
the missing, run-length encoded, then the values, compressed or not. Which column
is stored how is the business of ``tabular``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.parquet import thrift
from darkhaloscope.parquet.thrift import I32Value

PLAIN, RLE, BYTE_STREAM_SPLIT = 0, 3, 9
_DATA_PAGE_V2 = 3
PAGE_BYTES = 1 << 22
"""Most bytes of values in a page; bytes of one significance compress better in large pages."""


_PIECE = 1 << 16  # pixels that stay in the processor's cache while they are split
_scratch = threading.local()


class Form(NamedTuple):
    """What is done with pixels on their way into a file.

    Attributes
    ----------
    split : bool
        Whether bytes are grouped by significance.
    level : int or None
        Level of zstd, None for bytes as they are.
    """

    split: bool
    level: int | None


class Leaf(NamedTuple):
    """How a pixel column is written.

    Attributes
    ----------
    path : tuple of str
        Names from the root of the file's schema to the values.
    physical : int
        Parquet's number of the values' type.
    width : int
        Values per row: pixels of a list, or 1 for bytes.
    repetition, definition : int
        Greatest levels of the column.
    form : Form
        What is done with the values.
    """

    path: tuple[str, ...]
    physical: int
    width: int
    repetition: int
    definition: int
    form: Form


class Page(NamedTuple):
    """A page as it is in a file: header and levels, then values."""

    front: bytes
    values: Any
    entries: int
    raw_bytes: int

    @property
    def stored_bytes(self) -> int:
        """Bytes in the file."""
        return len(self.front) + len(self.values)


class Chunk(NamedTuple):
    """Sizes and place of the pages of a column in a row group."""

    values: int
    raw_bytes: int
    stored_bytes: int
    offset: int


def page_rows(row_bytes: int) -> int:
    """Return how many rows of a column go into a page."""
    return max(1, PAGE_BYTES // max(row_bytes, 1))


def make_page(leaf: Leaf, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Page:
    """Lay out a page.

    Parameters
    ----------
    leaf : Leaf
        How the column is written.
    pixels : ndarray, shape (m, k)
        Pixels of the rows that have some, in order.
    valid : ndarray of bool, shape (n,)
        Which rows have pixels; m of them.
    """
    values = split_bytes(pixels) if leaf.form.split else np.ascontiguousarray(pixels)
    # Arrow's buffer of an empty array has no address; none is needed.
    body: Any = pa.py_buffer(values) if values.size else b""
    if leaf.form.level is not None:
        body = pa.Codec("zstd", leaf.form.level).compress(body)
    elif leaf.form.split:
        body = bytes(body)  # the memory serves the next page
    return _page(leaf, body, values.nbytes, valid)


def split_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the lowest bytes of all pixels, then the next ones, and so on.

    Returns
    -------
    ndarray of uint8, shape (itemsize, n)
        In memory that the next call of this thread overwrites.
    """
    size = pixels.dtype.itemsize
    words = np.ascontiguousarray(pixels).reshape(-1).view(f"<u{size}")
    if getattr(_scratch, "room", np.empty(0)).size < size * words.size:
        _scratch.room = np.empty(max(size * words.size, PAGE_BYTES), np.uint8)
    out: NDArray[np.uint8] = _scratch.room[: size * words.size].reshape(size, words.size)
    shifted = np.empty(_PIECE, words.dtype)
    for start in range(0, words.size, _PIECE):
        piece = words[start : start + _PIECE]
        for k in range(size):
            # Narrowing keeps the lowest byte; whole vectors move, not single bytes.
            right = np.right_shift(piece, words.dtype.type(8 * k), out=shifted[: piece.size])
            out[k, start : start + _PIECE] = right
    return out


def _page(leaf: Leaf, body: Any, raw: int, valid: NDArray[np.bool_]) -> Page:
    """Put header and levels before the values of a page."""
    n, missing = len(valid), int(len(valid) - valid.sum())
    repetition, definition = levels(leaf, valid)
    entries = missing + (n - missing) * leaf.width
    before = len(repetition) + len(definition)
    header = thrift.encode_struct(
        {
            1: I32Value(_DATA_PAGE_V2),
            2: I32Value(before + raw),
            3: I32Value(before + len(body)),
            8: {
                1: I32Value(entries),
                2: I32Value(missing),
                3: I32Value(n),
                4: I32Value(encoding_of(leaf)),
                5: I32Value(len(definition)),
                6: I32Value(len(repetition)),
                7: leaf.form.level is not None,
            },
        }
    )
    front = header + repetition + definition
    return Page(front, body, entries, len(front) + raw)


def pages_of(pages: Sequence[Page], offset: int) -> Chunk:
    """Return what a footer says of the pages of a column that begin at a byte of the file."""
    return Chunk(
        values=sum(page.entries for page in pages),
        raw_bytes=sum(page.raw_bytes for page in pages),
        stored_bytes=sum(page.stored_bytes for page in pages),
        offset=offset,
    )


def encoding_of(leaf: Leaf) -> int:
    """Return Parquet's number of the encoding of a column's values."""
    return BYTE_STREAM_SPLIT if leaf.form.split else PLAIN


def levels(leaf: Leaf, valid: NDArray[np.bool_]) -> tuple[bytes, bytes]:
    """Return repetition and definition levels of a column, as runs.

    A row with pixels is ``width`` entries of the greatest definition level, of
    which all but the first repeat; a row without is one entry of level 0.
    """
    everywhere = bool(valid.all())
    repetition = b""
    if leaf.repetition:
        row = _run(1, 0) + (_run(leaf.width - 1, 1) if leaf.width > 1 else b"")
        missing = _run(1, 0)
        repetition = row * len(valid) if everywhere else b"".join(row if v else missing for v in valid)
    if not leaf.definition:
        return repetition, b""
    if everywhere:
        return repetition, _run(len(valid) * leaf.width, leaf.definition) if len(valid) else b""
    runs = [
        _run(part.size * leaf.width, leaf.definition) if part[0] else _run(part.size, 0)
        for part in np.split(valid, np.flatnonzero(np.diff(valid)) + 1)
    ]
    return repetition, b"".join(runs)


def _run(count: int, level: int) -> bytes:
    """Return a run of Parquet's hybrid encoding; levels are below 256."""
    return thrift.varint(count << 1) + bytes([level])
