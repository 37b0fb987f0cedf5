"""Photometric and spectroscopic redshifts of sweep sources, from the files that go with the sweeps.

A photo-z sweep has the rows of its sweep in the same order. Both are streamed in
step; rows whose identities differ are an error, a file that is missing or
damaged costs its redshifts and is named. What a redshift is used for is in
``stamps.lens_hosts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import Columns, DamagedFileError, Rows, iter_rows
from darkhaloscope.survey.layout import SweepFile
from darkhaloscope.survey.roots import SurveyRoot

MISSING, DAMAGED = "missing", "damaged"

REDSHIFTS = ("z_spec", "z_phot", "z_phot_l68", "z_phot_u68")
"""What is read: a spectroscopic redshift, the median of the photometric one, its 68 % interval."""

_PHOTOMETRIC = ("Z_PHOT_MEDIAN", "Z_PHOT_L68", "Z_PHOT_U68")
_IDENTITY = ("RELEASE", "BRICKID", "OBJID")
_WHAT = "Photo-z sweep"

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LostRedshifts:
    """A photo-z sweep that gave no redshifts.

    Parameters
    ----------
    name : str
        File name.
    status : str
        ``missing`` or ``damaged``.
    reason : str
        What is wrong with a damaged file.
    """

    name: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class RedshiftFiles:
    """Photo-z sweeps of a tile.

    Parameters
    ----------
    read : int
        Files read.
    lost : tuple of LostRedshifts
        By name; the sources of their sweeps have no redshift.
    """

    read: int
    lost: tuple[LostRedshifts, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values for a record."""
        counts = Counter(file.status for file in self.lost)
        return {
            "photo_z": {"read": self.read, MISSING: counts[MISSING], DAMAGED: counts[DAMAGED]},
            "photo_z_lost": [asdict(file) for file in self.lost],
        }


class SweepRedshifts:
    """The redshifts of one sweep, asked for in the order of its rows.

    Parameters
    ----------
    path : path
        Photo-z sweep.

    Raises
    ------
    MissingDataError
        If it does not exist.
    DamagedFileError
        If it is truncated, empty or not FITS.
    DataError
        If it lacks a column.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            self._open(("_I", ""))
        except (MissingDataError, DamagedFileError):
            raise
        except DataError:  # releases before DR10 have no i band
            self._open(("",))

    def _open(self, suffixes: tuple[str, ...]) -> None:
        self._suffixes = suffixes
        names = [f"{name}{suffix}" for suffix in self._suffixes for name in _PHOTOMETRIC]
        self._runs = iter_rows(self._path, [*_IDENTITY, "Z_SPEC", *names], _WHAT)
        self._run: Rows = next(self._runs)
        self._first = 0

    def take(self, sources: Columns) -> dict[str, FloatArray]:
        """Return the redshifts of sources, NaN where there is none.

        Parameters
        ----------
        sources : dict of str to ndarray, shape (n,)
            ``ROW`` in the sweep, ascending and beyond those of earlier calls,
            with RELEASE, BRICKID and OBJID.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            ``REDSHIFTS``. A photometric redshift that uses the i band comes
            before one that does not.

        Raises
        ------
        DataError
            If a row is another source's, or the file has fewer rows.
        """
        rows = sources["ROW"]
        found = {name: np.full(len(rows), np.nan) for name in REDSHIFTS}
        done = 0
        while done < len(rows):
            while rows[done] >= self._first + len(self._run):
                self._first += len(self._run)
                following = next(self._runs, None)
                if following is None:
                    raise self._mismatch(int(rows[done]), f"the file has {self._first} rows")
                self._run = following
            stop = int(np.searchsorted(rows, self._first + len(self._run)))
            here = self._run.at(rows[done:stop] - self._first)
            for name in _IDENTITY:
                other = here[name] != sources[name][done:stop]
                if other.any():
                    i = int(np.argmax(other))
                    raise self._mismatch(
                        int(rows[done + i]), f"{name} {here[name][i]}, not {sources[name][done + i]}"
                    )
            for name, values in self._redshifts(here).items():
                found[name][done:stop] = values
            done = stop
        return found

    def _redshifts(self, rows: Rows) -> dict[str, FloatArray]:
        # -99 where there is none; a spectroscopic redshift of zero is a star's.
        z_spec = _where(rows["Z_SPEC"].astype(np.float64), rows["Z_SPEC"] > -1.0)
        found = np.full((len(_PHOTOMETRIC), len(rows)), np.nan)
        for suffix in reversed(self._suffixes):
            values = np.array([rows[f"{name}{suffix}"] for name in _PHOTOMETRIC], dtype=np.float64)
            known = np.asarray((values >= 0.0).all(axis=0))
            found[:, known] = values[:, known]
        return dict(zip(REDSHIFTS, (z_spec, *found), strict=True))

    def _mismatch(self, row: int, got: str) -> DataError:
        return DataError(
            describe(
                "Photo-z sweep does not go with its sweep",
                file=self._path,
                row=row,
                expected="the rows of the sweep in the same order",
                got=got,
                hint="take sweeps and photo-z sweeps of one release",
            )
        )


class TileRedshifts:
    """The photo-z sweeps of a tile, opened as its sweeps are read.

    Parameters
    ----------
    root : SurveyRoot
        Survey root.
    """

    def __init__(self, root: SurveyRoot) -> None:
        self._root = root
        self._read = 0
        self._lost: list[LostRedshifts] = []

    def of(self, sweep: SweepFile, sources: Iterable[Columns]) -> Iterable[Columns]:
        """Add ``REDSHIFTS`` to sources streamed from a sweep; NaN if its photo-z sweep is lost."""
        relative = layout.photo_z_file(sweep)
        name = relative.rpartition("/")[2]
        redshifts: SweepRedshifts | None = None
        try:
            redshifts = SweepRedshifts(self._root.path(relative))
            self._read += 1
        except MissingDataError:
            self._lost.append(LostRedshifts(name, MISSING))
        except DamagedFileError as error:
            self._lost.append(LostRedshifts(name, DAMAGED, str(error)))
        for columns in sources:
            if redshifts is None:
                nothing = np.full(len(columns["ROW"]), np.nan)
                yield {**columns, **dict.fromkeys(REDSHIFTS, nothing)}
            else:
                yield {**columns, **redshifts.take(columns)}

    def files(self) -> RedshiftFiles:
        """Return what was read and lost so far."""
        return RedshiftFiles(self._read, tuple(sorted(self._lost, key=lambda file: file.name)))


def _where(values: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    return np.where(known, values, np.nan)
