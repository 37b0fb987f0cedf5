"""Galaxies on the sky: how near the splits come to each other, and which galaxies are one.

Positions are HEALPix NESTED cells at nside 2**29, 0.4 mas wide: their leading
bits are the coarser cells, which is how far pairs are left out unmeasured.
"""

from __future__ import annotations

from itertools import product

import healpy
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]
Positions = NDArray[np.int64]

POSITION_ORDER = 29
POSITION_ERROR_DEG = 1e-6
"""Distances are right to this: twice half the diagonal of a cell, rounded up."""

_COARSER_ORDERS = (6, 9, 11)
_OFF_THE_SKY = -1
_CUBE_HASH = tuple(np.uint64(p) for p in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


def positions(ra_deg: FloatArray, dec_deg: FloatArray) -> Positions:
    """Return the cell of each position; -1 where a coordinate is not one."""
    on_sky = np.isfinite(ra_deg) & (np.abs(dec_deg) <= 90.0)
    found = np.full(len(ra_deg), _OFF_THE_SKY, dtype=np.int64)
    if on_sky.any():
        found[on_sky] = healpy.ang2pix(
            1 << POSITION_ORDER, ra_deg[on_sky], dec_deg[on_sky], nest=True, lonlat=True
        )
    return found


def cells_of(position: Positions, nside: int) -> NDArray[np.int64]:
    """Return the NESTED cell of each position at a coarser resolution; nside is a power of two."""
    return position >> np.int64(2 * (POSITION_ORDER - (nside.bit_length() - 1)))


def coordinates(position: Positions) -> tuple[FloatArray, FloatArray]:
    """Return right ascension and declination in degrees."""
    ra, dec = healpy.pix2ang(1 << POSITION_ORDER, position, nest=True, lonlat=True)
    return np.asarray(ra), np.asarray(dec)


def vectors(position: Positions) -> FloatArray:
    """Return unit vectors, shape (n, 3)."""
    return np.stack(healpy.pix2vec(1 << POSITION_ORDER, position, nest=True), axis=1)


def nearest_deg(a: Positions, b: Positions) -> float | None:
    """Return the smallest angle between a galaxy of the one set and one of the other.

    Coarse cells come first: a cell whose centre is farther from every centre of
    the other set than the nearest pair of centres is, plus twice the size of a
    cell at either end, cannot hold the nearest galaxy.

    Parameters
    ----------
    a, b : ndarray of int, shape (n,), (m,)
        Positions.

    Returns
    -------
    float or None
        In degrees; None if a set is empty.
    """
    a, b = a[a != _OFF_THE_SKY], b[b != _OFF_THE_SKY]
    if a.size == 0 or b.size == 0:
        return None
    for order in _COARSER_ORDERS:
        nside = 1 << order
        reach_deg = 4.0 * float(np.degrees(healpy.max_pixrad(nside)))
        cell_a, cell_b = cells_of(a, nside), cells_of(b, nside)
        near_a, near_b = _near_cells(np.unique(cell_a), np.unique(cell_b), nside, reach_deg)
        a, b = a[np.isin(cell_a, near_a)], b[np.isin(cell_b, near_b)]
    distance, _ = cKDTree(vectors(a)).query(vectors(b))
    return _angle_deg(float(distance.min()))


def _near_cells(
    a: NDArray[np.int64], b: NDArray[np.int64], nside: int, reach_deg: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells of either set that come within ``reach_deg`` of the nearest pair."""
    centres_a, centres_b = (np.stack(healpy.pix2vec(nside, c, nest=True), axis=1) for c in (a, b))
    from_b = cKDTree(centres_a).query(centres_b)[0]
    from_a = cKDTree(centres_b).query(centres_a)[0]
    limit = _chord(min(180.0, _angle_deg(float(from_b.min())) + reach_deg))
    return a[from_a <= limit], b[from_b <= limit]


def close_pairs(position: Positions, radius_arcsec: float) -> NDArray[np.int64]:
    """Return all pairs of galaxies not farther apart than a radius.

    In one of eight grids of cubes, four radii wide and shifted against each
    other by half a cube, the two galaxies of such a pair are in one cube.

    Parameters
    ----------
    position : ndarray of int, shape (n,)
        Positions of distinct galaxies.
    radius_arcsec : float
        The radius.

    Returns
    -------
    ndarray of int, shape (k, 2)
        Indices, the smaller first.
    """
    known = np.flatnonzero(position != _OFF_THE_SKY)
    if known.size < 2:
        return np.empty((0, 2), dtype=np.int64)
    points = vectors(position[known])
    limit = _chord(radius_arcsec / 3600.0 + POSITION_ERROR_DEG)
    candidates = [
        _in_one_cube(points, 4.0 * limit, np.array(shift)) for shift in product((0.0, 0.5), repeat=3)
    ]
    chosen = np.unique(np.concatenate(candidates))
    if chosen.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    pairs = cKDTree(points[chosen]).query_pairs(limit, output_type="ndarray")
    return np.sort(known[chosen[pairs]], axis=1).reshape(-1, 2)


def _in_one_cube(points: FloatArray, wide: float, shift: FloatArray) -> NDArray[np.int64]:
    """Return the points that share their cube, or its hash, with another."""
    key = np.zeros(len(points), dtype=np.uint64)
    for axis, factor in enumerate(_CUBE_HASH):
        cube = np.floor(points[:, axis] / wide + shift[axis]).astype(np.int64)
        key ^= cube.view(np.uint64) * factor
    order = np.argsort(key)
    same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    return np.concatenate([order[same + 1], order[same]])


def _chord(angle_deg: float) -> float:
    return float(2.0 * np.sin(np.radians(angle_deg) / 2.0))


def _angle_deg(chord: float) -> float:
    return float(np.degrees(2.0 * np.arcsin(min(1.0, chord / 2.0))))
