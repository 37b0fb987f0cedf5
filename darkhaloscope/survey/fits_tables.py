"""Columns of FITS tables as native arrays, with errors that name file and column.

Whole tables for the brick summaries, chunks for the sweeps. Truncation is
found before the first row is used.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe

Columns = dict[str, NDArray[Any]]

UNREADABLE = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError, zlib.error)
"""What astropy raises on damaged files."""


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
    DataError
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
        raise DataError(
            describe(
                f"{what} cannot be read",
                file=path,
                expected="a complete FITS file",
                got=f"{path.stat().st_size} bytes; {str(error).splitlines()[0] if str(error) else error!r}",
                hint="fetch the file again and compare its size with the survey's",
            )
        ) from error


def read_columns(path: str | Path, names: Sequence[str], what: str) -> Columns:
    """Read columns of the first table of a file, whatever the case of their names.

    Parameters
    ----------
    path : path
        FITS file with a binary table in extension 1.
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
    DataError
        If the table is empty or lacks a column.
    """
    chunks = list(iter_columns(path, names, what, rows=1 << 40))
    return chunks[0]


def iter_columns(path: str | Path, names: Sequence[str], what: str, rows: int) -> Iterator[Columns]:
    """Stream columns of the first table of a file in chunks of at most ``rows`` rows.

    Raises
    ------
    DataError
        If the table is empty, truncated or lacks a column.
    """
    with open_fits(path, what) as hdus:
        table = _table_hdu(hdus, path, what)
        known = {column.name.upper(): column.name for column in table.columns}
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
        total = int(table.header["NAXIS2"])
        if total == 0:
            raise DataError(
                describe(
                    f"{what} holds no rows",
                    file=path,
                    expected="at least one row",
                    got=0,
                    hint="fetch the file again; the survey publishes no empty table",
                )
            )
        for start in range(0, total, rows):
            chunk = table.data[start : start + rows]
            yield {name: _native(chunk[known[name.upper()]]) for name in names}


def _table_hdu(hdus: fits.HDUList, path: str | Path, what: str) -> Any:
    for hdu in hdus:
        if isinstance(hdu, fits.BinTableHDU):
            return hdu
    raise DataError(describe(f"{what} holds no table", file=path, expected="a binary table"))


def _native(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind in "SU":
        return np.char.strip(array.astype(str))
    native: NDArray[Any] = array.astype(array.dtype.newbyteorder("="))
    return native
