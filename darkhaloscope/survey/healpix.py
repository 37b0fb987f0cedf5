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

_SAMPLE_NSIDE = 4096
_SMALL_NSIDE = 512
_OPEN, _ASIDE, _INSIDE = 1, 2, 3


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

    An outline is sampled every 0.014 deg; half the largest gap between samples
    is added to the radius asked for, so a position nearer than the radius is
    never missed and one is never caught that is farther than the radius plus
    twice ``margin_deg``.

    Parameters
    ----------
    nside : int
        Resolution, at most 4096.
    cells : array_like of int
        NESTED pixels; none is legal.
    """

    def __init__(self, nside: int, cells: ArrayLike) -> None:
        pixels = np.asarray(cells, dtype=np.int64)
        self._tree: cKDTree | None = None
        self._verdicts: dict[float, NDArray[np.int8]] = {}
        self.margin_deg = 0.0
        if pixels.size:
            step = _SAMPLE_NSIDE // nside
            outline = np.moveaxis(hp.boundaries(nside, pixels, step=step, nest=True), 1, 2)
            gaps = np.linalg.norm(outline - np.roll(outline, 1, axis=1), axis=-1)
            self.margin_deg = float(np.degrees(gaps.max())) / 2.0
            self._tree = cKDTree(outline.reshape(-1, 3))

    def within(self, ra_deg: ArrayLike, dec_deg: ArrayLike, radius_deg: float) -> NDArray[np.bool_]:
        """Say which positions lie nearer than ``radius_deg`` to an outline.

        A small pixel is decided once where every place in it lies within the
        radius, or none does, and remembered; in the others positions are
        measured one by one.

        Parameters
        ----------
        ra_deg, dec_deg : array_like, shape (n,)
            ICRS degrees.
        radius_deg : float
            No position is within 0.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
        if self._tree is None or radius_deg <= 0.0:
            return np.zeros(len(ra), dtype=bool)
        limit_deg = radius_deg + self.margin_deg
        verdict = self._verdict_of(cell_ids(ra, dec, _SMALL_NSIDE), limit_deg)
        near: NDArray[np.bool_] = verdict == _INSIDE
        rows = np.flatnonzero(verdict == _OPEN)
        near[rows] = np.isfinite(self._distance(unit_vectors(ra[rows], dec[rows]), limit_deg))
        return near

    def _verdict_of(self, pixels: NDArray[np.int64], limit_deg: float) -> NDArray[np.int8]:
        """Return what is known of small pixels, deciding those met for the first time."""
        size = hp.nside2npix(_SMALL_NSIDE)
        known = self._verdicts.setdefault(limit_deg, np.zeros(size, dtype=np.int8))
        new = np.unique(pixels[known[pixels] == 0])
        if new.size:
            reach = float(np.degrees(hp.max_pixrad(_SMALL_NSIDE)))
            centres = np.stack(hp.pix2vec(_SMALL_NSIDE, new, nest=True), axis=-1)
            distance = self._distance(centres, limit_deg + reach)
            inside = distance <= chord(max(limit_deg - reach, 0.0))
            known[new] = np.where(inside, _INSIDE, np.where(np.isfinite(distance), _OPEN, _ASIDE))
        return known[pixels]

    def _distance(self, vectors: NDArray[np.float64], limit_deg: float) -> NDArray[np.float64]:
        """Return the chord to the nearest outline, infinite beyond the limit."""
        assert self._tree is not None  # within() returns early without a tree
        # The bound of the query is exclusive.
        distance, _ = self._tree.query(vectors, distance_upper_bound=np.nextafter(chord(limit_deg), np.inf))
        return np.asarray(distance, dtype=np.float64)
