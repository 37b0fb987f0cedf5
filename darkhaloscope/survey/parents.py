"""The parent sample of a tile: every source that any selection takes, and why some are unfit.

Reads sweeps and applies ``cuts``; no pixel is read. A sweep that is missing or
damaged costs its area, which is counted, not the tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.schema import PARENTS, SELECTIONS
from darkhaloscope.survey import cuts
from darkhaloscope.survey.coverage import DAMAGED, MISSING, Coverage, box_of, cover, sweeps_of_box
from darkhaloscope.survey.fits_tables import Columns, DamagedFileError, Rows
from darkhaloscope.survey.layout import SweepFile
from darkhaloscope.survey.neighbours import nearest_arcsec
from darkhaloscope.survey.photoz import REDSHIFTS, RedshiftFiles, TileRedshifts
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, SurveyRoot, open_root
from darkhaloscope.survey.sweeps import iter_sources

ANCHOR_REACH_ARCSEC = 60.0
"""Separations from known objects are stated up to here: more than twice a stamp."""

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


@dataclass(frozen=True)
class Parents:
    """The parent sample of a tile and how much of the tile it covers.

    Parameters
    ----------
    table : pyarrow.Table
        Schema ``PARENTS``, sorted by brick and object: every source that at
        least one selection takes, point sources included, with
        ``reject_reason`` for those unfit as hosts.
    coverage : Coverage
        Sweeps that were missing or damaged, and the area they cost.
    redshifts : RedshiftFiles
        Photo-z sweeps that were read, missing or damaged; those cost no row.
    """

    table: pa.Table
    coverage: Coverage
    redshifts: RedshiftFiles


def select_parents(
    root: Root, release: Release, tile: str, bricks: pa.Table, anchors: pa.Table | None = None
) -> Parents:
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
    anchors : pyarrow.Table, optional
        Schema ``ANCHORS``: known lenses and look-alikes, anywhere on the sky,
        whose galaxies and neighbours are marked.

    Returns
    -------
    Parents

    Raises
    ------
    MissingDataError
        If no sweep of the tile can be read.
    DataError
        If the tile has no brick, a source occurs twice, sweeps hold another
        release's sources, their depths disagree with the brick table's, or a
        photo-z sweep does not go with its sweep.
    """
    mine = bricks_of_tile(bricks, tile)
    files = open_root(root)
    present = sweeps_of_box(files, release, box_of(mine))
    parts: list[pa.Table] = []
    lost: dict[str, tuple[str, str]] = {}
    redshifts = TileRedshifts(files)
    for sweep in present:
        try:
            rows = [
                PARENTS.table(_schema_columns(columns, release, tile, mine, anchors))
                for columns in redshifts.of(
                    sweep, _sources(files, sweep, release, mine["brickid"].to_numpy())
                )
            ]
        except MissingDataError as error:
            lost[sweep.relative] = (MISSING, str(error))
        except DamagedFileError as error:
            lost[sweep.relative] = (DAMAGED, str(error))
        else:
            parts += rows  # of sweeps that were read to their end
    coverage = cover(mine, present, lost)
    if coverage.lost and not coverage.sweeps_read:
        raise MissingDataError(
            describe(
                "No sweep of the tile can be read",
                file=files.where(release.sweep_directory),
                row=f"tile {tile}",
                expected="at least one",
                got=[f"{sweep.name} {sweep.status}" for sweep in coverage.lost],
                hint="copy the sweeps of the tile",
            )
        )
    if not parts:
        return Parents(PARENTS.arrow().empty_table(), coverage, redshifts.files())
    table = pa.concat_tables(parts).sort_by([("brickname", "ascending"), ("objid", "ascending")])
    del parts
    _require_unique(table)
    _require_equal_depths(table, mine, release, tile)
    return Parents(table.combine_chunks(), coverage, redshifts.files())


def bricks_of_tile(bricks: pa.Table, tile: str) -> pa.Table:
    """Return the bricks of a tile inside the release.

    Raises
    ------
    DataError
        If there is none.
    """
    mine = bricks.filter(
        pc.and_(pc.equal(bricks["tile"], tile), pc.not_equal(bricks["status"], "outside release"))
    )
    if mine.num_rows == 0:
        raise DataError(
            describe("Tile holds no brick of the release", row=tile, expected="at least one brick", got=0)
        )
    return mine


def _sources(
    files: SurveyRoot, sweep: SweepFile, release: Release, brickids: NDArray[np.int32]
) -> Iterator[Columns]:
    """Stream from one sweep what any selection takes."""
    try:
        path = files.path(sweep.relative)
    except MissingDataError:
        raise
    except DataError as error:  # it arrives damaged every time
        raise DamagedFileError(str(error)) from error
    return iter_sources(
        path, release, _wanted(release), brickids=brickids, where=lambda rows: _taken(rows, release)
    )


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


def _taken(rows: Rows, release: Release) -> NDArray[np.bool_]:
    """Say which sources any selection takes."""
    return np.asarray(np.logical_or.reduce(list(cuts.selection_flags(rows, release).values())))


def _schema_columns(
    rows: Columns, release: Release, tile: str, bricks: pa.Table, anchors: pa.Table | None
) -> dict[str, Any]:
    def f64(name: str) -> NDArray[np.float64]:
        return rows[name].astype(np.float64)

    at = _brick_rows(rows["BRICKID"], bricks)
    passes, reasons = cuts.quality_flags(
        release,
        primary=cuts.in_primary_box(
            f64("RA"), f64("DEC"), {n: bricks[n].to_numpy()[at] for n in ("ra1", "ra2", "dec1", "dec2")}
        ),
        types=rows["TYPE"],
        maskbits=rows["MASKBITS"].astype(np.int64),
        nobs={b: rows[f"NOBS_{b.upper()}"].astype(np.int64) for b in release.bands},
        psf_fwhm_arcsec={b: f64(f"PSFSIZE_{b.upper()}") for b in release.bands},
        psfdepth_mag={b: rows[f"PSFDEPTH_{b.upper()}_MAG"] for b in release.bands},
        ebv_mag=f64("EBV"),
    )
    flags = cuts.selection_flags(rows, release)
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
        **{name: pa.array(rows[name], from_pandas=True) for name in REDSHIFTS},
        "maskbits": rows["MASKBITS"].astype(np.int32),
        **{f"is_{name}": flags[name] for name in SELECTIONS},
        **{f"passes_{name}": passes[name] for name in cuts.QUALITY_CUTS},
        "reject_reason": reasons.astype(object),
        "anchor_separation_arcsec": _anchor_separation(f64("RA"), f64("DEC"), anchors),
    }
    for band in release.bands:
        data[f"nobs_{band}"] = rows[f"NOBS_{band.upper()}"].astype(np.int32)
        data[f"psf_fwhm_{band}_arcsec"] = f64(f"PSFSIZE_{band.upper()}")
        data[f"psfdepth_{band}_mag"] = f64(f"PSFDEPTH_{band.upper()}_MAG")
    return data


def _brick_rows(brickids: NDArray[np.int32], bricks: pa.Table) -> NDArray[np.int64]:
    """Return the row of each source's brick in the brick table."""
    ids = bricks["brickid"].to_numpy()
    order = np.argsort(ids)
    return np.asarray(order[np.searchsorted(ids, brickids, sorter=order)])


def _anchor_separation(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], anchors: pa.Table | None
) -> pa.Array:
    """Return how far the nearest known object is, null beyond ``ANCHOR_REACH_ARCSEC``."""
    known = ([], []) if anchors is None else (anchors["ra"].to_numpy(), anchors["dec"].to_numpy())
    separation, _ = nearest_arcsec(ra_deg, dec_deg, *known)
    return pa.array(separation, mask=separation > ANCHOR_REACH_ARCSEC)


def _require_equal_depths(parents: pa.Table, bricks: pa.Table, release: Release, tile: str) -> None:
    """Refuse depths that differ by more than weather: one of the two columns has the other's unit."""
    index = _brick_rows(parents["brickid"].to_numpy(), bricks)
    for band in release.bands:
        table = bricks[f"psfdepth_{band}_mag"].to_numpy()[index]
        difference = parents[f"psfdepth_{band}_mag"].to_numpy() - table
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
    for entry in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist():
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
