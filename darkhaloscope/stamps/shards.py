"""Training shards: the stamps of all tiles, targeted, shuffled, cut to size.

Written once per experiment from stamps that match their manifest task by task,
read through :class:`ShardSet` (in ``shardset``). Normalisation and labels for
training are made by the reader.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope import streams, tabular
from darkhaloscope.artifacts import ArtifactRecord, ArtifactStore
from darkhaloscope.config import Experiment, Storage
from darkhaloscope.errors import ArtifactError, DataError, describe
from darkhaloscope.profiles import Profile
from darkhaloscope.progress import track
from darkhaloscope.schema import QUANTISED, STAMPS, TableSchema
from darkhaloscope.stamps.kinds import POSITIVE
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.stamps.shardset import ShardSet
from darkhaloscope.stamps.targeting import KEPT, target_groups, thin_evenly
from darkhaloscope.survey.tiles import SPLITS

__all__ = ["ShardSet", "write_shards"]

LOST = "group_incomplete"
"""Outcome of a row that has pixels but whose group has lost another row."""

_LEDGER_TEXTS = ["task_id", "pair_id", "control_kind", "split", "host_id", "status"]
_LEDGER_COLUMNS = [*_LEDGER_TEXTS, "arc_snr_footprint_r", "sampling_weight"]
_OPEN_SHARDS = 256


def stored_schema(storage: Storage) -> TableSchema:
    """Return the columns of shards of a form."""
    return QUANTISED if storage.form == "quantised" else STAMPS


def write_shards(
    experiment: Experiment,
    profile: Profile,
    *,
    manifest_records: Mapping[str, ArtifactRecord],
    stamp_records: Mapping[str, ArtifactRecord],
    store: ArtifactStore,
    staging: str | Path,
) -> dict[str, Any]:
    """Write the shards of an experiment.

    Groups (rows of one ``pair_id``) stay or go as a whole: a group that has
    lost a row, or whose positive misses the S/N target, goes with all its
    controls. What is left is shuffled over all tiles by id hash within a split
    and written as ``train-00000.parquet`` and so on. The ``sampling_weight`` of
    a row is that of its stamp over the probability that targeting keeps its
    group; weights compare rows of one kind.

    Parameters
    ----------
    experiment : Experiment
        ``snr_targeting``, ``split``, ``storage`` and seed.
    profile : Profile
        ``shard_rows``.
    manifest_records, stamp_records : mapping of str to ArtifactRecord
        By tile.
    store : ArtifactStore
        Where the records' parts lie.
    staging : path
        Directory of the shards; anything an earlier attempt left there is replaced.

    Returns
    -------
    dict
        ``part_rows`` (rows per shard), ``rows`` (split, kind, rows), ``planned``
        (the same for the manifest), ``outcomes`` (kind and outcome to rows:
        ``kept``, a stamp status, ``group_incomplete``, ``snr_low``,
        ``snr_high``, ``snr_thinned``), ``snr_variation`` by split and
        ``weights`` of the positives by split: ``effective`` sample size
        (sum w)^2 / sum w^2 and the share of ``zero`` weights, whose magnitudes
        the prior does not hold; ``storage``: the form and, for quantised shards,
        the rows per kind whose counts take more than 16 bits.

    Raises
    ------
    ArtifactError
        If stamps were made from another manifest, or their tasks are not
        exactly the manifest's.
    DataError
        If a task or a galaxy occurs in two tiles, a split of the experiment
        has no rows or one class only, or a stamp cannot be quantised.
    """
    ledger = _read_ledger(manifest_records, stamp_records, store)
    outcome, keep_weight, variation = _outcomes(experiment, ledger)
    kept = outcome == KEPT
    weight = ledger.weight * keep_weight
    _require_classes(experiment, ledger, kept)
    order = streams.uniform(experiment.seed, "shard_order", ledger.task_id)
    shards = _cut(ledger, kept, order, profile.shard_rows)
    paths = [path for record in stamp_records.values() for path in store.paths(record, ".parquet")]
    part_rows, wide_rows = _write(paths, ledger, weight, shards, Path(staging), experiment.storage)
    return {
        "part_rows": part_rows,
        "rows": _nested(ledger.split[kept], ledger.kind[kept]),
        "planned": _nested(ledger.split, ledger.kind),
        "outcomes": _nested(ledger.kind, outcome),
        "snr_variation": {k: v for k, v in variation.items() if np.isfinite(v)},
        "weights": {
            split: _weight_summary(weight[kept & (ledger.kind == POSITIVE) & (ledger.split == split)])
            for split in SPLITS
        },
        "storage": {**experiment.storage.model_dump(), "wide_rows": dict(sorted(wide_rows.items()))},
    }


def _weight_summary(weight: NDArray[np.float64]) -> dict[str, float]:
    """Return Kish's effective sample size and the share of rows that weigh nothing."""
    squares = float((weight**2).sum())
    return {
        "effective": float(weight.sum()) ** 2 / squares if squares > 0.0 else 0.0,
        "zero": float((weight == 0.0).mean()) if len(weight) else 0.0,
    }


@dataclass(frozen=True)
class _Ledger:
    """Every task of an experiment in the order of the stamp files, without pixels."""

    task_id: NDArray[np.str_]
    pair_id: NDArray[np.str_]
    kind: NDArray[np.str_]
    split: NDArray[np.str_]
    status: NDArray[np.str_]
    snr: NDArray[np.float64]
    weight: NDArray[np.float64]


def _read_ledger(
    manifests: Mapping[str, ArtifactRecord], stamps: Mapping[str, ArtifactRecord], store: ArtifactStore
) -> _Ledger:
    """Read all tasks and refuse stamps that do not match their manifest."""
    if set(manifests) != set(stamps) or not stamps:
        raise ArtifactError(
            describe(
                "Tiles of manifest and stamps",
                expected=f"{sorted(manifests)}, at least one",
                got=sorted(stamps),
            )
        )
    tables = []
    tile_of_host: dict[str, str] = {}
    for tile, record in stamps.items():
        manifest = manifests[tile]
        made_from = record.inputs.get(manifest.name)
        if made_from != manifest.content_hash:
            raise ArtifactError(
                describe(
                    "Stamps were made from another manifest",
                    file=record.key,
                    expected=manifest.content_hash,
                    got=made_from,
                    hint=f"materialise {record.key} again",
                )
            )
        planned = tabular.read_table(store.paths(manifest, ".parquet"), ["task_id"])
        table = tabular.read_table(store.paths(record, ".parquet"), _LEDGER_COLUMNS)
        _require_same_tasks(record, planned["task_id"], table["task_id"])
        for host in pc.unique(table["host_id"]).to_pylist():
            if tile_of_host.setdefault(host, tile) != tile:
                raise DataError(
                    describe(
                        "A galaxy is in two tiles",
                        field="host_id",
                        row=host,
                        got=f"{tile_of_host[host]} and {tile}",
                    )
                )
        tables.append(table)
    table = pa.concat_tables(tables)
    texts = {name: np.asarray(table[name].to_pylist(), dtype=str) for name in _LEDGER_TEXTS}
    return _Ledger(
        task_id=texts["task_id"],
        pair_id=texts["pair_id"],
        kind=texts["control_kind"],
        split=texts["split"],
        status=texts["status"],
        snr=np.asarray(table["arc_snr_footprint_r"].to_numpy(zero_copy_only=False), dtype=np.float64),
        weight=np.asarray(table["sampling_weight"].to_numpy(zero_copy_only=False), dtype=np.float64),
    )


def _require_same_tasks(record: ArtifactRecord, planned: pa.ChunkedArray, made: pa.ChunkedArray) -> None:
    wanted, found = planned.to_pylist(), made.to_pylist()
    if sorted(wanted) == sorted(found) and len(set(found)) == len(found):
        return
    twice = [task for task, count in Counter(found).items() if count > 1]
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    raise ArtifactError(
        describe(
            "Stamps do not match their manifest task by task",
            file=record.key,
            field="task_id",
            expected=f"the {len(wanted)} tasks of the manifest, each once",
            got=f"{len(missing)} missing {missing[:3]}, {len(extra)} unknown {extra[:3]}, "
            f"{len(twice)} repeated {twice[:3]}",
            hint=f"materialise {record.key} again",
        )
    )


def _outcomes(
    experiment: Experiment, ledger: _Ledger
) -> tuple[NDArray[np.str_], NDArray[np.float64], dict[str, float]]:
    """Return what becomes of every row, the weight of being kept, and how far splits are from the target."""
    outcome = np.where(ledger.status == "ok", KEPT, ledger.status).astype("<U32")
    pairs, group = np.unique(ledger.pair_id, return_inverse=True)
    broken = np.zeros(len(pairs), dtype=bool)
    broken[group[ledger.status != "ok"]] = True
    outcome[(outcome == KEPT) & broken[group]] = LOST
    weight = np.ones(len(outcome))
    variation: dict[str, float] = {}
    for split in SPLITS:
        here = (ledger.split == split) & (outcome == KEPT)
        lens = np.flatnonzero(here & (ledger.kind == POSITIVE))
        target = target_groups(
            experiment.snr_targeting, ledger.snr[lens], ledger.pair_id[lens], experiment.seed
        )
        variation[split] = target.variation
        of_group = np.full(len(pairs), "", dtype=target.outcome.dtype)
        of_group[group[lens]] = target.outcome
        weight_of_group = np.ones(len(pairs))
        weight_of_group[group[lens]] = target.weight
        rows = np.flatnonzero(here)
        alone = rows[of_group[group[rows]] == ""]
        share = float(target.kept.mean()) if len(lens) else 1.0
        outcome[rows] = of_group[group[rows]]
        weight[rows] = weight_of_group[group[rows]]
        outcome[alone] = np.where(
            thin_evenly(ledger.task_id[alone], share, experiment.seed), KEPT, "snr_thinned"
        )
    return outcome, weight, variation


def _require_classes(experiment: Experiment, ledger: _Ledger, kept: NDArray[np.bool_]) -> None:
    for split, fraction in zip(SPLITS, experiment.split.fractions, strict=True):
        if fraction == 0.0:
            continue
        lens = ledger.kind[kept & (ledger.split == split)] == POSITIVE
        if not lens.any() or lens.all():
            raise DataError(
                describe(
                    "A split needs both classes",
                    field=split,
                    expected="positives and controls",
                    got=f"{int(lens.sum())} positives, {int((~lens).sum())} controls; planned "
                    f"{_nested(ledger.split, ledger.kind).get(split, {})}",
                    hint="use more tiles, or relax snr_targeting",
                )
            )


def _cut(
    ledger: _Ledger, kept: NDArray[np.bool_], order: NDArray[np.float64], shard_rows: int
) -> dict[str, NDArray[np.intp]]:
    """Return the rows of every shard, in shard order."""
    shards: dict[str, NDArray[np.intp]] = {}
    for split in SPLITS:
        rows = np.flatnonzero(kept & (ledger.split == split))
        rows = rows[np.lexsort((ledger.task_id[rows], order[rows]))]
        for number, start in enumerate(range(0, len(rows), shard_rows)):
            shards[f"{split}-{number:05d}.parquet"] = rows[start : start + shard_rows]
    return shards


def _write(
    paths: Sequence[Path],
    ledger: _Ledger,
    weight: NDArray[np.float64],
    shards: Mapping[str, NDArray[np.intp]],
    staging: Path,
    storage: Storage,
) -> tuple[dict[str, int], Counter[str]]:
    """Write the shards in passes over the stamps; memory is one shard.

    Returns the rows of every shard, and by kind those whose counts are wide.

    Rows are first appended to one uncompressed file per shard, in the order in
    which they are read, and put in shard order when that file is complete.
    """
    for stale in staging.glob("*.parquet"):
        stale.unlink()
    spill = staging / "spill"
    names = list(shards)
    part_rows: dict[str, int] = {}
    wide_rows: Counter[str] = Counter()
    for first in range(0, len(names), _OPEN_SHARDS):
        opened = names[first : first + _OPEN_SHARDS]
        shutil.rmtree(spill, ignore_errors=True)
        spill.mkdir()
        _scatter_rows(paths, ledger, {name: shards[name] for name in opened}, spill)
        for name in track(opened, total=len(opened), label="write shards [shards]"):
            rows = shards[name]
            with pa.ipc.open_stream(pa.memory_map(str(spill / name))) as reader:
                table = reader.read_all()
            # The spill holds the shard's rows in file order: row rank -> shard order.
            rank = np.empty(len(rows), dtype=np.intp)
            rank[np.argsort(rows, kind="stable")] = np.arange(len(rows))
            table = table.take(pa.array(rank))
            place = table.column_names.index("sampling_weight")
            table = table.set_column(place, table.schema.field(place), pa.array(weight[rows]))
            if storage.form == "quantised":
                table = quantised(table, storage.steps_per_sigma)
                wide_rows.update(table.filter(table["image_wide"].is_valid())["control_kind"].to_pylist())
            part = tabular.write_table(staging / name, stored_schema(storage), table)
            part_rows[name] = part.rows
            (spill / name).unlink()
    shutil.rmtree(spill, ignore_errors=True)
    return part_rows, wide_rows


def _scatter_rows(
    paths: Sequence[Path], ledger: _Ledger, shards: Mapping[str, NDArray[np.intp]], spill: Path
) -> None:
    names = list(shards)
    shard_of = np.full(len(ledger.task_id), -1, dtype=np.intp)
    for number, name in enumerate(names):
        shard_of[shards[name]] = number
    writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
    start = 0
    try:
        for batch in tabular.iter_batches(paths, STAMPS.names()):
            here = shard_of[start : start + batch.num_rows]
            start += batch.num_rows
            for number in np.unique(here[here >= 0]).tolist():
                if number not in writers:
                    writers[number] = pa.ipc.new_stream(str(spill / names[number]), batch.schema)
                writers[number].write_batch(batch.take(pa.array(np.flatnonzero(here == number))))
    finally:
        for writer in writers.values():
            writer.close()


def _nested(outer: NDArray[np.str_], inner: NDArray[np.str_]) -> dict[str, dict[str, int]]:
    """Count pairs of values."""
    counts: dict[str, dict[str, int]] = {}
    for (a, b), count in sorted(Counter(zip(outer.tolist(), inner.tolist(), strict=True)).items()):
        counts.setdefault(a, {})[b] = count
    return counts
