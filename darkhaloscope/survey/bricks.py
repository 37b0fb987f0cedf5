"""The footprint: one row per brick, with depth, seeing and what is missing on disk.

Joins the table of all bricks with the release's summary and looks for the
coadd files. Pixels are not read here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.schema import BRICKS
from darkhaloscope.survey import layout
from darkhaloscope.survey.fits_tables import Columns, read_columns
from darkhaloscope.survey.healpix import tile_keys
from darkhaloscope.survey.photometry import checked_depth_mag
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, SurveyRoot, open_root

OK = "ok"

OVERLAP_DEG = 0.02
"""Images reach no farther than this beyond the primary box of their brick."""

_GEOMETRY = ("BRICKNAME", "BRICKID", "RA", "DEC", "RA1", "RA2", "DEC1", "DEC2")
_TYPE_COUNTS = ("nrex", "nexp", "ndev", "nser")


def read_footprint(root: Root, release: Release) -> pa.Table:
    """Read the bricks below a survey root.

    Parameters
    ----------
    root : Root
        Survey root in the release's layout.
    release : Release
        Which bands and which part of the sky count.

    Returns
    -------
    pyarrow.Table
        Schema ``BRICKS``, sorted by name. A brick that the summary does not
        list, or without exposures, stays with its status: ``outside release``,
        ``no coverage``, ``no coverage in z``, ``missing image-z``, ``ok``. Whether
        files are there is looked up on file systems only; behind a network a
        missing file shows when it is asked for.
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
    files = open_root(root)
    sky_file, summary_file = files.path(layout.ALL_BRICKS), files.path(release.brick_summary)
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
        _status(files, name, release, inside=bool(inside), nexp={b: int(nexp[b][i]) for b in bands})
        for i, (name, inside) in enumerate(zip(sky["BRICKNAME"], covered, strict=True))
    ]
    return BRICKS.table(data)


def status_counts(bricks: pa.Table) -> dict[str, int]:
    """Return how many bricks have each status, sorted by status."""
    return dict(sorted(Counter(bricks["status"].to_pylist()).items()))


def candidate_bricks(
    bricks: pa.Table, ra_deg: ArrayLike, dec_deg: ArrayLike, first: Sequence[str] | None = None
) -> list[list[str]]:
    """List the bricks whose images may hold each position.

    Parameters
    ----------
    bricks : pyarrow.Table
        At least ``brickname``, ``ra``, ``dec`` and the box.
    ra_deg, dec_deg : array_like, shape (n,)
        ICRS.
    first : sequence of str, optional
        Brick to put first per position.

    Returns
    -------
    list of list of str
        Its own brick, then those whose box is nearer than the overlap of
        images, nearest centre first.
    """
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    names = np.array(bricks["brickname"].to_pylist(), dtype="<U8")
    box = {name: bricks[name].to_numpy() for name in ("ra", "dec", "ra1", "ra2", "dec1", "dec2")}
    half_ra = np.mod(box["ra2"] - box["ra1"], 360.0) / 2.0
    middle = box["ra1"] + half_ra
    found: list[list[str]] = []
    for i in range(len(ra)):
        shrink = max(float(np.cos(np.radians(dec[i]))), 1e-6)
        # Distance outside the primary box, in degrees on the sky; 0 inside.
        beside = np.maximum(np.abs(np.mod(ra[i] - middle + 180.0, 360.0) - 180.0) - half_ra, 0.0) * shrink
        above = np.maximum(np.maximum(box["dec1"] - dec[i], dec[i] - box["dec2"]), 0.0)
        outside = np.maximum(beside, above)
        near = np.flatnonzero(outside <= OVERLAP_DEG)
        gap = np.mod(ra[i] - box["ra"][near] + 180.0, 360.0) - 180.0
        distance = np.hypot(gap * shrink, dec[i] - box["dec"][near])
        order = near[np.lexsort((names[near], distance, outside[near] > 0.0))]
        chosen = [str(name) for name in names[order]]
        if first is not None:
            chosen = [first[i], *(name for name in chosen if name != first[i])]
        found.append(chosen)
    return found


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


def _status(root: SurveyRoot, name: str, release: Release, *, inside: bool, nexp: dict[str, int]) -> str:
    if not inside:
        return "outside release"
    if not any(nexp.values()):
        return "no coverage"
    present = root.present(layout.coadd_directory(release, name))
    if present is not None:
        if not present:
            return "missing coadd directory"
        for label, file in layout.required_coadds(name, release.bands).items():
            if file not in present:
                return f"missing {label}"
    return next((f"no coverage in {band}" for band, count in nexp.items() if count == 0), OK)
