"""One plane of a brick's coadds: opened and checked, each compressed tile decoded at most once.

Pixels only. Which planes a stamp needs, and what their faults mean for it, is
in ``coadds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey.fits_tables import UNREADABLE, open_fits
from darkhaloscope.survey.tiled import TiledImage, TileError, open_tiled

_UNCOMPRESSED_BLOCK = (100, 100)
"""Rows and columns read at once of an image without tiles."""

_WCS_CARDS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")
_WCS_TOLERANCE = 1e-9


class PlaneError(Exception):
    """A plane's bytes are damaged or contradict the brick's grid; the message says how."""


class _Sliced(Protocol):
    """What reads a section of an image."""

    def __getitem__(self, index: tuple[slice, slice]) -> Any: ...


class Plane:
    """An image extension that is read in sections; from :func:`open_plane`, closed by :meth:`close`.

    Parameters
    ----------
    image : TiledImage or ImageHDU
        The image.
    context : context manager, optional
        What holds an image without compression open.
    """

    def __init__(self, image: Any, context: Any = None) -> None:
        self._image, self._context = image, context
        tiled = isinstance(image, TiledImage)
        self.cards: Mapping[str, Any] = image.cards if tiled else image.header
        self.shape: tuple[int, int] = (int(image.shape[0]), int(image.shape[1]))
        self._section: _Sliced = image if tiled else image.section
        self._tile: tuple[int, int] = image.tile_shape if tiled else _UNCOMPRESSED_BLOCK
        tiles = [-(-size // side) for size, side in zip(self.shape, self._tile, strict=True)]
        self._decoded = np.zeros(tiles, dtype=bool)

    @property
    def header(self) -> fits.Header:
        """Return the image's cards, for its WCS."""
        return self._image.header

    def close(self) -> None:
        """Close the file."""
        if self._context is None:
            self._image.close()
        else:
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
    if not path.is_file():
        raise MissingDataError(describe(f"{what} not found", file=path, hint="fetch it from the survey"))
    try:
        tiled = open_tiled(path)
    except (TileError, OSError) as error:
        raise PlaneError(str(error)) from error
    plane = _uncompressed(path, what) if tiled is None else Plane(tiled)
    try:
        _require_grid(plane, like)
    except PlaneError:
        plane.close()
        raise
    return plane


def _uncompressed(path: Path, what: str) -> Plane:
    """Open an image that is not compressed."""
    context = open_fits(path, what)
    try:
        hdus = context.__enter__()
    except DataError as error:
        raise PlaneError(str(error)) from error
    try:
        hdu = hdus[1]
        if not isinstance(hdu, fits.ImageHDU) or len(hdu.shape) != 2:
            raise PlaneError(f"extension 1 is {type(hdu).__name__}")
        return Plane(hdu, context)
    except UNREADABLE as error:
        context.__exit__(None, None, None)
        raise PlaneError(f"{type(error).__name__}: {error}") from error
    except PlaneError:
        context.__exit__(None, None, None)
        raise


def _require_grid(plane: Plane, like: Plane | None) -> None:
    """Refuse a grid that is not that of the brick: all its products share one."""
    if like is None:
        return
    if plane.shape != like.shape:
        raise PlaneError(f"shape {plane.shape}, image has {like.shape}")
    for card in _WCS_CARDS:
        if card in plane.cards and not abs(plane.cards[card] - like.cards[card]) <= _WCS_TOLERANCE:
            raise PlaneError(f"{card} {plane.cards[card]} is not {like.cards[card]}")
