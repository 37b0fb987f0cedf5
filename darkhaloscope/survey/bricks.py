"""The footprint: one row per brick, with depth, seeing and what is missing on disk.

Joins the table of all bricks with the release's summary and looks for the
coadd files. Pixels are not read here.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.schema import BRICKS
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import Columns, read_columns
from darkhaloscope.survey.healpix import tile_keys
from darkhaloscope.survey.photometry import checked_depth_mag
from darkhaloscope.survey.release import Release

OK = "ok"

_GEOMETRY = ("BRICKNAME", "BRICKID", "RA", "DEC", "RA1", "RA2", "DEC1", "DEC2")
_TYPE_COUNTS = ("nrex", "nexp", "ndev", "nser")


def read_footprint(root: str | Path, release: Release) -> pa.Table:
    """Read the bricks below a survey root.

    Parameters
    ----------
    root : path
        Survey root in the release's layout.
    release : Release
        Which bands and which part of the sky count.

    Returns
    -------
    pyarrow.Table
        Schema ``BRICKS``, sorted by name. A brick that the summary does not
        list, or without exposures, stays with its status: ``outside release``,
        ``no coverage``, ``no coverage in z``, ``missing image-z``, ``ok``.
        Conditions of bands without coverage are NaN.

    Raises
    ------
    MissingDataError
        If one of the two tables does not exist.
    DataError
        If a table is damaged, a depth is not a magnitude, or the summary lists
        a brick the sky does not have.
    """
    bands = release.bands
    sky_file, summary_file = layout.all_bricks(root), layout.brick_summary(root, release)
    sky = read_columns(sky_file, _GEOMETRY, "Table of all bricks")
    summary = read_columns(summary_file, _summary_columns(bands), "Brick summary")
    rows = _match(sky["BRICKNAME"], summary["brickname"], summary_file)

    order = np.argsort(sky["BRICKNAME"], kind="stable")
    rows = rows[order]
    sky = {name: values[order] for name, values in sky.items()}
    listed = rows >= 0

    def pick(name: str, missing: float = np.nan) -> NDArray[Any]:
        values = np.full(len(rows), missing)
        values[listed] = summary[name][rows[listed]]
        return values

    nexp = {b: pick(f"nexp_{b}", 0).astype(np.int32) for b in bands}
    data: dict[str, Any] = {
        "brickname": sky["BRICKNAME"].astype(object),
        "brickid": sky["BRICKID"],
        **{name.lower(): sky[name] for name in ("RA", "DEC", "RA1", "RA2", "DEC1", "DEC2")},
        "area_deg2": _box_area_deg2(sky),
        "tile": tile_keys(sky["RA"], sky["DEC"]),
        "n_galaxies": sum(pick(name, 0) for name in _TYPE_COUNTS).astype(np.int64),  # type: ignore[union-attr]  # never the int 0: four columns
        "ebv": pick("ebv"),
    }
    for band in bands:
        seeing = pick(f"psfsize_{band}")
        data[f"psfsize_{band}_arcsec"] = np.where(seeing > 0.0, seeing, np.nan)
        data[f"psfdepth_{band}_mag"] = checked_depth_mag(
            pick(f"psfdepth_{band}"), file=summary_file, field=f"psfdepth_{band}"
        )
        data[f"nexp_{band}"] = nexp[band]
        data[f"sky_{band}_nmgy"] = pick(f"cosky_{band}")
    covered = release.covers(sky["RA"], sky["DEC"])
    data["status"] = [
        _status(root, name, release, inside=bool(inside), nexp={b: int(nexp[b][i]) for b in bands})
        for i, (name, inside) in enumerate(zip(sky["BRICKNAME"], covered, strict=True))
    ]
    return BRICKS.table(data)


def status_counts(bricks: pa.Table) -> dict[str, int]:
    """Return how many bricks have each status, sorted by status."""
    return dict(sorted(Counter(bricks["status"].to_pylist()).items()))


def _summary_columns(bands: tuple[str, ...]) -> list[str]:
    per_band = [f"{q}_{b}" for q in ("nexp", "psfsize", "psfdepth", "cosky") for b in bands]
    return ["brickname", *per_band, *_TYPE_COUNTS, "ebv"]


def _match(names: NDArray[np.str_], listed: NDArray[np.str_], file: Path) -> NDArray[np.int64]:
    """Return the summary row of each brick, -1 for none."""
    row_of = {name: row for row, name in enumerate(listed.tolist())}
    if len(row_of) != len(listed):
        raise DataError(describe("Brick listed twice", file=file, field="brickname"))
    rows = np.array([row_of.pop(name, -1) for name in names.tolist()], dtype=np.int64)
    if row_of:
        raise DataError(
            describe(
                "Summary lists a brick that the sky does not have",
                file=file,
                field="brickname",
                got=f"{min(row_of)} and {len(row_of) - 1} more",
                hint="take survey-bricks.fits.gz and the summary from one release",
            )
        )
    return rows


def _box_area_deg2(sky: Columns) -> NDArray[np.float64]:
    """Return the solid angle of each RA, Dec box, (ra2 - ra1) (sin dec2 - sin dec1), in deg^2."""
    width = np.mod(sky["RA2"] - sky["RA1"], 360.0)
    height = np.degrees(np.sin(np.radians(sky["DEC2"])) - np.sin(np.radians(sky["DEC1"])))
    area: NDArray[np.float64] = width * height
    return area


def _status(root: str | Path, name: str, release: Release, *, inside: bool, nexp: dict[str, int]) -> str:
    if not inside:
        return "outside release"
    if not any(nexp.values()):
        return "no coverage"
    try:
        present = {entry.name for entry in os.scandir(layout.coadd_directory(root, name))}
    except (FileNotFoundError, NotADirectoryError):
        return "missing coadd directory"
    for label, file in layout.required_coadds(name, release.bands).items():
        if file not in present:
            return f"missing {label}"
    return next((f"no coverage in {band}" for band, count in nexp.items() if count == 0), OK)
