"""How every asset becomes a partition of the store: plan, stage, build, commit, report.

An asset function says what it needs and calls the library; this module does
what is common to all: resume or reuse, commit, measure, turn a user's error
into a failure that is not retried, and give Dagster numbers under stable keys.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.metadata import WAIVERS, record_metadata, waiver_summary
from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore, equal_plan, plan_hash
from darkhaloscope.errors import ArtifactError, UserError
from darkhaloscope.hashing import hash_json
from darkhaloscope.metering import StageMeter

OWNER = "team:dark-halo-scope"


@dataclass
class Built:
    """What a build function hands back.

    Parameters
    ----------
    rows : dict of str to int
        Rows per part, by path relative to the staging directory.
    summary : dict
        Numbers for people; scalar entries become Dagster metadata.
    pictures : list of str
        Parts that are PNG figures, shown in the UI in this order.
    """

    rows: dict[str, int] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)

    @classmethod
    def from_units(cls, results: list[dict[str, Any]], **summary: Any) -> "Built":
        """Sum up unit results: rows, status counts, bytes, seconds, largest worker."""
        statuses: dict[str, int] = {}
        for result in results:
            for status, count in result.get("statuses", {}).items():
                statuses[status] = statuses.get(status, 0) + count
        return cls(
            rows={result["part"]: result["rows"] for result in results},
            summary={
                "statuses": dict(sorted(statuses.items())),
                "units": len(results),
                "unit_seconds": sum(result["seconds"] for result in results),
                "worker_peak_rss_mb": max((result["peak_rss_mb"] for result in results), default=0.0),
                **summary,
            },
        )


def fails_once(
    function: Callable[..., dg.MaterializeResult],
) -> Callable[..., dg.MaterializeResult]:
    """Turn a user's error in an asset into a failure that no retry policy repeats.

    The same input gives the same error; repeating it costs time and, on a
    cluster, money.
    """

    @functools.wraps(function)
    def guarded(*arguments: Any, **named: Any) -> dg.MaterializeResult:
        try:
            return function(*arguments, **named)
        except UserError as error:
            raise dg.Failure(description=f"{type(error).__name__}: {error}", allow_retries=False) from error

    return guarded


def build_partition(
    context: dg.AssetExecutionContext,
    store: ArtifactStore,
    name: str,
    *partition: str,
    build: Callable[[Path], Built],
    config_hash: str,
    code_version: str,
    inputs: Mapping[str, str],
    schema: str = "",
    reuse: bool = True,
    waivers: Sequence[Mapping[str, Any]] = (),
) -> dg.MaterializeResult:
    """Build one partition, or keep it if the same plan already made it.

    Parameters
    ----------
    context : AssetExecutionContext
        For the log.
    store : ArtifactStore
        Where to.
    name, *partition : str
        Asset name and partition key.
    build : callable
        Writes parts into the staging directory it is given.
    config_hash, code_version, inputs
        The plan.
    schema : str
        Schema of the parts, ``"name/version"``.
    reuse : bool
        Whether an intact partition of the same plan may stay.
    waivers : sequence of dict
        What it rests on (``enforcement.standing_waivers``); a waiver that comes
        or goes is another plan.

    Returns
    -------
    MaterializeResult
        With the content hash as data version.
    """
    if waivers:
        inputs = {**inputs, WAIVERS: hash_json([dict(waiver) for waiver in waivers])}
    with StageMeter() as meter:
        record = _reusable(store, name, partition, config_hash, code_version, inputs) if reuse else None
        reused = record is not None
        if record is None:
            staging = store.stage(name, *partition, plan=plan_hash(config_hash, code_version, inputs))
            with StageMeter() as building:
                built = build(staging)
            record = store.commit(
                name,
                *partition,
                staging=staging,
                schema=schema,
                config_hash=config_hash,
                code_version=code_version,
                inputs=inputs,
                rows=built.rows,
                summary={
                    **built.summary,
                    **waiver_summary([*waivers, *built.summary.get(WAIVERS, [])]),
                    "pictures": built.pictures,
                    "stage_seconds": building.seconds,
                    "stage_peak_mb": building.peak_mb,
                },
            )
    context.log.info(
        f"{record.key}: {record.rows} rows, {len(record.parts)} parts, {record.content_hash[:12]}, "
        f"{meter.seconds:.1f} s{' (reused)' if reused else ''}"
    )
    return dg.MaterializeResult(
        metadata=record_metadata(store, record, reused=reused, seconds=meter.seconds),
        data_version=dg.DataVersion(record.content_hash),
    )


def _reusable(
    store: ArtifactStore,
    name: str,
    partition: tuple[str, ...],
    config_hash: str,
    code_version: str,
    inputs: Mapping[str, str],
) -> ArtifactRecord | None:
    if not store.has(name, *partition):
        return None
    try:
        record = store.record(name, *partition)
        if not equal_plan(record, config_hash, code_version, inputs):
            return None
        store.verify(record)
    except ArtifactError:  # damaged: build again rather than keep it
        return None
    return record


def value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Count the values of a text column; the empty text is shown as ``none``."""
    return {row["values"] or "none": row["counts"] for row in column.value_counts().to_pylist()}
