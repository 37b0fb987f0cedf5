"""Columns of FITS tables as native arrays, with errors that name file and column.

Whole tables for the brick summaries, runs of rows for the sweeps: rows are read
into one buffer, never mapped, since mapped pages count as memory of the
process, and only columns that are asked for are converted. Truncation is found
before the first row is used.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe

Columns = dict[str, NDArray[Any]]

BUFFER_BYTES = 1 << 23
"""Bytes of rows in memory at a time."""

_UNSCALED = (None, "", 0, 1)

UNREADABLE = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError, zlib.error)
"""What astropy raises on damaged files."""


class DamagedFileError(DataError):
    """A FITS file is truncated, empty or not FITS at all: fetched again it may be whole."""


@contextmanager
def open_fits(path: str | Path, what: str, *, memmap: bool = True) -> Iterator[fits.HDUList]:
    """Open a FITS file; damage found while it is open becomes a ``DataError``.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it is, for the message.
    memmap : bool
        Whether data are mapped rather than read.

    Raises
    ------
    MissingDataError
        If it does not exist.
    DamagedFileError
        If it is empty, truncated or not FITS.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(describe(f"{what} not found", file=path, hint="fetch it from the survey"))
    try:
        # The handle is ours, so that it is closed even if astropy gives up half way.
        with path.open("rb") as handle:
            with warnings.catch_warnings():
                # astropy only warns of a file that is shorter than its headers say.
                warnings.filterwarnings("error", message="File may have been truncated")
                hdus = fits.open(handle, memmap=memmap)
                len(hdus)  # reads every header, and with it finds a missing end
            with hdus:
                yield hdus
    except DataError:
        raise
    except (*UNREADABLE, AstropyUserWarning) as error:
        raise DamagedFileError(
            describe(
                f"{what} cannot be read",
                file=path,
                expected="a complete FITS file",
                got=f"{path.stat().st_size} bytes; {str(error).splitlines()[0] if str(error) else error!r}",
                hint="fetch the file again and compare its size with the survey's",
            )
        ) from error


class Rows:
    """Some rows of a table; a column becomes a native array when it is asked for.

    The rows lie in the reader's buffer: take what is wanted before the next
    ones are read.

    Parameters
    ----------
    raw : structured ndarray, shape (n,)
        Rows as they are in the file.
    columns : mapping of str to astropy Column
        By name as asked for.
    """

    def __init__(self, raw: NDArray[Any], columns: Mapping[str, Any]) -> None:
        self._raw = raw
        self._columns = columns

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, name: str) -> NDArray[Any]:
        column = self._columns[name]
        values = self._raw[column.name]
        if values.dtype.kind == "S":
            return np.strings.strip(values.astype(str))
        if column.format.endswith("L"):
            return np.asarray(values == ord("T"))
        native: NDArray[Any] = values.astype(values.dtype.newbyteorder("="))
        scale, zero = column.bscale, column.bzero
        if scale in _UNSCALED and zero in _UNSCALED:
            return native
        if scale in _UNSCALED and native.dtype.kind == "i":  # unsigned integers, as FITS stores them
            return native.astype(np.int64) + int(zero)
        return native * float(scale or 1.0) + float(zero or 0.0)

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Return the rows where ``mask``, shape (n,), is true: a copy, if some are left out."""
        return self if mask.all() else Rows(self._raw[mask], self._columns)

    def at(self, rows: NDArray[np.intp]) -> Rows:
        """Return a copy of some rows, by their place here."""
        return Rows(self._raw[rows], self._columns)

    def columns(self) -> Columns:
        """Return every column as a native array of its own."""
        return {name: self[name] for name in self._columns}


def read_columns(path: str | Path, names: Sequence[str], what: str) -> Columns:
    """Read columns of the first table of a file, whatever the case of their names.

    Parameters
    ----------
    path : path
        FITS file with a binary table; may be gzipped.
    names : sequence of str
        Wanted columns; also the keys of the result.
    what : str
        What the table is, for messages.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        Native byte order; text without padding.

    Raises
    ------
    DamagedFileError
        If the table is empty or truncated.
    DataError
        If it lacks a column.
    """
    parts = [rows.columns() for rows in iter_rows(path, names, what)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def iter_rows(path: str | Path, names: Sequence[str], what: str) -> Iterator[Rows]:
    """Stream the first table of a file in runs of rows of at most ``BUFFER_BYTES``.

    Raises
    ------
    DamagedFileError
        If the table is empty or truncated.
    DataError
        If it lacks a column.
    """
    path = Path(path)
    with open_fits(path, what) as hdus:
        table = _table_hdu(hdus, path, what)
        total, start = int(table.header["NAXIS2"]), int(table.fileinfo()["datLoc"])
        layout = table.columns.dtype.newbyteorder(">")
        known = {column.name.upper(): column for column in table.columns}
        missing = [name for name in names if name.upper() not in known]
        if missing:
            raise DataError(
                describe(
                    f"{what} lacks a column",
                    file=path,
                    field=missing[0],
                    expected=f"columns {list(names)}",
                    got=f"{len(known)} columns without {missing}",
                )
            )
        if total == 0:
            raise DamagedFileError(
                describe(
                    f"{what} holds no rows",
                    file=path,
                    expected="at least one row",
                    got=0,
                    hint="fetch the file again; the survey publishes no empty table",
                )
            )
        if layout.itemsize != int(table.header["NAXIS1"]):
            raise ValueError(f"columns take {layout.itemsize} bytes of a row of {table.header['NAXIS1']}")
        wanted = {name: known[name.upper()] for name in names}
        with _opened(path) as handle:
            handle.seek(start)
            run = max(BUFFER_BYTES // layout.itemsize, 1)
            buffer = np.empty(min(run, total), dtype=layout)
            for first in range(0, total, run):
                part = buffer[: min(run, total - first)]
                if _fill(handle, memoryview(part.view(np.uint8).data)) < part.nbytes:
                    raise EOFError(f"ends in row {first} to {first + len(part)} of {total}")
                yield Rows(part, wanted)


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def _fill(handle: BinaryIO, target: memoryview) -> int:
    """Read until the target is full or the file ends; return the bytes read."""
    got = 0
    while got < len(target):
        count = handle.readinto(target[got:])  # type: ignore[attr-defined]  # both kinds of file have it
        if not count:
            break
        got += count
    return got


def _table_hdu(hdus: fits.HDUList, path: str | Path, what: str) -> Any:
    for hdu in hdus:
        if isinstance(hdu, fits.BinTableHDU):
            return hdu
    raise DamagedFileError(describe(f"{what} holds no table", file=path, expected="a binary table"))
