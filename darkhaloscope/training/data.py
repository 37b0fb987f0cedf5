"""Shards in, batches out: the training cache and the order of an epoch.

The shards are read once, in order, into a memory-mapped array of preprocessed
images. An epoch is then a permutation of all rows and one symmetry of the square
per row, both pure functions of (seed, epoch), so no worker can hold a stale copy
of them and a resumed run sees the same batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkhaloscope.errors import DataError, describe
from darkhaloscope.hashing import hash_json
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.stamps.shardset import iter_stamps
from darkhaloscope.streams import generator
from darkhaloscope.tabular import pixels, read_table

SYMMETRIES = 8
"""Rotations and reflections of the square."""

_IDENTITY_COLUMNS = ("task_id", "host_id", "split", "status", "is_control", "control_kind")


@dataclass(frozen=True)
class SplitData:
    """All rows of one split, ready for the network.

    Parameters
    ----------
    images : ndarray of float32, shape (n, bands, side, side)
        Preprocessed; usually a memory map.
    metadata : ndarray of float32, shape (n, k)
        Standardised conditions.
    labels : ndarray of float32, shape (n,)
        1 for a lens, 0 for a control.
    task_ids, host_ids, control_kinds : ndarray of str, shape (n,)
        Identities of the rows.
    """

    images: NDArray[np.float32]
    metadata: NDArray[np.float32]
    labels: NDArray[np.float32]
    task_ids: NDArray[Any]
    host_ids: NDArray[Any]
    control_kinds: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def rows_sha256(self) -> str:
        """Return the hash of the set of rows, whatever their order."""
        return hash_json(sorted(self.task_ids.tolist()))

    def kind_counts(self) -> dict[str, int]:
        """Return the number of rows per control kind, sorted by kind."""
        kinds, counts = np.unique(self.control_kinds, return_counts=True)
        return {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}


@dataclass(frozen=True)
class Batch:
    """Rows of one step: images and metadata on the device, and their row numbers."""

    images: Tensor
    metadata: Tensor
    labels: Tensor
    rows: NDArray[np.intp]


def read_rows(paths: Sequence[str | Path], split: str, metadata_columns: Sequence[str]) -> pa.Table:
    """Read identity and conditions of a split and refuse what cannot be trained on.

    Parameters
    ----------
    paths : sequence of path
        Shards of the split.
    split : str
        What every row must belong to.
    metadata_columns : sequence of str
        Condition columns to read besides.

    Returns
    -------
    pyarrow.Table
        Without pixels, in shard order.

    Raises
    ------
    DataError
        If there are no rows, rows of another split or without pixels, a task
        twice, or one class only.
    """
    table = read_table(list(paths), columns=[*_IDENTITY_COLUMNS, *metadata_columns])
    _require_all(table, "split", split)
    _require_all(table, "status", "ok")
    ids = table["task_id"].to_pylist()
    if len(set(ids)) != len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(describe("Task occurs twice in the shards", field=split, row=twice))
    controls = pc.sum(table["is_control"]).as_py() or 0
    if controls in (0, len(ids)):
        raise DataError(
            describe(
                "Split has one class only",
                file=Path(paths[0]).parent,
                field=split,
                expected="positives and controls",
                got=f"{len(ids) - controls} positives and {controls} controls",
                hint="check the controls section of the experiment and the gate report (Q5)",
            )
        )
    return table


def cache_split(
    paths: Sequence[str | Path], rows: pa.Table, preprocess: PreprocessSpec, cache: Path
) -> SplitData:
    """Preprocess the images of a split into one memory-mapped file.

    Parameters
    ----------
    paths : sequence of path
        Shards of the split.
    rows : pyarrow.Table
        From :func:`read_rows` of the same shards.
    preprocess : PreprocessSpec
        Fitted.
    cache : Path
        ``.npy`` file to write; replaced if it exists.

    Raises
    ------
    DataError
        Naming the task whose stamp cannot be normalised.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    side = preprocess.crop_px
    shape = (rows.num_rows, len(preprocess.bands), side, side)
    images = np.lib.format.open_memmap(cache, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for batch in iter_stamps(paths, columns=["task_id", "image"]):
        stamps = pixels(batch, "image")
        try:
            images[start : start + len(stamps)] = preprocess.images(stamps)
        except DataError as error:
            bad = np.flatnonzero(~preprocess.valid_rows(stamps))
            if not len(bad):
                raise
            task = batch["task_id"][int(bad[0])].as_py()
            raise DataError(f"Task {task} cannot be trained on: {error}") from error
        start += len(stamps)
    images.flush()
    return SplitData(
        images=np.load(cache, mmap_mode="r"),
        metadata=preprocess.metadata(rows),
        labels=np.asarray(pc.invert(rows["is_control"]).to_numpy(), dtype=np.float32),
        task_ids=_strings(rows, "task_id"),
        host_ids=_strings(rows, "host_id"),
        control_kinds=_strings(rows, "control_kind"),
    )


def epoch_order(seed: int, epoch: int, n: int) -> NDArray[np.intp]:
    """Return the order of all ``n`` rows in an epoch, a permutation keyed by (seed, epoch)."""
    return generator(seed, "train_order", f"epoch-{epoch}").permutation(n).astype(np.intp)


def epoch_symmetries(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Return each row's symmetry of the square in an epoch, in [0, 8), keyed by (seed, epoch)."""
    return generator(seed, "train_symmetry", f"epoch-{epoch}").integers(0, SYMMETRIES, n)


def batches(
    data: SplitData, *, seed: int, epoch: int, batch_size: int, device: torch.device
) -> Iterator[Batch]:
    """Yield every row of an epoch once, shuffled and turned.

    The rows are divided into equal batches, none larger than ``batch_size`` and
    none a small remainder, which would upset batch normalisation.

    Parameters
    ----------
    data : SplitData
        Rows.
    seed, epoch : int
        Key of order and symmetries.
    batch_size : int
        Largest batch.
    device : torch.device
        Where the tensors are put.
    """
    order = epoch_order(seed, epoch, len(data))
    symmetries = epoch_symmetries(seed, epoch, len(data))
    for rows in np.array_split(order, batch_count(len(data), batch_size)):
        images = torch.from_numpy(data.images[rows]).to(device)
        yield Batch(
            images=apply_symmetries(images, symmetries[rows]).contiguous(memory_format=torch.channels_last),
            metadata=torch.from_numpy(data.metadata[rows]).to(device),
            labels=torch.from_numpy(data.labels[rows]).to(device),
            rows=rows,
        )


def batch_count(n: int, batch_size: int) -> int:
    """Return the number of steps in an epoch of ``n`` rows."""
    return -(-n // batch_size)


def apply_symmetries(images: Tensor, symmetries: NDArray[np.int64]) -> Tensor:
    """Turn each image by its symmetry: quarter turns (code mod 4), mirrored if code >= 4.

    Parameters
    ----------
    images : Tensor, shape (n, bands, side, side)
    symmetries : ndarray of int, shape (n,)
        Codes in [0, 8).

    Returns
    -------
    Tensor
        Of the same shape.
    """
    out = torch.empty_like(images)
    for code in range(SYMMETRIES):
        chosen = torch.from_numpy(np.flatnonzero(symmetries == code)).to(images.device)
        turned = images[chosen]
        if code >= SYMMETRIES // 2:
            turned = turned.flip(-1)
        out[chosen] = torch.rot90(turned, code % 4, dims=(-2, -1))
    return out


def positive_share(counts: Mapping[str, int]) -> float:
    """Return the share of positives among rows counted by control kind."""
    return counts.get("positive", 0) / sum(counts.values())


def _require_all(table: pa.Table, column: str, value: str) -> None:
    other = pc.not_equal(table[column], value)
    if pc.any(other).as_py():
        row = table.filter(other).slice(0, 1)
        raise DataError(
            describe(
                "Row does not belong into these shards",
                field=column,
                row=row["task_id"][0].as_py(),
                expected=value,
                got=row[column][0].as_py(),
            )
        )


def _strings(table: pa.Table, column: str) -> NDArray[Any]:
    return np.asarray(table[column].to_pylist(), dtype=np.str_)
