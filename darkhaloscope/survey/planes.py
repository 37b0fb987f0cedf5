"""One plane of a brick's coadds: opened and checked, each compressed tile decoded at most once.

Pixels only. Which planes a stamp needs, and what their faults mean for it, is
in ``coadds``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from darkhaloscope.errors import DataError
from darkhaloscope.survey.fits_tables import UNREADABLE, open_fits

_UNCOMPRESSED_BLOCK = (100, 100)
"""Rows and columns read at once of an image without tiles."""

_WCS_CARDS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")
_DESCRIPTORS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_BYTES = {"B": 1, "I": 2, "J": 4, "E": 4, "D": 8}


class PlaneError(Exception):
    """A plane's bytes are damaged or contradict the brick's grid; the message says how."""


class _Sliced(Protocol):
    """What reads a section of an image."""

    def __getitem__(self, index: tuple[slice, slice]) -> Any: ...


class Plane:
    """An image extension that is read in sections; from :func:`open_plane`, closed by :meth:`close`.

    Parameters
    ----------
    context : context manager
        Holds the file open.
    hdu : CompImageHDU or ImageHDU
        The image.
    """

    def __init__(self, context: Any, hdu: Any) -> None:
        self._context = context
        self.header = hdu.header
        self.shape: tuple[int, int] = (int(hdu.shape[0]), int(hdu.shape[1]))
        self._section: _Sliced = hdu.section
        self._tile = tuple(int(n) for n in getattr(hdu, "tile_shape", _UNCOMPRESSED_BLOCK))
        tiles = [-(-size // side) for size, side in zip(self.shape, self._tile, strict=True)]
        self._decoded = np.zeros(tiles, dtype=bool)

    def close(self) -> None:
        """Close the file."""
        self._context.__exit__(None, None, None)

    def section(self, y: tuple[int, int], x: tuple[int, int], canvas: NDArray[Any]) -> NDArray[Any]:
        """Return the pixels of rows ``y`` and columns ``x``, half open.

        Parameters
        ----------
        y, x : (int, int)
            Inside the plane.
        canvas : ndarray, shape of the plane
            Where decoded tiles are kept; the same for every call.

        Returns
        -------
        ndarray
            A view of ``canvas``.

        Raises
        ------
        PlaneError
            If a tile cannot be decoded.
        """
        high, wide = self._tile
        first = (y[0] // high, x[0] // wide)
        missing = ~self._decoded[first[0] : -(-y[1] // high), first[1] : -(-x[1] // wide)]
        if missing.any():
            rows, columns = np.flatnonzero(missing.any(axis=1)), np.flatnonzero(missing.any(axis=0))
            tiles = np.s_[
                first[0] + rows[0] : first[0] + rows[-1] + 1,
                first[1] + columns[0] : first[1] + columns[-1] + 1,
            ]
            pixels = (
                slice(tiles[0].start * high, min(tiles[0].stop * high, self.shape[0])),
                slice(tiles[1].start * wide, min(tiles[1].stop * wide, self.shape[1])),
            )
            target = canvas[pixels]
            try:
                decoded = np.asarray(self._section[pixels])
            except Exception as error:  # the decoders raise a class that astropy does not export
                raise PlaneError(f"{type(error).__name__}: {error}") from error
            if decoded.shape != target.shape:
                raise PlaneError(f"section has shape {decoded.shape}, not {target.shape}")
            target[...] = decoded
            self._decoded[tiles] = True
        return canvas[y[0] : y[1], x[0] : x[1]]


def open_plane(path: Path, what: str, like: Plane | None = None) -> Plane:
    """Open the image of a coadd file: extension 1, as fpack writes it.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it is, for messages.
    like : Plane, optional
        A plane of the same brick, whose grid this one must have.

    Raises
    ------
    MissingDataError
        If it does not exist.
    PlaneError
        If it is damaged, or its grid is another.
    """
    context = open_fits(path, what)
    try:
        hdus = context.__enter__()
    except DataError as error:
        if type(error) is not DataError:  # absent, which is the caller's to name
            raise
        raise PlaneError(str(error)) from error
    try:
        return Plane(context, _image(hdus, like))
    except UNREADABLE as error:
        context.__exit__(None, None, None)
        raise PlaneError(f"{type(error).__name__}: {error}") from error
    except PlaneError:
        context.__exit__(None, None, None)
        raise


def _image(hdus: Any, like: Plane | None) -> Any:
    """Return the checked image extension."""
    hdu = hdus[1]
    if not isinstance(hdu, fits.CompImageHDU | fits.ImageHDU) or len(hdu.shape) != 2:
        raise PlaneError(f"extension 1 is {type(hdu).__name__}")
    if like is not None:
        if tuple(hdu.shape) != like.shape:
            raise PlaneError(f"shape {hdu.shape}, image has {like.shape}")
        for card in _WCS_CARDS:
            # All products of a brick share one pixel grid; another grid is another brick's file.
            if card in hdu.header and not np.isclose(hdu.header[card], like.header[card], rtol=0, atol=1e-9):
                raise PlaneError(f"{card} {hdu.header[card]} is not {like.header[card]}")
    if isinstance(hdu, fits.CompImageHDU):
        _check_descriptors(hdu)
        _parse_header_once(hdu)
    return hdu


def _check_descriptors(hdu: Any) -> None:
    """Refuse tiles that point out of the file: the decoders follow such a pointer into a crash."""
    bintable, table = _bintable(hdu), hdu.compressed_data
    header = bintable.header
    rows, width, heap = header["NAXIS2"], header["NAXIS1"], header["PCOUNT"]
    tiles = np.prod([-(-size // side) for size, side in zip(hdu.shape, hdu.tile_shape, strict=True)])
    if rows != tiles:
        raise PlaneError(f"{rows} compressed tiles, the grid has {tiles}")
    heap -= max(header.get("THEAP", 0) - rows * width, 0)
    for name in _DESCRIPTORS:
        if name not in table.dtype.names:
            continue
        letter = bintable.columns[name].format.removeprefix("1")[1]
        count, offset = np.asarray(table[name], dtype=np.int64).T
        if (count < 0).any() or (offset < 0).any() or (offset + count * _BYTES[letter] > heap).any():
            raise PlaneError(f"{name} points out of the file")


def _parse_header_once(hdu: Any) -> None:
    """Make sections of a compressed image cheap: astropy parses the cards anew for every one."""
    bintable = _bintable(hdu)
    bintable.header = {card.keyword: card.value for card in bintable.header.cards}


def _bintable(hdu: Any) -> Any:
    """Return the table of tiles behind a compressed image; astropy has no public name for it."""
    return hdu._bintable  # noqa: SLF001
