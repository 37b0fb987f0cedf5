"""Host cutouts: the pixels of each parent galaxy, cut once for every experiment.

Plans work units over whole bricks and runs one unit. A parent that cannot be
cut stays as a row with its status.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.schema import HOSTS, SELECTIONS
from darkhaloscope.streams import uniform
from darkhaloscope.survey.coadds import cut_positions
from darkhaloscope.survey.cutout import OK, Cutout, no_cutout
from darkhaloscope.survey.photometry import magnitude
from darkhaloscope.survey.photoz import REDSHIFTS
from darkhaloscope.survey.release import Release, get_release
from darkhaloscope.survey.roots import Root, open_root
from darkhaloscope.survey.skylevel import brick_sky_nmgy
from darkhaloscope.tabular import open_writer
from darkhaloscope.units import Unit, UnitResult

UNIT_FUNCTION = "darkhaloscope.survey.hosts:cut_hosts"
"""Dotted name of the unit function."""

REJECTED = "rejected_parent"

WRITE_ROWS = 128
"""Rows, at least, that are written together: several row groups."""

_SAMPLE_SEED = 0
_BRICK_COLUMNS = ("brickname", "ra", "dec", "ra1", "ra2", "dec1", "dec2")
_REACH_DEG = 0.05
_COPIED = ("host_id", "ra", "dec", "tile", "type", "shape_r_arcsec", "ebv", "reject_reason")
_CARRIED_BY_BAND = ("psfdepth_{b}_mag", "nobs_{b}", "flux_{b}_nmgy")


def plan_host_units(
    parents: pa.Table,
    bricks: pa.Table,
    *,
    survey_root: Root,
    release: Release,
    size_px: int,
    staging: str | Path,
    unit_hosts: int,
    profile_max_hosts: int | None,
    include_ids: Collection[str] = (),
    selections: Collection[str] = SELECTIONS,
) -> list[Unit]:
    """Divide the parents of a tile into work units of whole bricks.

    Parameters
    ----------
    parents : pyarrow.Table
        Schema ``PARENTS``.
    bricks : pyarrow.Table
        Schema ``BRICKS``; neighbours of other tiles included.
    survey_root : Root
        Survey root; absolute for engines on other machines.
    release : Release
        Bands, scale, bad bits.
    size_px : int
        Side of the cutouts.
    staging : path
        Directory of the parts.
    unit_hosts : int
        Rows after which a unit is closed; a brick is never divided.
    profile_max_hosts : int or None
        Galaxies taken, by id hash; None for all.
    include_ids : collection of str, optional
        Parents cut even if a quality cut rejects them or the sample is full.
    selections : collection of str, optional
        Only parents that one of these takes; by default any of ``SELECTIONS``.

    Returns
    -------
    list of dict
        JSON values for :func:`cut_hosts`. Every sampled parent and every
        rejected one has a row in exactly one unit.

    Raises
    ------
    ConfigError
        If ``size_px`` or ``unit_hosts`` is not positive, or a selection is unknown.
    """
    unknown = sorted(set(selections) - set(SELECTIONS))
    if unknown or not selections:
        raise ConfigError(
            describe(
                "Selections of hosts",
                field="host_selections",
                expected=f"some of {list(SELECTIONS)}",
                got=unknown or "none",
            )
        )
    for name, value in (("size_px", size_px), ("unit_hosts", unit_hosts)):
        if value < 1:
            raise ConfigError(describe("Size of host units", field=name, expected="at least 1", got=value))
    settings = open_root(survey_root).settings
    rows = _sampled(parents, profile_max_hosts, include_ids, selections)
    carried = [*_COPIED, *REDSHIFTS, *(f"is_{name}" for name in SELECTIONS), "brickname"]
    carried += [name.replace("{b}", b) for name in _CARRIED_BY_BAND for b in release.bands]
    # A tile has hundreds of thousands of hosts: what no cutout needs does not become JSON.
    rows = rows.select(carried).sort_by([("brickname", "ascending"), ("host_id", "ascending")])
    names = rows["brickname"].to_pylist()
    listed = frozenset(include_ids)
    units: list[Unit] = []
    start = 0
    for i in range(1, len(names) + 1):
        end_of_brick = i == len(names) or names[i] != names[i - 1]
        if end_of_brick and (i == len(names) or i - start >= unit_hosts):
            part = rows.slice(start, i - start)
            units.append(
                {
                    "unit_id": f"hosts-{len(units):05d}",
                    "output": str(Path(staging) / f"hosts-{len(units):05d}.parquet"),
                    "survey_root": settings.as_dict(),
                    "release": release.name,
                    "size_px": size_px,
                    "hosts": _json_columns(part),
                    "listed": sorted(listed.intersection(part["host_id"].to_pylist())),
                    "bricks": _json_columns(_bricks_around(bricks, part, release)),
                }
            )
            start = i
    return units


def cut_hosts(unit: Unit) -> UnitResult:
    """Cut the hosts of one unit and write them, schema ``HOSTS``.

    Parameters
    ----------
    unit : dict
        As made by :func:`plan_host_units`.

    Returns
    -------
    dict
        ``rows`` and ``statuses`` (rows per status).
    """
    release = get_release(unit["release"])
    hosts: dict[str, Any] = unit["hosts"]
    bricks = pa.table(unit["bricks"])
    statuses: Counter[str] = Counter()
    ready: list[pa.Table] = []
    with open_writer(unit["output"], HOSTS) as writer:
        for start, stop in _bricks_of(hosts["brickname"]):
            rows = {name: values[start:stop] for name, values in hosts.items()}
            table = _cut_rows(unit, release, bricks, rows)
            statuses.update(table["status"].to_pylist())
            ready.append(table)
            if sum(t.num_rows for t in ready) >= WRITE_ROWS or stop == len(hosts["host_id"]):
                # The pixels of one brick, or of few small ones, are all that is held.
                writer.write(pa.concat_tables(ready).combine_chunks())
                ready = []
    assert writer.part is not None
    return {
        "rows": writer.part.rows,
        "statuses": dict(sorted(statuses.items())),
        "sha256": writer.part.sha256,
    }


def _bricks_of(names: list[str]) -> list[tuple[int, int]]:
    """Return the first and one past the last row of each brick, rows being sorted by brick."""
    edges = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
    return list(pairwise(edges))


def _cut_rows(unit: Unit, release: Release, bricks: pa.Table, rows: dict[str, list[Any]]) -> pa.Table:
    """Cut the hosts of one brick."""
    size, listed = int(unit["size_px"]), frozenset(unit["listed"])
    n = len(rows["host_id"])
    chosen = [i for i in range(n) if not rows["reject_reason"][i] or rows["host_id"][i] in listed]
    pick = {name: [rows[name][i] for i in chosen] for name in ("ra", "dec", "brickname")}
    cut = cut_positions(
        unit["survey_root"], release, bricks, pick["ra"], pick["dec"], size, pick["brickname"]
    )
    cutouts: list[Cutout] = [no_cutout(REJECTED, release, name) for name in rows["brickname"]]
    for i, cutout in zip(chosen, cut, strict=True):
        cutouts[i] = cutout
    sky = _sky_levels(unit["survey_root"], release, bricks, {c.brickname for c in cutouts})
    return HOSTS.table(_host_columns(rows, cutouts, sky, release, size), size)


def _sampled(
    parents: pa.Table, max_hosts: int | None, include_ids: Collection[str], selections: Collection[str]
) -> pa.Table:
    """Keep rejected and listed parents and the ``max_hosts`` others that come first by id hash."""
    ids = parents["host_id"].to_pylist()
    flagged = np.zeros(len(ids), dtype=bool)
    for selection in selections:
        flagged |= parents[f"is_{selection}"].to_numpy(zero_copy_only=False)
    rejected = pc.not_equal(parents["reject_reason"], "").to_numpy(zero_copy_only=False)
    listed = np.isin(np.array(ids, dtype=object).astype(str), sorted(include_ids))
    usable = flagged & ~rejected & ~listed
    if max_hosts is not None and usable.sum() > max_hosts:
        rank = uniform(_SAMPLE_SEED, "host_sample", ids)
        rank[~usable] = np.inf
        usable[np.argsort(rank, kind="stable")[max_hosts:]] = False
    return parents.filter(pa.array(usable | listed | (flagged & rejected)))


def _bricks_around(bricks: pa.Table, hosts: pa.Table, release: Release) -> pa.Table:
    """Return the hosts' bricks and those that overlap them, with geometry and sky level."""
    own = bricks.filter(pc.is_in(bricks["brickname"], value_set=pc.unique(hosts["brickname"])))
    near = np.zeros(bricks.num_rows, dtype=bool)
    column = {name: bricks[name].to_numpy() for name in ("ra", "dec", "ra1", "ra2", "dec1", "dec2")}
    shrink = np.maximum(np.cos(np.radians(column["dec"])), 1e-6)
    half_ra = np.mod(column["ra2"] - column["ra1"], 360.0) / 2.0
    half_dec = (column["dec2"] - column["dec1"]) / 2.0
    for row in own.to_pylist():
        gap = np.abs(np.mod(column["ra"] - row["ra"] + 180.0, 360.0) - 180.0)
        reach_ra = half_ra + ((row["ra2"] - row["ra1"]) % 360.0) / 2.0 + _REACH_DEG / shrink
        reach_dec = half_dec + (row["dec2"] - row["dec1"]) / 2.0 + _REACH_DEG
        near |= (gap <= reach_ra) & (np.abs(column["dec"] - row["dec"]) <= reach_dec)
    sky = [f"sky_{b}_nmgy" for b in release.bands]
    return bricks.filter(pa.array(near)).select([*_BRICK_COLUMNS, *sky]).sort_by("brickname")


def _sky_levels(
    root: Root, release: Release, bricks: pa.Table, names: set[str]
) -> dict[str, NDArray[np.float64]]:
    """Return sky level per band (nMgy/px) of each brick that gave pixels."""
    known = bricks["brickname"].to_pylist()
    table = np.stack(
        [
            np.array([np.nan if v is None else v for v in bricks[f"sky_{b}_nmgy"].to_pylist()], dtype=float)
            for b in release.bands
        ],
        axis=1,
    )
    return {
        name: brick_sky_nmgy(root, release, name, table[known.index(name)])
        for name in sorted(names & set(known))
    }


def _host_columns(
    hosts: dict[str, Any],
    cutouts: list[Cutout],
    sky: dict[str, NDArray[np.float64]],
    release: Release,
    size: int,
) -> dict[str, Any]:
    n, bands = len(cutouts), release.bands
    unknown = np.full(len(bands), np.nan)
    level = np.array([sky.get(c.brickname, unknown) for c in cutouts]).reshape(n, len(bands))
    status = np.array([c.status for c in cutouts], dtype=object)
    for k, band in enumerate(bands):
        # Photon noise needs the sky; a brick without a believable level cannot give hosts.
        status[(status == OK) & ~np.isfinite(level[:, k])] = f"no_sky_{band}"
    ok = status == OK
    image = np.zeros((n, len(bands), size, size), dtype=np.float32)
    invvar = np.zeros_like(image)
    mask = np.zeros((n, size, size), dtype=np.int32)
    for i in np.flatnonzero(ok):
        image[i], invvar[i] = cutouts[i].image, cutouts[i].invvar
        mask[i] = cutouts[i].maskbits  # type: ignore[assignment]  # a cutout with status ok has all planes
    data: dict[str, Any] = {name: _plain(hosts[name]) for name in _COPIED}
    data |= {f"is_{selection}": hosts[f"is_{selection}"] for selection in SELECTIONS}
    data |= {
        "brickname": [c.brickname for c in cutouts],
        "x_offset_px": _nullable([c.x_offset_px for c in cutouts]),
        "y_offset_px": _nullable([c.y_offset_px for c in cutouts]),
        "status": status,
        "nan_pixels": np.array([c.nan_pixels for c in cutouts], dtype=np.int32),
        "image": _tensor("image", image, ok, size),
        "invvar": _tensor("invvar", invvar, ok, size),
        "maskbits": _tensor("maskbits", mask, ok, size),
    }
    data |= {name: _nullable(_plain(hosts[name])) for name in REDSHIFTS}
    for k, band in enumerate(bands):
        data[f"psf_fwhm_{band}_arcsec"] = _nullable([c.psf_fwhm_arcsec[k] for c in cutouts])
        data[f"bad_pixel_frac_{band}"] = _nullable([c.bad_pixel_frac[k] for c in cutouts])
        data[f"psfdepth_{band}_mag"] = _plain(hosts[f"psfdepth_{band}_mag"])
        data[f"nexp_{band}"] = hosts[f"nobs_{band}"]
        data[f"host_mag_{band}"] = _nullable(magnitude(_plain(hosts[f"flux_{band}_nmgy"])))
        data[f"sky_{band}_nmgy"] = level[:, k]
    return data


def _tensor(name: str, values: NDArray[Any], valid: NDArray[np.bool_], size: int) -> pa.Array:
    """Return a pixel column that is null where ``valid`` is false, without copying."""
    column = next(c for c in HOSTS.pixel_columns() if c.name == name)
    tensor = column.tensor_type(size)
    flat = pa.array(values.reshape(-1), type=column.value_type)
    width = math.prod(values.shape[1:])
    storage = pa.FixedSizeListArray.from_arrays(flat, width, mask=pa.array(~valid))
    return pa.ExtensionArray.from_storage(tensor, storage)


def _json_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return columns as JSON values; NaN becomes None."""
    return {
        name: [
            sys.intern(value)  # a tile's name once, not once per host
            if isinstance(value, str)
            else None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for value in table[name].to_pylist()
        ]
        for name in table.column_names
    }


def _plain(values: list[Any]) -> Any:
    """Undo :func:`_json_columns` for numbers: None becomes NaN."""
    if any(isinstance(v, str) for v in values):
        return values
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _nullable(values: Any) -> pa.Array:
    """Return a float64 column in which NaN is null."""
    return pa.array(np.asarray(values, dtype=np.float64), type=pa.float64(), from_pandas=True)
