"""Sweep catalogues, streamed: sources of given bricks, or the nearest to given positions.

Units are converted here, once: PSFDEPTH leaves as a magnitude. Sweeps hold
BRICK_PRIMARY sources only, unlike Tractor files, so a source is in one sweep
once. Selections are in ``parents`` and ``cuts``, missing sweeps in ``coverage``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import Columns, Rows, iter_rows
from darkhaloscope.survey.healpix import chord, unit_vectors
from darkhaloscope.survey.layout import SweepFile
from darkhaloscope.survey.photometry import DepthIvar, depth_mag_from_ivar
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, open_root

IDENTITY = ("RELEASE", "BRICKID", "BRICKNAME", "OBJID", "RA", "DEC", "TYPE")

_WHAT = "Sweep"
_TEXT = ("BRICKNAME", "TYPE")
_EDGE_DEG = 0.3  # a sweep holds whole bricks, which reach beyond the box of its name


@dataclass(frozen=True)
class Matches:
    """The nearest extended or point source of each position.

    Parameters
    ----------
    found : ndarray of bool, shape (n,)
        Whether a source lies inside the radius.
    separation_arcsec : ndarray, shape (n,)
        NaN where none was found.
    columns : dict of str to ndarray, shape (n,)
        Sweep columns of the match, ``PSFDEPTH_*`` as magnitudes under
        ``PSFDEPTH_*_MAG``; zero or empty where none was found.
    """

    found: NDArray[np.bool_]
    separation_arcsec: NDArray[np.float64]
    columns: Columns


def iter_sources(
    path: Path,
    release: Release,
    columns: Sequence[str],
    *,
    brickids: ArrayLike,
    where: Callable[[Rows], NDArray[np.bool_]] | None = None,
) -> Iterator[Columns]:
    """Stream the sources of some bricks from one sweep.

    Parameters
    ----------
    path : path
        The sweep.
    release : Release
        Which ``RELEASE`` numbers are legal.
    columns : sequence of str
        Sweep columns; ``PSFDEPTH_<B>`` comes back as ``PSFDEPTH_<B>_MAG``.
    brickids : array_like of int
        Wanted bricks.
    where : callable, optional
        Says of the rows of those bricks which are kept.

    Yields
    ------
    dict of str to ndarray, shape (m,)
        With the row in the file as ``ROW``, in file order; runs of rows of which nothing is kept are skipped.

    Raises
    ------
    MissingDataError
        If the sweep does not exist.
    DamagedFileError
        If it is truncated or empty.
    DataError
        If it lacks a column or holds another release's sources.
    """
    wanted = np.unique(np.asarray(brickids, dtype=np.int64))
    first = 0
    for rows in iter_rows(path, list(dict.fromkeys((*IDENTITY, *columns))), _WHAT):
        inside = np.isin(rows["BRICKID"], wanted)
        number, mine = first + np.flatnonzero(inside), rows.where(inside)
        first += len(rows)
        _require_release(mine["RELEASE"], release, path)
        if where is not None and len(mine):
            keep = where(mine)
            number, mine = number[keep], mine.where(keep)
        if len(mine):
            yield {**_converted(mine.columns(), path), "ROW": number}


def match_sources(
    root: Root,
    release: Release,
    ra_deg: ArrayLike,
    dec_deg: ArrayLike,
    columns: Sequence[str],
    *,
    radius_arcsec: float = 1.0,
    types: Sequence[str] | None = None,
) -> Matches:
    """Find the nearest catalogued source of each position.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Which sweeps.
    ra_deg, dec_deg : array_like, shape (n,)
        ICRS.
    columns : sequence of str
        Sweep columns to return beside identity, position and type.
    radius_arcsec : float
        Largest separation.
    types : sequence of str, optional
        Tractor types that may match, for example ``cuts.GALAXY_TYPES``; all by default.

    Returns
    -------
    Matches
        A position that no sweep covers has no match.
    """
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    names = list(dict.fromkeys((*IDENTITY, *columns)))
    best = np.full(len(ra), chord(radius_arcsec / 3600.0))
    found = np.zeros(len(ra), dtype=bool)
    result: Columns = {}
    vectors = unit_vectors(ra, dec)
    files = open_root(root)
    for sweep in layout.sweep_files(files, release):
        near = _in_box(ra, dec, sweep)
        if not near.any():
            continue
        path = files.path(sweep.relative)
        for chunk in iter_rows(path, names, _WHAT):
            ok = np.ones(len(chunk), dtype=bool) if types is None else np.isin(chunk["TYPE"], types)
            legal = np.flatnonzero(ok)
            if legal.size == 0:
                continue
            tree = cKDTree(unit_vectors(chunk["RA"][legal], chunk["DEC"][legal]))
            distance, nearest = tree.query(vectors)
            closer = near & (distance < best)
            if not closer.any():
                continue
            rows = {name: chunk[name][legal[nearest[closer]]] for name in names}
            _require_release(rows["RELEASE"], release, path)
            for name, values in _converted(rows, path).items():
                if name not in result:
                    result[name] = np.zeros(len(ra), dtype=values.dtype)
                elif values.dtype.itemsize > result[name].dtype.itemsize:
                    result[name] = result[name].astype(values.dtype)
                result[name][closer] = values
            best[closer] = distance[closer]
            found |= closer
    separation = np.full(len(ra), np.nan)
    separation[found] = np.degrees(2.0 * np.arcsin(best[found] / 2.0)) * 3600.0
    if not result:
        result = {name: np.zeros(len(ra), dtype="<U8" if name in _TEXT else float) for name in names}
    return Matches(found, separation, result)


def _in_box(ra: NDArray[np.float64], dec: NDArray[np.float64], sweep: SweepFile) -> NDArray[np.bool_]:
    wide = _EDGE_DEG / np.maximum(np.cos(np.radians(dec)), 1e-6)
    # Offset from the box centre, so that a box beside RA 0 needs no special case.
    centre, half = (sweep.ra1 + sweep.ra2) / 2.0, (sweep.ra2 - sweep.ra1) / 2.0
    offset = np.abs(np.mod(ra - centre + 180.0, 360.0) - 180.0)
    inside = (offset <= half + wide) & (dec >= sweep.dec1 - _EDGE_DEG) & (dec <= sweep.dec2 + _EDGE_DEG)
    return np.asarray(inside)


def _require_release(numbers: NDArray[Any], release: Release, path: Path) -> None:
    foreign = ~np.isin(numbers, release.release_numbers)
    if foreign.any():
        raise DataError(
            describe(
                "Sources of another release",
                file=path,
                field="RELEASE",
                expected=f"one of {release.release_numbers}",
                got=int(numbers[foreign][0]),
                hint=f"use {release.sweep_directory} of {release.name}",
            )
        )


def _converted(rows: Columns, path: Path) -> Columns:
    """Turn depths into magnitudes."""
    converted: Columns = {}
    for name, values in rows.items():
        if name.startswith("PSFDEPTH_"):
            ivar = DepthIvar(np.asarray(values, dtype=np.float64))
            converted[f"{name}_MAG"] = depth_mag_from_ivar(ivar, file=path, field=name)
        else:
            converted[name] = values
    return converted
