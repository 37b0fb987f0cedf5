"""Measured colours of source galaxies: an optional table of ground-based photometry, matched by position.

Reads a table and matches it; what a galaxy without a match is given is decided
in ``colours``. The table is meant to be COSMOS2020 (Weaver et al. 2022,
ApJS 258, 11), either catalogue, as distributed in FITS or cut to a few columns
in Parquet:

=============  ==============================================  =======================
quantity       column, the first that is there                 unit
=============  ==============================================  =======================
position       ``ALPHA_J2000``, ``ra``                         deg (ICRS)
.              ``DELTA_J2000``, ``dec``                        deg
g              ``HSC_g_MAG`` (Farmer), ``HSC_g_MAG_AUTO``      AB mag, total
               (Classic), ``mag_g``
r              ``HSC_r_MAG``, ``HSC_r_MAG_AUTO``, ``mag_r``    AB mag
z              ``HSC_z_MAG``, ``HSC_z_MAG_AUTO``, ``mag_z``    AB mag
redshift       ``lp_zPDF``, ``lp_zBEST``, ``ez_z_phot``,       optional
               ``z_phot``
=============  ==============================================  =======================

Magnitudes are corrected for Galactic dust where the catalogue is not (a shift
of 0.02 mag in g - r at the field's E(B-V) = 0.017) by whoever cuts the table.
HSC magnitudes are taken as DECam's. Through the templates of ``colour_tracks``
the two differ by -0.05 mag in g - r and +0.02 in r - z in the median at
z = 0.5 to 2, by up to 0.2 for old galaxies at some redshifts.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey.healpix import chord, unit_vectors

FloatArray = NDArray[np.float64]

MATCH_ARCSEC = 0.6
"""Two positions nearer than this are one galaxy: the radius COSMOS catalogues are matched with."""

FILE_NAMES = ("matched_photometry.parquet", "matched_photometry.fits")
"""Where the table is looked for: beside the catalogue of images."""

MAG_RANGE = (10.0, 35.0)
"""Magnitudes outside are codes for no measurement (-99, 99, NaN)."""

_COLUMNS: dict[str, tuple[str, ...]] = {
    "ra": ("ALPHA_J2000", "ra"),
    "dec": ("DELTA_J2000", "dec"),
    "g": ("HSC_g_MAG", "HSC_g_MAG_AUTO", "mag_g"),
    "r": ("HSC_r_MAG", "HSC_r_MAG_AUTO", "mag_r"),
    "z": ("HSC_z_MAG", "HSC_z_MAG_AUTO", "mag_z"),
    "z_phot": ("lp_zPDF", "lp_zBEST", "ez_z_phot", "z_phot"),
}
_OPTIONAL = ("z_phot",)


@dataclass(frozen=True)
class Photometry:
    """A table of photometry, n rows.

    Parameters
    ----------
    path : Path
        File it was read from.
    ra_deg, dec_deg : ndarray, shape (n,)
        Positions.
    g_r, r_z : ndarray, shape (n,)
        Colours (AB), NaN where a band has no measurement.
    z_phot : ndarray, shape (n,)
        Photometric redshift, NaN where unknown.
    """

    path: Path
    ra_deg: FloatArray
    dec_deg: FloatArray
    g_r: FloatArray
    r_z: FloatArray
    z_phot: FloatArray


@dataclass(frozen=True)
class Matched:
    """What the table says of m galaxies, NaN where it says nothing.

    Parameters
    ----------
    g_r, r_z, z_phot : ndarray, shape (m,)
        Colours (AB) and photometric redshift.
    separation_arcsec : ndarray, shape (m,)
        Distance to the match.
    """

    g_r: FloatArray
    r_z: FloatArray
    z_phot: FloatArray
    separation_arcsec: FloatArray

    def coverage(self) -> dict[str, float | int | None]:
        """Return how many galaxies have a match and colours, and the median separation."""
        found = np.isfinite(self.separation_arcsec)
        colours = np.isfinite(self.g_r) & np.isfinite(self.r_z)
        return {
            "galaxies": len(found),
            "matched": int(found.sum()),
            "with_colours": int(colours.sum()),
            "with_redshift": int(np.isfinite(self.z_phot).sum()),
            "median_separation_arcsec": float(np.median(self.separation_arcsec[found]))
            if found.any()
            else None,
        }


def find_photometry(folder: str | Path) -> Path | None:
    """Return the table of photometry of a folder, None if it holds none.

    Raises
    ------
    DataError
        If it holds several.
    """
    found = [path for name in FILE_NAMES if (path := Path(folder) / name).is_file()]
    if len(found) > 1:
        raise DataError(
            describe(
                "Several tables of photometry",
                file=folder,
                expected="one of " + ", ".join(FILE_NAMES),
                got=[path.name for path in found],
            )
        )
    return found[0] if found else None


def read_photometry(path: str | Path) -> Photometry:
    """Read a table of photometry, Parquet or FITS by its suffix.

    Parameters
    ----------
    path : path
        Columns as in the table above; others are ignored.

    Raises
    ------
    MissingDataError
        If there is no file.
    DataError
        If it is not readable, lacks a column, has no rows, or a position is
        not in degrees.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(describe("Table of photometry not found", file=path))
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_fits(path)
    ra, dec = columns["ra"], columns["dec"]
    if len(ra) == 0:
        raise DataError(describe("Table of photometry has no rows", file=path, expected="at least one"))
    bad = ~((ra >= 0.0) & (ra <= 360.0) & (np.abs(dec) <= 90.0))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            describe(
                "Position is not in degrees",
                file=path,
                row=row,
                expected="0 <= RA <= 360 and -90 <= Dec <= 90",
                got=(float(ra[row]), float(dec[row])),
            )
        )
    g, r, z = (_measured(columns[band]) for band in ("g", "r", "z"))
    redshift = columns.get("z_phot", np.full(len(ra), np.nan))
    return Photometry(path, ra, dec, g - r, r - z, np.where(redshift > 0.0, redshift, np.nan))


def match_photometry(photometry: Photometry, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Matched:
    """Match galaxies to a table, each row of the table to one galaxy at most.

    Every galaxy is offered its nearest row within 0.6"; a row that is nearest
    to several galaxies goes to the nearest of them, and the others, whose
    light it holds too, stay without.

    Parameters
    ----------
    photometry : Photometry
        The table.
    ra_deg, dec_deg : array_like, shape (m,)
        Positions of the galaxies; NaN matches nothing.
    """
    ra = np.asarray(ra_deg, dtype=np.float64)
    dec = np.asarray(dec_deg, dtype=np.float64)
    placed = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    tree = cKDTree(unit_vectors(photometry.ra_deg, photometry.dec_deg))
    distance, row = tree.query(
        unit_vectors(ra[placed], dec[placed]), distance_upper_bound=chord(MATCH_ARCSEC / 3600.0)
    )
    near = np.isfinite(distance)
    placed, row, distance = placed[near], row[near], distance[near]
    order = np.argsort(distance, kind="stable")
    _, first = np.unique(row[order], return_index=True)
    kept = order[first]
    numbers = {name: np.full(len(ra), np.nan) for name in ("g_r", "r_z", "z_phot", "separation")}
    numbers["separation"][placed[kept]] = np.degrees(2.0 * np.arcsin(distance[kept] / 2.0)) * 3600.0
    for name in ("g_r", "r_z", "z_phot"):
        numbers[name][placed[kept]] = getattr(photometry, name)[row[kept]]
    return Matched(numbers["g_r"], numbers["r_z"], numbers["z_phot"], numbers["separation"])


def _measured(mag: FloatArray) -> FloatArray:
    low, high = MAG_RANGE
    return np.where((mag > low) & (mag < high), mag, np.nan)


def _read_parquet(path: Path) -> dict[str, FloatArray]:
    try:
        wanted = _wanted(pq.read_schema(path).names, path)
        table = pq.read_table(path, columns=list(wanted.values()))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    return {
        name: np.asarray(table[column].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        for name, column in wanted.items()
    }


def _read_fits(path: Path) -> dict[str, FloatArray]:
    try:
        with warnings.catch_warnings(), fits.open(path, memmap=True) as file:
            # a header that ends early is only a warning to astropy
            warnings.simplefilter("error", AstropyWarning)
            tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)]
            if not tables:
                raise DataError(describe("No table in file", file=path, expected="a binary table"))
            wanted = _wanted(tables[0].columns.names, path)
            return {name: _numbers(tables[0].data[column]) for name, column in wanted.items()}
    except (OSError, ValueError, TypeError, AstropyWarning) as error:
        raise _unreadable(path, error) from error


def _numbers(values: Any) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _wanted(names: list[str], path: Path) -> dict[str, str]:
    """Return the column of every quantity that the table has."""
    wanted = {}
    for quantity, choices in _COLUMNS.items():
        found = [name for name in choices if name in names]
        if found:
            wanted[quantity] = found[0]
        elif quantity not in _OPTIONAL:
            raise DataError(
                describe(
                    "Column missing in table of photometry",
                    file=path,
                    field=quantity,
                    expected=f"one of {list(choices)}",
                    got=sorted(names)[:12],
                )
            )
    return wanted


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        describe(
            "Table of photometry cannot be read",
            file=path,
            got=str(error),
            hint="the file is truncated, or neither Parquet nor FITS",
        )
    )
