"""Injection as work units: which rows go together, and how one unit is made.

A unit is a run of manifest rows that holds whole blocks, so every matched-light
control finds its twin inside. Its hosts are read once; its rows are made and
written a few blocks at a time. The stamps themselves are made in ``compose``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import tabular
from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.profiles import Profile
from darkhaloscope.schema import MANIFEST, STAMPS
from darkhaloscope.sources.library import shared_sources
from darkhaloscope.stamps.compose import make_stamps
from darkhaloscope.stamps.hostpixels import HostStamps, load_host_stamps, locate_hosts
from darkhaloscope.stamps.runs import run_ends
from darkhaloscope.survey.release import get_release
from darkhaloscope.units import Unit, UnitResult

_ROWS_AT_ONCE = 256
"""Bounds the memory of a worker: pixels, light and encoded pages of so many rows are held at a time."""


def plan_injection(
    experiment: Experiment,
    profile: Profile,
    *,
    manifest_paths: Sequence[str | Path],
    host_paths: Sequence[str | Path],
    bank_path: str | Path,
    staging: str | Path,
) -> list[Unit]:
    """Cut the manifest of a tile into work units.

    Parameters
    ----------
    experiment : Experiment
        Sent with every unit.
    profile : Profile
        ``unit_hosts`` and ``stamp_px``.
    manifest_paths, host_paths : sequence of path
        Parts of the tile's manifest and host cutouts.
    bank_path : path
        Source bank.
    staging : path
        Directory of the parts to be written.

    Returns
    -------
    list of dict
        Units of "darkhaloscope.stamps.inject:inject_unit", JSON only. They do
        not depend on the engine.

    Raises
    ------
    DataError
        If the manifest is empty.
    """
    columns = ["task_id", "pair_id", "host_id", "split"]
    tables = [tabular.read_table(path, columns) for path in manifest_paths]
    table = pa.concat_tables(tables)
    if table.num_rows == 0:
        raise DataError(
            describe("The manifest is empty", file=manifest_paths[0], expected="at least one task")
        )
    new_host = _first_rows(table["host_id"])
    units = []
    for number, rows in enumerate(_runs(_regions(table, new_host, profile), new_host, profile.unit_hosts)):
        unit_id = f"part-{number:05d}"
        host_ids = set(table["host_id"].take(pa.array(rows)).to_pylist())
        units.append(
            {
                "unit_id": unit_id,
                "output": str(Path(staging, f"{unit_id}.parquet")),
                "experiment": experiment.model_dump(mode="json"),
                "size_px": profile.stamp_px,
                "manifest": _places(rows, manifest_paths, [t.num_rows for t in tables]),
                "hosts": locate_hosts(host_paths, host_ids),
                "bank": str(bank_path),
            }
        )
    return units


def inject_unit(unit: Unit) -> UnitResult:
    """Make the stamps of one unit: a unit function.

    Parameters
    ----------
    unit : dict
        From :func:`plan_injection`.

    Returns
    -------
    dict
        ``rows``, ``sha256`` and ``statuses`` (rows per status).
    """
    experiment = Experiment.model_validate(unit["experiment"])
    rows = pa.concat_tables([_read_rows(part["path"], part["ranges"]) for part in unit["manifest"]])
    hosts = load_hosts_for(experiment, unit["hosts"], size_px=unit["size_px"])
    sources = shared_sources(experiment.sources.kind, unit["bank"])
    statuses: Counter[str] = Counter()
    with tabular.open_writer(unit["output"], STAMPS) as writer:
        for some in _runs(_blocks(rows), np.ones(rows.num_rows, dtype=np.intp), _ROWS_AT_ONCE):
            whole = some[-1] - some[0] + 1 == len(some)
            here = rows.slice(some[0], len(some)) if whole else rows.take(pa.array(some))
            stamps = make_stamps(here, hosts=hosts, sources=sources, experiment=experiment)
            statuses.update(stamps["status"].to_pylist())
            writer.write(stamps)
            del stamps  # before the next ones are made
    part = writer.part
    assert part is not None
    return {"rows": part.rows, "sha256": part.sha256, "statuses": dict(sorted(statuses.items()))}


def load_hosts_for(experiment: Experiment, located: Sequence[dict[str, Any]], *, size_px: int) -> HostStamps:
    """Load host stamps by the rules of an experiment.

    Parameters
    ----------
    experiment : Experiment
        Release, bad-pixel limit and whether photon noise is added.
    located : sequence of dict
        From :func:`darkhaloscope.stamps.hostpixels.locate_hosts`.
    size_px : int
        Side of the stamps.

    Returns
    -------
    HostStamps
    """
    return load_host_stamps(
        located,
        size_px=size_px,
        release=get_release(experiment.survey.release),
        max_bad_pixel_frac=experiment.hosts.max_bad_pixel_frac,
        photon_noise=experiment.noise.arc_shot_noise,
    )


def _first_rows(column: pa.ChunkedArray) -> NDArray[np.intp]:
    """Return 1 where a value occurs for the first time, 0 elsewhere."""
    first = np.zeros(len(column), dtype=np.intp)
    first[np.unique(np.asarray(column.to_pylist()), return_index=True)[1]] = 1
    return first


def _regions(rows: pa.Table, new_host: NDArray[np.intp], profile: Profile) -> NDArray[np.intp]:
    """Return a label per row: the run of neighbouring hosts its block was formed in.

    Blocks of a run hold hosts from all over it (:func:`darkhaloscope.stamps.roles.assign_blocks`),
    so a unit of part of a run would read the cutouts of all of it.
    """
    split = np.asarray(rows["split"].to_pylist())
    segment = np.cumsum(np.concatenate([[True], split[1:] != split[:-1]]))
    hosts_before = np.cumsum(new_host) - new_host
    block, label, used = _blocks(rows), np.empty(rows.num_rows, dtype=np.intp), 0
    for number in range(1, segment[-1] + 1):
        here = np.flatnonzero(segment == number)
        ends = run_ends(int(new_host[here].sum()), profile.unit_hosts)
        place = hosts_before[block[here]] - hosts_before[here[0]]
        label[here] = used + np.searchsorted(ends, place, side="right")
        used += len(ends)
    # A block that reaches over two segments goes where it begins.
    return label[block]


def _blocks(rows: pa.Table) -> NDArray[np.intp]:
    """Return the first row of every row's block: rows that share a pair or a host, be it through others."""
    groups = [
        np.unique(np.asarray(rows[name].to_pylist()), return_inverse=True)[1]
        for name in ("pair_id", "host_id")
    ]
    first = np.arange(rows.num_rows)
    while True:
        before = first
        for group in groups:
            lowest = np.full(len(first), len(first))
            np.minimum.at(lowest, group, first)
            first = lowest[group]
        if np.array_equal(first, before):
            return first


def _runs(block: NDArray[np.intp], weight: NDArray[np.intp], limit: int) -> Iterable[list[int]]:
    """Yield rows of whole blocks, in manifest order; a run ends before its weights pass ``limit``."""
    members: dict[int, list[int]] = {}
    for row, label in enumerate(block.tolist()):
        members.setdefault(label, []).append(row)
    rows: list[int] = []
    total = 0
    for block_rows in members.values():
        more = int(weight[block_rows].sum())
        if rows and total + more > limit:
            yield sorted(rows)
            rows, total = [], 0
        rows += block_rows
        total += more
    if rows:
        yield sorted(rows)


def _places(rows: Sequence[int], paths: Sequence[str | Path], lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Say in which files the rows are, as half-open ranges of rows of each file."""
    places = []
    start = 0
    for path, length in zip(paths, lengths, strict=True):
        inside = [row - start for row in rows if start <= row < start + length]
        start += length
        if inside:
            places.append({"path": str(path), "ranges": _ranges(inside)})
    return places


def _ranges(rows: Sequence[int]) -> list[list[int]]:
    """Turn ascending numbers into half-open ranges."""
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and ranges[-1][1] == row:
            ranges[-1][1] = row + 1
        else:
            ranges.append([row, row + 1])
    return ranges


def _read_rows(path: str | Path, ranges: Sequence[Sequence[int]]) -> pa.Table:
    """Read ranges of rows of a manifest, touching only the row groups that hold them."""
    wanted = np.concatenate([np.arange(start, stop) for start, stop in ranges])
    groups = tabular.read_row_groups(path, wanted, MANIFEST.names())
    return pa.concat_tables([table.take(pa.array(inside)) for table, inside in groups])
