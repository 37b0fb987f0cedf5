"""The rows of one split as a training run knows them: identity, label, conditions, and where images are.

What cannot be trained on is refused here. How images get into the cache is in
``cache``, in which order rows come in ``order``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.hashing import hash_json
from darkhaloscope.preprocess.augment import row_keys
from darkhaloscope.preprocess.spec import PreprocessSpec
from darkhaloscope.tabular import read_table

_IDENTITY_COLUMNS = ("task_id", "host_id", "split", "status", "is_control", "control_kind")
HARD_NEGATIVE = "hard_negative"


@dataclass(frozen=True)
class SplitData:
    """All rows of one split, ready for the network.

    Parameters
    ----------
    linear : ndarray of float32, shape (n, bands, side, side)
        Scaled images, neither treated nor clipped; usually a memory map.
    metadata : ndarray of float32, shape (n, k)
        Standardised conditions.
    labels : ndarray of float32, shape (n,)
        1 for a lens, 0 for a control.
    task_ids, host_ids, control_kinds : ndarray of str, shape (n,)
        Identities of the rows.
    keys : ndarray of uint64, shape (n,)
        What the rows' augmentations are drawn from.
    """

    linear: NDArray[np.float32]
    metadata: NDArray[np.float32]
    labels: NDArray[np.float32]
    task_ids: NDArray[Any]
    host_ids: NDArray[Any]
    control_kinds: NDArray[Any]
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, rows: pa.Table, linear: NDArray[np.float32], preprocess: PreprocessSpec) -> SplitData:
        """Join the rows of :func:`read_rows` with their images, in the same order."""
        tasks = _strings(rows, "task_id")
        return cls(
            linear=linear,
            metadata=preprocess.metadata(rows),
            labels=np.asarray(pc.invert(rows["is_control"]).to_numpy(), dtype=np.float32),
            task_ids=tasks,
            host_ids=_strings(rows, "host_id"),
            control_kinds=_strings(rows, "control_kind"),
            keys=row_keys(tasks.tolist()),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def hard_negatives(self) -> NDArray[np.intp]:
        """Return the rows of catalogued look-alikes."""
        return np.flatnonzero(self.control_kinds == HARD_NEGATIVE)

    def rows_sha256(self) -> str:
        """Return the hash of the set of rows, whatever their order."""
        return hash_json(sorted(self.task_ids.tolist()))

    def kind_counts(self) -> dict[str, int]:
        """Return the number of rows per control kind, sorted by kind."""
        kinds, counts = np.unique(self.control_kinds, return_counts=True)
        return {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)}


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
