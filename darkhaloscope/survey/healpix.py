"""HEALPix geometry of tiles and split cells: NESTED everywhere, degrees at the door.

Pure functions on positions. What a cell is used for is decided in ``tiles``.
"""

from __future__ import annotations

import healpy as hp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, describe

TILE_NSIDE = 8
"""Resolution of tiles, the partition keys of the sky: 7.3 deg a side."""

_BOUNDARY_STEP = 128
_COARSE_NSIDE = 512
_BLOCK = 1 << 20


def cell_ids(ra_deg: ArrayLike, dec_deg: ArrayLike, nside: int) -> NDArray[np.int64]:
    """Return HEALPix NESTED pixels of positions.

    Parameters
    ----------
    ra_deg, dec_deg : array_like, shape (n,)
        ICRS degrees.
    nside : int
        Resolution.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    DataError
        If a position is not finite or not on the sphere, so no object is
        without a cell.
    """
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    bad = np.flatnonzero(~(np.isfinite(ra) & (np.abs(dec) <= 90.0)))
    if bad.size:
        raise DataError(
            describe(
                "Position is not on the sky",
                row=int(bad[0]),
                expected="finite RA, Dec in [-90, 90]",
                got=f"({ra[bad[0]]}, {dec[bad[0]]})",
            )
        )
    pixels: NDArray[np.int64] = hp.ang2pix(nside, ra, dec, nest=True, lonlat=True).astype(np.int64)
    return pixels


def tile_keys(ra_deg: ArrayLike, dec_deg: ArrayLike) -> list[str]:
    """Return the partition key of each position: the nside-8 pixel in three digits."""
    return [f"{pixel:03d}" for pixel in cell_ids(ra_deg, dec_deg, TILE_NSIDE)]


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.float64]:
    """Return unit vectors, shape (n, 3)."""
    ra, dec = np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def chord(angle_deg: float) -> float:
    """Return the chord length of an angle on the unit sphere."""
    return 2.0 * float(np.sin(np.radians(angle_deg) / 2.0))


class CellBoundary:
    """Distance of positions to the outlines of a set of cells.

    An outline is sampled; half the largest gap between samples is added to the
    radius asked for, so a position nearer than the radius is never missed and
    one is never caught that is farther than the radius plus 0.01 deg (nside 32).

    Parameters
    ----------
    nside : int
        Resolution.
    cells : array_like of int
        NESTED pixels; none is legal.
    """

    def __init__(self, nside: int, cells: ArrayLike) -> None:
        pixels = np.asarray(cells, dtype=np.int64)
        self._tree: cKDTree | None = None
        self.margin_deg = 0.0
        if pixels.size:
            outline = np.moveaxis(hp.boundaries(nside, pixels, step=_BOUNDARY_STEP, nest=True), 1, 2)
            gaps = np.linalg.norm(outline - np.roll(outline, 1, axis=1), axis=-1)
            self.margin_deg = float(np.degrees(gaps.max())) / 2.0
            self._tree = cKDTree(outline.reshape(-1, 3))

    def within(self, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_deg: float) -> NDArray[np.bool_]:
        """Say which positions lie nearer than ``radius_deg`` to an outline.

        Whole small pixels are decided at once where every place in them lies
        within the radius, or none does; what is left is measured one by one.
        """
        ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
        near = np.zeros(len(ra), dtype=bool)
        if self._tree is None or radius_deg <= 0.0:
            return near
        limit_deg = radius_deg + self.margin_deg
        for start in range(0, len(ra), _BLOCK):
            block = slice(start, start + _BLOCK)
            near[block] = self._within(ra[block], dec[block], limit_deg)
        return near

    def _within(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], limit_deg: float
    ) -> NDArray[np.bool_]:
        pixels, place = np.unique(cell_ids(ra, dec, _COARSE_NSIDE), return_inverse=True)
        reach = float(np.degrees(hp.max_pixrad(_COARSE_NSIDE)))
        centres = np.stack(hp.pix2vec(_COARSE_NSIDE, pixels, nest=True), axis=-1)
        distance = self._distance(centres, limit_deg + reach)
        inside = distance <= chord(max(limit_deg - reach, 0.0))
        open_pixels = ~inside & np.isfinite(distance)
        near: NDArray[np.bool_] = inside[place]
        rows = np.flatnonzero(open_pixels[place])
        near[rows] = np.isfinite(self._distance(unit_vectors(ra[rows], dec[rows]), limit_deg))
        return near

    def _distance(self, vectors: NDArray[np.float64], limit_deg: float) -> NDArray[np.float64]:
        """Return the chord to the nearest outline, infinite beyond the limit."""
        assert self._tree is not None  # within() returns early without a tree
        # The bound of the query is exclusive.
        distance, _ = self._tree.query(vectors, distance_upper_bound=np.nextafter(chord(limit_deg), np.inf))
        return np.asarray(distance, dtype=np.float64)
