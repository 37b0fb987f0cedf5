"""The parent sample of a tile: every source that any selection takes, and why some are unfit.

Reads sweeps and applies ``cuts``; no pixel is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.schema import PARENTS
from darkhaloscope.survey import cuts
from darkhaloscope.survey.fits_tables import Columns
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root
from darkhaloscope.survey.sweeps import iter_sources

SELECTIONS = ("lrg_v1", "lrg_v2", "lrg_v3", "lrg_v4", "lrg_v5", "lrg_desi", "early_bright")
"""Selections; each has a flag column ``is_<selection>``."""

_FLUX_BANDS = ("g", "r", "z", "w1")
_DEPTH_TOLERANCE_MAG = 1.0

_COLUMNS = (
    *(f"FLUX_{b.upper()}" for b in _FLUX_BANDS),
    *(f"MW_TRANSMISSION_{b.upper()}" for b in _FLUX_BANDS),
    *(f"FLUX_IVAR_{b}" for b in ("R", "Z", "W1")),
    "FIBERFLUX_Z",
    "FIBERTOTFLUX_Z",
    "GAIA_PHOT_G_MEAN_MAG",
    "SERSIC",
    "SHAPE_R",
    "SHAPE_E1",
    "SHAPE_E2",
    "EBV",
    "MASKBITS",
)


def select_parents(root: Root, release: Release, tile: str, bricks: pa.Table) -> pa.Table:
    """Select the parent galaxies of one tile from the sweeps.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Bands, limits, mask bits.
    tile : str
        Tile key. A galaxy belongs to the tile of its brick.
    bricks : pyarrow.Table
        Schema ``BRICKS``; those of the tile inside the release are read,
        whatever is missing of their coadds.

    Returns
    -------
    pyarrow.Table
        Schema ``PARENTS``, sorted by brick and object: every source that at
        least one selection takes, point sources included, with
        ``reject_reason`` for those unfit as hosts.

    Raises
    ------
    DataError
        If the tile has no brick, a sweep is damaged, a source occurs twice, or
        the sweeps' depths disagree with the brick table's.
    """
    mine = bricks.filter(
        pc.and_(pc.equal(bricks["tile"], tile), pc.not_equal(bricks["status"], "outside release"))
    )
    if mine.num_rows == 0:
        raise DataError(
            describe("Tile holds no brick of the release", row=tile, expected="at least one brick", got=0)
        )
    chunks = [
        _selected(chunk, release)
        for chunk in iter_sources(
            root, release, _wanted(release), brickids=mine["brickid"].to_numpy(), box=_box(mine)
        )
    ]
    rows = _concatenate([chunk for chunk in chunks if len(chunk["OBJID"])])
    if not rows:
        return PARENTS.arrow().empty_table()
    order = np.lexsort((rows["OBJID"], rows["BRICKNAME"]))
    rows = {name: values[order] for name, values in rows.items()}
    _require_equal_depths(rows, mine, release, tile)
    table = PARENTS.table(_schema_columns(rows, release, tile))
    _require_unique(table)
    return table


def host_ids(columns: Columns) -> list[str]:
    """Return release-brickid-objid of sweep rows."""
    return [
        f"{release}-{brick}-{obj}"
        for release, brick, obj in zip(
            columns["RELEASE"].tolist(), columns["BRICKID"].tolist(), columns["OBJID"].tolist(), strict=True
        )
    ]


def _wanted(release: Release) -> list[str]:
    upper = [b.upper() for b in release.bands]
    return [*_COLUMNS, *(f"{q}_{b}" for q in ("NOBS", "PSFSIZE", "PSFDEPTH") for b in upper)]


def _box(bricks: pa.Table) -> tuple[float, float, float, float]:
    """Return the box of the bricks, (ra1, ra2, dec1, dec2); ra1 > ra2 if it holds RA 0."""
    dec1, dec2 = float(np.min(bricks["dec1"].to_numpy())), float(np.max(bricks["dec2"].to_numpy()))
    reference = float(bricks["ra"].to_numpy()[0])
    # Offsets from one brick, so that neither RA 0 nor a brick across it needs a case of its own.
    centre = np.mod(bricks["ra"].to_numpy() - reference + 180.0, 360.0) - 180.0
    half = np.mod(bricks["ra2"].to_numpy() - bricks["ra1"].to_numpy(), 360.0) / 2.0
    low, high = float(np.min(centre - half)), float(np.max(centre + half))
    if high - low >= 360.0:
        return 0.0, 360.0, dec1, dec2
    return (reference + low) % 360.0, (reference + high) % 360.0, dec1, dec2


def _selected(columns: Columns, release: Release) -> Columns:
    """Add flags and reasons, and keep what any selection takes."""
    flux = {b: columns[f"FLUX_{b.upper()}"].astype(np.float64) for b in _FLUX_BANDS}
    types = columns["TYPE"].astype("<U8")
    flags = [*cuts.lrg_flags(flux), cuts.is_lrg_desi_south(columns), cuts.is_early_bright(types, flux["z"])]
    reasons = cuts.quality_reasons(
        release,
        types=types,
        maskbits=columns["MASKBITS"].astype(np.int64),
        nobs={b: columns[f"NOBS_{b.upper()}"].astype(np.int64) for b in release.bands},
        psf_fwhm_arcsec={b: columns[f"PSFSIZE_{b.upper()}"].astype(np.float64) for b in release.bands},
        psfdepth_mag={b: columns[f"PSFDEPTH_{b.upper()}_MAG"] for b in release.bands},
        ebv_mag=columns["EBV"].astype(np.float64),
    )
    extended = {**columns, **dict(zip(SELECTIONS, flags, strict=True)), "reject_reason": reasons}
    keep = np.logical_or.reduce(flags)
    return {name: values[keep] for name, values in extended.items()}


def _concatenate(chunks: list[Columns]) -> Columns:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]} if chunks else {}


def _schema_columns(rows: Columns, release: Release, tile: str) -> dict[str, Any]:
    def f64(name: str) -> NDArray[np.float64]:
        return rows[name].astype(np.float64)

    data: dict[str, Any] = {
        "host_id": host_ids(rows),
        "release": rows["RELEASE"].astype(np.int32),
        "brickid": rows["BRICKID"].astype(np.int32),
        "brickname": rows["BRICKNAME"].astype(object),
        "objid": rows["OBJID"].astype(np.int32),
        "ra": f64("RA"),
        "dec": f64("DEC"),
        "tile": [tile] * len(rows["RA"]),
        "type": rows["TYPE"].astype(object),
        **{f"flux_{b}_nmgy": f64(f"FLUX_{b.upper()}") for b in _FLUX_BANDS},
        **{f"mw_transmission_{b}": f64(f"MW_TRANSMISSION_{b.upper()}") for b in _FLUX_BANDS},
        "sersic": f64("SERSIC"),
        "shape_r_arcsec": f64("SHAPE_R"),
        "shape_e1": f64("SHAPE_E1"),
        "shape_e2": f64("SHAPE_E2"),
        "ebv": f64("EBV"),
        "maskbits": rows["MASKBITS"].astype(np.int32),
        **{f"is_{name}": rows[name] for name in SELECTIONS},
        "reject_reason": rows["reject_reason"].astype(object),
    }
    for band in release.bands:
        data[f"nobs_{band}"] = rows[f"NOBS_{band.upper()}"].astype(np.int32)
        data[f"psf_fwhm_{band}_arcsec"] = f64(f"PSFSIZE_{band.upper()}")
        data[f"psfdepth_{band}_mag"] = f64(f"PSFDEPTH_{band.upper()}_MAG")
    return data


def _require_equal_depths(rows: Columns, bricks: pa.Table, release: Release, tile: str) -> None:
    """Refuse depths that differ by more than weather: one of the two columns has the other's unit."""
    row_of = {brick: i for i, brick in enumerate(bricks["brickid"].to_pylist())}
    index = np.array([row_of[b] for b in rows["BRICKID"].tolist()])
    for band in release.bands:
        table = bricks[f"psfdepth_{band}_mag"].to_numpy()[index]
        difference = rows[f"PSFDEPTH_{band.upper()}_MAG"] - table
        known = np.isfinite(difference)
        median = float(np.median(difference[known])) if known.any() else 0.0
        if abs(median) > _DEPTH_TOLERANCE_MAG:
            raise DataError(
                describe(
                    "Depths of sweeps and brick table disagree",
                    field=f"PSFDEPTH_{band.upper()}",
                    row=f"tile {tile}",
                    expected=f"a median difference below {_DEPTH_TOLERANCE_MAG} mag",
                    got=f"{median:.2f} mag",
                    hint="sweeps must hold 1/nMgy^2, the brick table magnitudes",
                )
            )


def _require_unique(table: pa.Table) -> None:
    counts = pc.value_counts(table["host_id"])
    for entry in counts.to_pylist():
        if entry["counts"] > 1:
            raise DataError(
                describe(
                    "Source occurs twice in the sweeps",
                    field="host_id",
                    row=entry["values"],
                    expected="one row",
                    got=entry["counts"],
                    hint="the sweep directory holds overlapping files",
                )
            )
