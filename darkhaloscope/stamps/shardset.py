"""Reading training shards: all rows, a stream, a sample by galaxy, or named tasks.

Whether a shard keeps its images bit for bit or quantised, the rows it gives are
those of the stamp schema. How shards are made is in ``shards``; what a model
sees is made from them in ``preprocess``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope import streams, tabular
from darkhaloscope.errors import DataError, MissingInputError, describe
from darkhaloscope.schema import STAMPS, Role
from darkhaloscope.stamps import quantise
from darkhaloscope.survey.tiles import SPLITS


def iter_stamps(
    paths: Sequence[str | Path],
    columns: Sequence[str] | None = None,
    rows: NDArray[np.intp] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream columns of STAMPS from shards of either form, one row group at a time.

    Parameters
    ----------
    paths : sequence of path
        Shards.
    columns : sequence of str, optional
        Columns to read; all by default.
    rows : ndarray of int, optional
        Ascending row numbers over all files; all rows by default.
    """
    names = STAMPS.names() if columns is None else list(columns)
    start = 0
    for path in paths:
        stored = quantise.stored_columns(names) if _is_quantised(path, names) else names
        batches = tabular.iter_batches([path], stored)
        if rows is not None:
            stop = start + tabular.row_count([path])
            first, last = np.searchsorted(rows, (start, stop))
            groups = tabular.read_row_groups(path, rows[first:last] - start, stored)
            batches = (batch for table, inside in groups for batch in table.take(inside).to_batches())
            start = stop
        for batch in batches:
            yield batch if stored is names else quantise.restored(batch, names)


def read_stamps(
    paths: Sequence[str | Path],
    columns: Sequence[str] | None = None,
    rows: NDArray[np.intp] | None = None,
) -> pa.Table:
    """Return the rows of :func:`iter_stamps` as a table."""
    batches = list(iter_stamps(paths, columns, rows))
    if batches:
        return pa.Table.from_batches(batches)
    size = tabular.read_schema(paths[0]).field("invvar").type.shape[-1]
    return STAMPS.arrow(size).empty_table().select(STAMPS.names() if columns is None else list(columns))


def _is_quantised(path: str | Path, columns: Sequence[str]) -> bool:
    """Say whether a shard holds counts where images are asked for."""
    return "image" in columns and "image_low" in tabular.read_schema(path).names


class ShardSet:
    """The shards of one experiment, read without loading more than is asked for.

    Parameters
    ----------
    paths : sequence of path
        Shard files; their names start with their split.

    Raises
    ------
    DataError
        If a file name names no split, or there are no files.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = sorted((Path(path) for path in paths), key=lambda p: (_split_of(p), p.name))
        if not self._paths:
            raise DataError(describe("No shards", expected="at least one file", got=0))

    @cached_property
    def absent(self) -> Mapping[str, str]:
        """Columns of STAMPS that a shard lacks, and what to say of each; none in shards of this version."""
        missing: dict[str, str] = {}
        for path in self._paths:
            found = set(tabular.read_schema(path).names)
            found |= {"image"} if "image_low" in found else set()
            for name in STAMPS.names():
                if name not in found:
                    missing.setdefault(name, f"column {name}, of {path.name}")
        return missing

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that have shards, in storage order."""
        return tuple(split for split in SPLITS if self.paths(split))

    def paths(self, split: str | None = None) -> list[Path]:
        """Return the shard files of a split, or of all, in storage order."""
        return [path for path in self._paths if split is None or SPLITS[_split_of(path)] == split]

    def metadata(self, columns: Sequence[str] | None = None, split: str | None = None) -> pa.Table:
        """Return columns of all rows in storage order; by default all but pixels."""
        names = [c.name for c in STAMPS if c.role is not Role.PIXELS] if columns is None else list(columns)
        return self.rows(split, names)

    def rows(self, split: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows in storage order, by default with pixels; see :meth:`iter_batches` for large sets."""
        paths = self.paths(split)
        if not paths:
            raise DataError(describe("Split has no shards", field=split, expected=f"one of {self.splits}"))
        return self._read(split, columns, None)

    def iter_batches(
        self,
        split: str | None = None,
        columns: Sequence[str] | None = None,
        tasks: pa.Array | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows in storage order, one row group at a time.

        Parameters
        ----------
        split : str, optional
            One split only.
        columns : sequence of str, optional
            Columns to read; all by default.
        tasks : pyarrow.Array of str, optional
            Rows of these tasks only; pixels of other row groups are not read.
        """
        return self._stream(split, columns, None if tasks is None else self._rows_of(tasks, split))

    def sample(
        self,
        n_hosts_per_class: int,
        *,
        seed: int,
        split: str | None = None,
        kinds: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return the rows of a fixed number of galaxies of every class.

        Galaxies are ranked by a hash of their id, the same for all classes, so
        the classes of a paired set share their galaxies as far as they can.

        Parameters
        ----------
        n_hosts_per_class : int
            Galaxies per ``control_kind``; fewer where there are fewer.
        seed : int
            Key of the hash.
        split : str, optional
            One split only.
        kinds : sequence of str, optional
            Values of ``control_kind``; all by default.
        columns : sequence of str, optional
            Columns to read; all by default.

        Returns
        -------
        pyarrow.Table
            In storage order.
        """
        table = self.metadata(["host_id", "control_kind"], split)
        host = np.asarray(table["host_id"].to_pylist(), dtype=str)
        kind = np.asarray(table["control_kind"].to_pylist(), dtype=str)
        key = streams.uniform(seed, "shard_sample", host)
        chosen = np.zeros(len(host), dtype=bool)
        for name in sorted(set(kind.tolist())) if kinds is None else kinds:
            rows = np.flatnonzero(kind == name)
            _, first, of_row = np.unique(host[rows], return_index=True, return_inverse=True)
            rank = np.empty(len(first), dtype=np.intp)
            rank[np.argsort(key[rows][first], kind="stable")] = np.arange(len(first))
            chosen[rows[rank[of_row] < n_hosts_per_class]] = True
        return self._read(split, columns, np.flatnonzero(chosen))

    def load(self, task_ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of the given tasks in that order.

        Raises
        ------
        DataError
            If a task has no row.
        """
        known = self.metadata(["task_id"])["task_id"].combine_chunks()
        index = pc.index_in(pa.array(task_ids, pa.string()), value_set=known)
        if index.null_count:
            missing = task_ids[pc.index(index.is_null(), True).as_py()]
            raise DataError(describe("Task is not in the shards", field="task_id", row=missing))
        rows, back = np.unique(index.to_numpy(), return_inverse=True)
        return self._read(None, columns, rows).take(pa.array(back))

    def _require(self, columns: Sequence[str] | None) -> None:
        """Refuse columns that are absent.

        Raises
        ------
        MissingInputError
            If one is.
        """
        if self.absent:
            for name in STAMPS.names() if columns is None else columns:
                if name in self.absent:
                    raise MissingInputError(self.absent[name])

    def _rows_of(self, tasks: pa.Array, split: str | None) -> NDArray[np.intp]:
        """Return the row numbers of tasks, ascending."""
        known = self.metadata(["task_id"], split)["task_id"]
        return np.flatnonzero(pc.is_in(known, value_set=tasks).to_numpy())

    def _stream(
        self, split: str | None, columns: Sequence[str] | None, rows: NDArray[np.intp] | None
    ) -> Iterator[pa.RecordBatch]:
        """Stream columns of the rows with these numbers; where the files' format is known."""
        self._require(columns)
        return iter_stamps(self.paths(split), columns, rows)

    def _read(
        self, split: str | None, columns: Sequence[str] | None, rows: NDArray[np.intp] | None
    ) -> pa.Table:
        """Return the rows of :meth:`_stream` as a table."""
        self._require(columns)
        return read_stamps(self.paths(split), columns, rows)


def _split_of(path: Path) -> int:
    """Return the place of a shard's split."""
    name = path.name.partition("-")[0]
    if name not in SPLITS:
        raise DataError(
            describe("Not a shard", file=path, expected=f"a name that starts with one of {SPLITS}")
        )
    return SPLITS.index(name)
