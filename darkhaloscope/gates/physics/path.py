"""P6, P7: do stamps follow from their rows, and does the path itself leave a mark.

Rows are made again through the production path and compared byte for byte:
positives and controls from their recorded parameters (P6), positives without a
source's flux against their hosts (P7). Whether that path is right is asked by
gates that do not use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.physics.arcs import Arcs, TaskReader, read_as_made
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.profiles import Profile
from darkhaloscope.schema import STAMPS, Role, per_band
from darkhaloscope.stamps.agreement import compare_rows
from darkhaloscope.stamps.hostpixels import HostStamps
from darkhaloscope.stamps.nulls import MARK_NMGY, null_injections
from darkhaloscope.stamps.rerender import render_rows
from darkhaloscope.streams import uniform
from darkhaloscope.tabular import pixels

P6, P7 = "P6", "P7"

PIXEL_COLUMNS = tuple(column.name for column in STAMPS.pixel_columns())
PARAMETERS = (
    *(column.name for column in STAMPS if column.role is Role.TRUTH),
    *per_band("psf_fwhm_{b}_arcsec"),
    "x_offset_px",
    "y_offset_px",
)
"""Recorded columns that decide what is rendered."""

RESULTS = tuple(column.name for column in STAMPS if column.role is Role.RESULT)

_ROWS_PER_KIND = 25
_NAMED = 4
UNLIT = ("paired", "unpaired", "hard_negative")
"""Controls whose stamps are their hosts."""


def chosen_rows(table: pa.Table, seed: int, n_per_kind: int = _ROWS_PER_KIND) -> pa.Table:
    """Return rows of every class, chosen by id hash.

    Raises
    ------
    DataError
        If there are no rows.
    """
    if table.num_rows == 0:
        raise DataError(describe("No rows to make again", expected="at least one row", got=0))
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    draw = uniform(seed, "rerender_sample", table["task_id"].to_pylist())
    order = np.argsort(draw, kind="stable")
    rows = np.concatenate([order[kind[order] == name][:n_per_kind] for name in sorted(set(kind.tolist()))])
    return table.take(pa.array(np.sort(rows)))


def measure_rerendering(
    table: pa.Table,
    shards: TaskReader,
    *,
    experiment: Experiment,
    profile: Profile,
    manifest_paths: Sequence[str | Path],
    stamp_paths: Sequence[str | Path],
    hosts_paths: Sequence[str | Path],
    bank_path: str | Path,
) -> Measured:
    """Make rows again from manifest, host and source, and compare what follows from parameters (P6).

    Parameters
    ----------
    table : pyarrow.Table
        Columns of the rows, from :func:`chosen_rows`.
    shards : TaskReader
        Their stamps; a quantised set is read from the archive, as it was made.
    experiment, profile, manifest_paths, hosts_paths, bank_path
        As in :func:`darkhaloscope.stamps.rerender.render_rows`.
    stamp_paths : sequence of path
        The archive.

    Returns
    -------
    dict
        ``rows``; rows whose ``pixels``, ``parameters`` or ``results`` differ, with
        the columns by number of rows and the largest difference as a share of the peak.
    """
    ids = table["task_id"].to_pylist()
    made = render_rows(
        ids,
        experiment=experiment,
        profile=profile,
        manifest_paths=manifest_paths,
        host_paths=hosts_paths,
        bank_path=bank_path,
    )
    stored = shards.load(ids)
    if experiment.storage.form == "quantised":
        image = read_as_made(shards, stamp_paths, table["task_id"], experiment, profile.stamp_px).image
        stored = _with_image(stored, image)
    measured: Measured = {"rows": len(ids)}
    agreements = compare_rows(stored, made, tolerance=0.0)
    for group, names in (("pixels", PIXEL_COLUMNS), ("parameters", PARAMETERS), ("results", RESULTS)):
        counted: Counter[str] = Counter()
        largest, rows = 0.0, 0
        for agreement in agreements:
            differing = [name for name in names if name in agreement.difference]
            counted.update(differing)
            rows += bool(differing)
            finite = [agreement.difference[name] for name in differing]
            largest = max([largest, *(value for value in finite if np.isfinite(value))])
        measured[group] = {"rows": rows, "columns": dict(counted.most_common()), "largest": largest}
    return measured


def judge_rerendering(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a row is not what its recorded parameters give (P6)."""
    limit, n = limits.get(P6, "max_rows"), measured["rows"]
    least = limits.get(P6, "min_rows")
    if n < least.value:
        return failed(least, f"{n} rows made again; {least.value:g} needed", measured, n=n)
    told = {
        "parameters": "parameters recorded are not those applied",
        "pixels": "pixels are not those of the recorded parameters",
        "results": "recorded results are not those of the pixels",
    }
    for group, text in told.items():
        found = measured[group]
        if found["rows"] > limit.value:
            names = list(found["columns"])
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            reason = (
                f"{text} in {found['rows']} of {n} rows: {', '.join(names[:_NAMED])}{more}"
                f" (by up to {found['largest']:.1e} of the peak)"
            )
            return failed(limit, reason, measured, value=found["rows"], n=n)
    return passed(limit, f"{n} rows made again agree byte for byte", measured, value=0, n=n)


def measure_nulls(
    arcs: Arcs,
    table: pa.Table,
    shards: TaskReader,
    *,
    stamp_paths: Sequence[str | Path],
    control_hosts: HostStamps,
    experiment: Experiment,
) -> Measured:
    """Inject nothing, and compare with the host's cutout (P7).

    Parameters
    ----------
    arcs : Arcs
        Positives and their hosts: each is injected again with a source of no flux.
    table : pyarrow.Table
        Columns of controls to which nothing was added, k rows: injections of
        nothing that the real run made.
    shards : TaskReader
        Their stamps.
    stamp_paths : sequence of path
        The archive.
    control_hosts : HostStamps
        Hosts of the controls.
    experiment : Experiment
        The path.

    Returns
    -------
    dict
        For ``injected`` and ``controls``: ``rows``, ``refused`` and, by pixel
        column, rows that differ from the host; ``largest_nmgy``.
    """
    size = arcs.light.shape[-1]
    measured: Measured = {}
    null = null_injections(arcs.table, arcs.hosts, experiment)
    ok = np.asarray(null["status"].to_pylist(), dtype=object) == "ok"
    null = null.filter(pa.array(ok))
    at = _places(null, arcs.hosts)
    planes = {name: pixels(null, name) for name in PIXEL_COLUMNS} if null.num_rows else {}
    measured["injected"] = {**_differences(planes, arcs.hosts, at), "refused": int((~ok).sum())}
    found = np.array([i in control_hosts.row_of for i in table["host_id"].to_pylist()], dtype=bool)
    rows = table.filter(pa.array(found))
    stored = read_as_made(shards, stamp_paths, rows["task_id"], experiment, size)
    planes = {"image": stored.image, "invvar": stored.invvar}
    measured["controls"] = {
        **_differences(planes, control_hosts, _places(rows, control_hosts)),
        "refused": int((~found).sum()),
    }
    return measured


def judge_nulls(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when an injection of nothing changes a byte of its host (P7)."""
    limit, least = limits.get(P7, "max_rows"), limits.get(P7, "min_rows")
    injected, controls = measured["injected"], measured["controls"]
    n = injected["rows"] + controls["rows"]
    if injected["refused"]:
        return failed(None, f"{injected['refused']} null injections were refused by the path", measured, n=n)
    if injected["rows"] < least.value:
        reason = f"{injected['rows']} null injections; {least.value:g} needed"
        return failed(least, reason, measured, n=n)
    for of, told in ((injected, "injections of nothing"), (controls, "controls to which nothing was added")):
        changed = of["changed"]
        if max(changed.values(), default=0) > limit.value:
            names = ", ".join(f"{name} of {k}" for name, k in changed.items() if k)
            reason = (
                f"{told} differ from their host: {names} of {of['rows']} rows,"
                f" by up to {of['largest_nmgy']:.1e} nMgy"
            )
            return failed(limit, reason, measured, value=max(changed.values()), n=n)
    reason = f"{injected['rows']} injections of nothing and {controls['rows']} dark controls are their hosts"
    return passed(limit, reason, measured, value=0, n=n)


def _differences(planes: dict[str, NDArray[np.float32]], hosts: HostStamps, at: NDArray[np.intp]) -> Measured:
    changed: dict[str, int] = {}
    largest = 0.0
    for name, values in planes.items():
        bare = getattr(hosts, name)[at]
        same = values.view(np.int32) == bare.view(np.int32)
        if name == "image":
            difference = np.abs(values.astype(np.float64) - bare)
            # light of 1e-31 nMgy shows on pixels that are exactly zero
            same |= (bare == 0.0) & (difference < MARK_NMGY)
            largest = float(difference[~same].max(initial=0.0))
        changed[name] = int((~same.reshape(len(same), -1)).any(axis=1).sum()) if len(same) else 0
    return {"rows": len(at), "changed": changed, "largest_nmgy": largest}


def _places(table: pa.Table, hosts: HostStamps) -> NDArray[np.intp]:
    return np.array([hosts.row_of[name] for name in table["host_id"].to_pylist()], dtype=np.intp)


def _with_image(table: pa.Table, image: NDArray[np.float32]) -> pa.Table:
    columns = {
        name: pixels(table, name) if name in PIXEL_COLUMNS else table[name] for name in table.column_names
    }
    return STAMPS.table({**columns, "image": image}, image.shape[-1])
