"""Compressed images of FITS files, read tile by tile without building header objects.

A brick's ten files are opened for a few tiles each, so opening is what sparse
bricks cost. The cards, the table of tiles and its checks are read here; the
tiles are decoded by astropy. Images without compression are in ``planes``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._tiled_compression import decompress_image_data_section
from numpy.typing import NDArray

BLOCK = 2880
"""Bytes of a FITS block."""

_CARD = 80
_DESCRIPTORS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_TABLE_KINDS = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_WCS_CARD = re.compile(
    r"(C(TYPE|RVAL|RPIX|DELT|UNIT|ROTA)\d|(CD|PC|PV)\d+_\d+|(LONPOLE|LATPOLE|RADESYS|EQUINOX|WCSAXES)) *="
)
_POINTERS = {"P": ">i4", "Q": ">i8"}

Cards = dict[str, Any]


class TileError(Exception):
    """The bytes of a file are damaged or of a kind that no survey image has; the message says how."""


class Extension(NamedTuple):
    """One header-data unit.

    Parameters
    ----------
    cards : dict
        Value by keyword; the first of repeated ones. No commentary, no HIERARCH.
    text : str
        The cards as they are.
    offset, size : int
        Bytes: where its data begin, and how many there are without padding.
    """

    cards: Cards
    text: str
    offset: int
    size: int


def iter_extensions(handle: BinaryIO) -> Iterator[Extension]:
    """Yield every header-data unit of a file.

    Raises
    ------
    TileError
        If the file is not FITS, or ends inside a unit.
    """
    total = os.fstat(handle.fileno()).st_size
    start = 0
    while start < total:
        text = _header_text(handle, start)
        if start == 0 and not text.startswith("SIMPLE  ="):
            raise TileError("not a FITS file")
        cards = parse_cards(text)
        offset, size = start + len(text), _data_bytes(cards)
        start = offset + -(-size // BLOCK) * BLOCK
        if start > total:
            raise TileError(f"ends at byte {total}, its headers promise {start}")
        yield Extension(cards, text, offset, size)


def parse_cards(text: str) -> Cards:
    """Return the values of a header of 80-character cards."""
    cards: Cards = {}
    for at in range(0, len(text), _CARD):
        if text[at + 8 : at + 10] == "= ":
            key = text[at : at + 8].rstrip()
            if key not in cards:
                cards[key] = _value(text[at + 10 : at + _CARD])
    return cards


class TiledImage:
    """A compressed image of two dimensions.

    Parameters
    ----------
    handle : binary file
        Open; closed by :meth:`close`.
    extension : Extension
        A table with ZIMAGE.

    Raises
    ------
    TileError
        If the cards do not describe such an image, or a tile points out of the file.
    """

    def __init__(self, handle: BinaryIO, extension: Extension) -> None:
        cards = extension.cards
        if cards.get("ZNAXIS") != 2:
            raise TileError(f"image of {cards.get('ZNAXIS')} axes")
        for name, plain in (("BSCALE", 1), ("BZERO", 0), ("BLANK", None)):
            if cards.get(name, plain) != plain:
                raise TileError(f"{name} {cards[name]}: scaled integers are no survey image")
        self._handle, self._extension = handle, extension
        self.cards = cards
        self.shape = int(cards["ZNAXIS2"]), int(cards["ZNAXIS1"])
        self.tile_shape = int(cards["ZTILE2"]), int(cards["ZTILE1"])
        if min(*self.shape, *self.tile_shape) < 1:
            raise TileError(f"tiles of {self.tile_shape} in an image of {self.shape}")
        self._table = _read_table(handle, extension)
        self._heap = _Heap(handle, extension)
        _check_pointers(self._table, self)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    @property
    def header(self) -> fits.Header:
        """Return the cards of the coordinate system, character by character, and the axes of the image."""
        text = self._extension.text
        lines = (text[at : at + _CARD] for at in range(0, len(text), _CARD))
        header = fits.Header.fromstring("".join(line for line in lines if _WCS_CARD.match(line)))
        header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, self.shape[1], self.shape[0]
        return header

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[Any]:
        """Return the pixels of whole tiles.

        Parameters
        ----------
        index : (slice, slice)
            Rows and columns that begin with a tile and end with one or with the image.
        """
        spans = list(zip(index, self.tile_shape, strict=True))
        first = np.array([part.start // side for part, side in spans])
        last = np.array([(part.stop - 1) // side for part, side in spans])
        pixels: NDArray[Any] = decompress_image_data_section(
            self._table, self.cards["ZCMPTYPE"], self.cards, self._heap, self.cards, first, last
        )
        return pixels


def open_tiled(path: Path) -> TiledImage | None:
    """Open the first extension of a file as a compressed image; None if it is none.

    Raises
    ------
    TileError
        If the file is damaged.
    """
    handle = path.open("rb")
    try:
        extensions = list(iter_extensions(handle))
        if len(extensions) > 1 and extensions[1].cards.get("ZIMAGE") is True:
            image = TiledImage(handle, extensions[1])
            handle = None  # type: ignore[assignment]  # the image closes it
            return image
    except (KeyError, IndexError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise TileError(f"{type(error).__name__}: {error}") from error
    finally:
        if handle is not None:
            handle.close()
    return None


class _Heap:
    """The heap of tiles, under the names by which astropy's decoder asks for it."""

    def __init__(self, handle: BinaryIO, extension: Extension) -> None:
        self._handle = handle
        self._data_offset = extension.offset
        rows = extension.cards["NAXIS1"] * extension.cards["NAXIS2"]
        self._theap = int(extension.cards.get("THEAP", rows))

    def _get_raw_data(self, count: int, kind: Any, offset: int) -> NDArray[Any]:
        kind = np.dtype(kind)
        raw = os.pread(self._handle.fileno(), int(count) * kind.itemsize, int(offset))
        return np.frombuffer(raw, dtype=kind)


class _TileTable:
    """The rows of tiles, under the names by which astropy's decoder asks for them."""

    def __init__(self, rows: NDArray[Any], formats: Mapping[str, str]) -> None:
        # Columns as native arrays of their own: the decoder copies them for every section.
        self._columns = {name: _native(rows[name]) for name in formats}
        self.dtype = rows.dtype
        self._coldefs = _Formats(rows.dtype, formats)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def item_bytes(self, name: str) -> int:
        """Return the bytes of what a column of pointers points to."""
        return np.dtype(_TABLE_KINDS[self._coldefs[name].format.removeprefix("1")[1]]).itemsize


class _Formats:
    def __init__(self, dtype: np.dtype[Any], formats: Mapping[str, str]) -> None:
        self.dtype = dtype
        self._formats = {name: SimpleNamespace(format=form) for name, form in formats.items()}

    def __getitem__(self, name: str) -> SimpleNamespace:
        return self._formats[name]


def _read_table(handle: BinaryIO, extension: Extension) -> _TileTable:
    cards = extension.cards
    formats: dict[str, str] = {}
    kinds: list[tuple[Any, ...]] = []
    for number in range(1, int(cards["TFIELDS"]) + 1):
        name, form = cards[f"TTYPE{number}"], cards[f"TFORM{number}"].strip()
        letters = form.removeprefix("1")
        if letters[0] in _POINTERS and letters[1] in _TABLE_KINDS:
            kinds.append((name, _POINTERS[letters[0]], (2,)))
        elif letters in _TABLE_KINDS:
            kinds.append((name, _TABLE_KINDS[letters], ()))
        else:
            raise TileError(f"column {name} of format {form}")
        formats[name] = form
    dtype, rows = np.dtype(kinds), int(cards["NAXIS2"])
    if "COMPRESSED_DATA" not in formats or dtype.itemsize != cards["NAXIS1"]:
        raise TileError(f"table of tiles with columns {list(formats)}, rows of {cards['NAXIS1']} bytes")
    raw = os.pread(handle.fileno(), rows * dtype.itemsize, extension.offset)
    return _TileTable(np.frombuffer(raw, dtype=dtype), formats)


def _check_pointers(table: _TileTable, image: TiledImage) -> None:
    """Refuse tiles that point out of the file: the decoders follow such a pointer into a crash."""
    cards = image.cards
    tiles = int(np.prod([-(-n // side) for n, side in zip(image.shape, image.tile_shape, strict=True)]))
    if len(table) != tiles:
        raise TileError(f"{len(table)} compressed tiles, the grid has {tiles}")
    rows = cards["NAXIS1"] * cards["NAXIS2"]
    heap = cards["PCOUNT"] - max(cards.get("THEAP", rows) - rows, 0)
    for name in _DESCRIPTORS:
        if name in table:
            count, offset = table[name].astype(np.int64).T
            beyond = offset + count * table.item_bytes(name) > heap
            if (count < 0).any() or (offset < 0).any() or beyond.any():
                raise TileError(f"{name} points out of the file")


def _native(column: NDArray[Any]) -> NDArray[Any]:
    return column.astype(column.dtype.newbyteorder("="))


def _header_text(handle: BinaryIO, start: int) -> str:
    """Return the blocks of a header, up to that with its END."""
    handle.seek(start)
    text = ""
    while block := handle.read(BLOCK):
        if len(block) < BLOCK:
            break
        text += block.decode("latin-1")
        for at in range(len(text) - BLOCK, len(text), _CARD):
            if text.startswith("END     ", at):
                return text
    raise TileError(f"header at byte {start} has no end")


def _data_bytes(cards: Cards) -> int:
    """Return the bytes of a unit's data (FITS 4.0, equations 1 and 2)."""
    axes = [int(cards[f"NAXIS{i}"]) for i in range(1, int(cards["NAXIS"]) + 1)]
    if not axes:
        return 0
    items = int(cards.get("GCOUNT", 1)) * (int(cards.get("PCOUNT", 0)) + int(np.prod(axes, dtype=object)))
    size = abs(int(cards["BITPIX"])) // 8 * items
    if size < 0 or min(axes) < 0:
        raise TileError(f"axes of {axes} with BITPIX {cards['BITPIX']}")
    return size


def _value(field: str) -> Any:
    """Return the value of a card: text, truth, whole or real number; None if it has none."""
    field = field.strip()
    if field.startswith("'"):
        end = field.find("'", 1)
        while field.startswith("''", end):
            end = field.find("'", end + 2)
        return field[1:end].replace("''", "'").rstrip()
    field = field.partition("/")[0].strip()
    if field in ("T", "F"):
        return field == "T"
    try:
        return int(field)
    except ValueError:
        try:
            return float(field.replace("D", "E"))
        except ValueError:
            return field or None
