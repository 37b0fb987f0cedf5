"""Sweep catalogues, streamed: sources of given bricks, or the nearest to given positions.

Units are converted here, once: PSFDEPTH leaves as a magnitude. Selections are
in ``parents`` and ``cuts``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import Columns, iter_columns
from darkhaloscope.survey.healpix import chord, unit_vectors
from darkhaloscope.survey.layout import SweepFile
from darkhaloscope.survey.photometry import DepthIvar, depth_mag_from_ivar
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, SurveyRoot, open_root

CHUNK_ROWS = 200_000
"""Rows of a sweep in memory at a time."""

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
    root: Root,
    release: Release,
    columns: Sequence[str],
    *,
    brickids: ArrayLike,
    box: tuple[float, float, float, float],
) -> Iterator[Columns]:
    """Stream the sources of some bricks.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Which sweeps, and which ``RELEASE`` numbers are legal.
    columns : sequence of str
        Sweep columns; ``PSFDEPTH_<B>`` comes back as ``PSFDEPTH_<B>_MAG``.
    brickids : array_like of int
        Wanted bricks.
    box : (ra1, ra2, dec1, dec2)
        Box in degrees that holds the bricks; ra1 > ra2 passes through 0.

    Yields
    ------
    dict of str to ndarray, shape (m,)
        In file order; chunks without a wanted source are skipped.

    Raises
    ------
    MissingDataError
        If no sweep covers the box.
    DataError
        If a sweep is damaged, empty, or holds another release's sources.
    """
    wanted = np.unique(np.asarray(brickids, dtype=np.int64))
    names = list(dict.fromkeys((*IDENTITY, *columns)))
    files = open_root(root)
    for sweep in sweeps_of_box(files, release, box):
        path = files.path(sweep.relative)
        for chunk in iter_columns(path, names, _WHAT, CHUNK_ROWS):
            keep = np.isin(chunk["BRICKID"], wanted)
            if keep.any():
                rows = {name: values[keep] for name, values in chunk.items()}
                yield _checked(rows, release, path)


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
        for chunk in iter_columns(path, names, _WHAT, CHUNK_ROWS):
            legal = (
                np.arange(len(chunk["RA"]))
                if types is None
                else np.flatnonzero(np.isin(chunk["TYPE"], types))
            )
            if legal.size == 0:
                continue
            tree = cKDTree(unit_vectors(chunk["RA"][legal], chunk["DEC"][legal]))
            distance, nearest = tree.query(vectors)
            index = legal[nearest]
            closer = near & (distance < best)
            if not closer.any():
                continue
            rows = {name: values[index[closer]] for name, values in chunk.items()}
            rows = _checked(rows, release, path)
            for name, values in rows.items():
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


def sweeps_of_box(
    root: SurveyRoot, release: Release, box: tuple[float, float, float, float]
) -> list[SweepFile]:
    """List the sweeps that overlap a box in degrees; ra1 > ra2 passes through 0.

    Raises
    ------
    MissingDataError
        If there is none.
    """
    ra1, ra2, dec1, dec2 = box
    spans = [(ra1, ra2)] if ra1 <= ra2 else [(ra1, 360.0), (0.0, ra2)]
    overlapping = [
        sweep
        for sweep in layout.sweep_files(root, release)
        if sweep.dec1 <= dec2
        and sweep.dec2 >= dec1
        and any(sweep.ra1 <= high and sweep.ra2 >= low for low, high in spans)
    ]
    if not overlapping:
        raise MissingDataError(
            describe(
                "No sweep covers this part of the sky",
                file=root.where(release.sweep_directory),
                expected=f"a sweep over RA {ra1:.2f} to {ra2:.2f}, Dec {dec1:.2f} to {dec2:.2f} deg",
                got="none",
                hint="copy the sweep of that box",
            )
        )
    return overlapping


def _in_box(ra: NDArray[np.float64], dec: NDArray[np.float64], sweep: SweepFile) -> NDArray[np.bool_]:
    wide = _EDGE_DEG / np.maximum(np.cos(np.radians(dec)), 1e-6)
    # Offset from the box centre, so that a box beside RA 0 needs no special case.
    centre, half = (sweep.ra1 + sweep.ra2) / 2.0, (sweep.ra2 - sweep.ra1) / 2.0
    offset = np.abs(np.mod(ra - centre + 180.0, 360.0) - 180.0)
    inside = (offset <= half + wide) & (dec >= sweep.dec1 - _EDGE_DEG) & (dec <= sweep.dec2 + _EDGE_DEG)
    return np.asarray(inside)


def _checked(rows: Columns, release: Release, path: Path) -> Columns:
    """Refuse another release's sources and convert depths."""
    foreign = ~np.isin(rows["RELEASE"], release.release_numbers)
    if foreign.any():
        raise DataError(
            describe(
                "Sources of another release",
                file=path,
                field="RELEASE",
                expected=f"one of {release.release_numbers}",
                got=int(rows["RELEASE"][foreign][0]),
                hint=f"use {release.sweep_directory} of {release.name}",
            )
        )
    converted: Columns = {}
    for name, values in rows.items():
        if name.startswith("PSFDEPTH_"):
            ivar = DepthIvar(np.asarray(values, dtype=np.float64))
            converted[f"{name}_MAG"] = depth_mag_from_ivar(ivar, file=path, field=name)
        else:
            converted[name] = values
    return converted
