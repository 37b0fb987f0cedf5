"""The pass over all rows: one reader, every accumulator, and what they found.

A scan takes batches in any order, merges with another, and gives
:class:`Columns`, which the measures of the column gates read. Nothing here
compares classes or knows a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.columns import sky
from darkhaloscope.gates.columns.hostsample import HOSTS, HostRows, HostRowsTally
from darkhaloscope.gates.columns.identities import (
    CELLS,
    Galaxies,
    GalaxyTally,
    Hashes,
    Shared,
    SharedTally,
    TaskTally,
    cell_bits,
    hashes,
)
from darkhaloscope.gates.columns.values import ValueCounts
from darkhaloscope.gates.inputs import MissingInputError, absent_columns
from darkhaloscope.gates.population import KINDS, POSITIVE, SPLITS, codes, floats, known_codes
from darkhaloscope.schema import STAMPS, Role, per_band
from darkhaloscope.stamps.snr_target import SnrTarget
from darkhaloscope.survey.tiles import SPLIT_CODES, SplitMap

IntArray = NDArray[np.int64]

MEASURED = (*STAMPS.names(Role.CONDITION), *per_band("bad_pixel_frac_{b}"), "ra", "dec")
"""Columns whose values are counted."""

SNR_COLUMN = "arc_snr_footprint_r"
"""The estimator of S/N that a target is declared in."""

_REQUIRED = ("control_kind", "split", "host_id")
_COUNTED = ("task_id", "source_id", "healpix", "bandset", "nan_pixels", SNR_COLUMN)
_BATCH_ROWS = 1 << 16
_CELL_BITS = np.uint64(4)

_Batch: TypeAlias = pa.RecordBatch | pa.Table


class BatchReader(Protocol):
    """The part of ``stamps.shards.ShardSet`` that streams rows."""

    def iter_batches(
        self, split: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows in storage order."""
        ...


@dataclass(frozen=True)
class Plan:
    """What rows are compared with while they are read.

    Parameters
    ----------
    nside : int
        Resolution of the cells that splits are made of.
    splits : SplitMap or None
        Where each position belongs.
    target : SnrTarget or None
        Bins of the declared S/N.
    """

    nside: int = 32
    splits: SplitMap | None = None
    target: SnrTarget | None = None


@dataclass(frozen=True)
class Columns:
    """What one pass over all rows found.

    Counts by cell have shape (15,): class x 3 + split.

    Parameters
    ----------
    rows : ndarray of int
        Rows by cell.
    galaxies : Galaxies
        Every galaxy.
    sample : HostRows
        All rows of some galaxies; its values are the columns of ``MEASURED``.
    values : dict of str to ValueCounts
        What the measured columns hold.
    sources, sky_cells : Shared
        Sources, and cells of the split map, by split.
    repeated_tasks : tuple of (int, ndarray)
        Rows beyond the first of their task, and hashes of such tasks.
    bandsets : dict of str to ndarray
        Rows by cell.
    nan_rows : ndarray of int
        Rows with pixels that are not finite, by cell.
    snr_counts : dict of str to ndarray
        Positives in the bins of the declared target, by split; below the range first, above it last.
    snr_not_finite : int
        Positives without a S/N.
    wrong_cells : int
        Rows whose stored cell is not that of their position.
    misplaced : int or None
        Rows in another split than the plan says; None without a plan.
    absent : mapping of str to str
        Columns that the rows do not have, and what to say of them.
    """

    rows: IntArray
    galaxies: Galaxies
    sample: HostRows
    values: Mapping[str, ValueCounts]
    sources: Shared
    sky_cells: Shared
    repeated_tasks: tuple[int, Hashes]
    bandsets: Mapping[str, IntArray]
    nan_rows: IntArray
    snr_counts: Mapping[str, IntArray]
    snr_not_finite: int
    wrong_cells: int
    misplaced: int | None
    absent: Mapping[str, str] = field(default_factory=dict)
    _pairs: dict[float, IntArray] = field(default_factory=dict, repr=False)

    def require(self, *names: str) -> None:
        """Refuse to say anything of columns that the rows do not have.

        Raises
        ------
        MissingInputError
            If one is absent.
        """
        for name in names:
            if name in self.absent:
                raise MissingInputError(self.absent[name])

    @property
    def total(self) -> int:
        """Number of rows."""
        return int(self.rows.sum())

    def count(self, kind: str | None = None, split: str | None = None) -> int:
        """Return the rows of a class, a split, or both."""
        return int(self.rows[class_cells(kind, split)].sum())

    def hosts(self, kind: str | None = None, split: str | None = None) -> int:
        """Return the galaxies with rows of a class, a split, or both."""
        return int(self.galaxies.within(class_cells(kind, split)).sum())

    def present(self, kinds: Sequence[str]) -> list[str]:
        """Return those of ``kinds`` that have rows, in the order given."""
        return [kind for kind in kinds if self.count(kind)]

    def close_pairs(self, radius_arcsec: float) -> IntArray:
        """Return all pairs of galaxies within a radius, shape (k, 2), looked for once."""
        if radius_arcsec not in self._pairs:
            self._pairs[radius_arcsec] = sky.close_pairs(self.galaxies.position, radius_arcsec)
        return self._pairs[radius_arcsec]

    def hosts_of_either(self, a: Sequence[int], b: Sequence[int]) -> int:
        """Return the galaxies with rows in either of two groups of cells."""
        return int(((self.galaxies.cells & (cell_bits(a) | cell_bits(b))) != 0).sum())


def class_cells(kind: str | None = None, split: str | None = None) -> list[int]:
    """Return the cells of a class, a split, or both."""
    return [
        k * len(SPLITS) + s
        for k, name in enumerate(KINDS)
        for s, where in enumerate(SPLITS)
        if kind in (None, name) and split in (None, where)
    ]


class ColumnScan:
    """Every accumulator of the column gates.

    Parameters
    ----------
    plan : Plan
        What rows are compared with.
    absent : mapping of str to str
        Columns that the rows do not have.
    hosts : int
        Galaxies whose rows are kept.
    """

    def __init__(self, plan: Plan, absent: Mapping[str, str] | None = None, hosts: int = HOSTS) -> None:
        self.plan = plan
        self.absent = dict(absent or {})
        missing = [self.absent[name] for name in _REQUIRED if name in self.absent]
        if missing:
            raise MissingInputError("; ".join(missing))
        self.measured = [name for name in MEASURED if name not in self.absent]
        self._on_sky = not {"ra", "dec"} & set(self.absent)
        self._rows = np.zeros(CELLS, dtype=np.int64)
        self._values = {name: ValueCounts(CELLS) for name in self.measured}
        self._galaxies, self._tasks = GalaxyTally(), TaskTally()
        self._sources, self._cells = SharedTally(), SharedTally()
        self._sample = HostRowsTally(len(self.measured), hosts)
        self._bandsets: dict[str, IntArray] = {}
        self._nan_rows = np.zeros(CELLS, dtype=np.int64)
        self._snr: dict[str, IntArray] = {}
        self._snr_not_finite = self._wrong_cells = self._misplaced = 0

    @property
    def columns(self) -> list[str]:
        """Columns that are read."""
        unread = {SNR_COLUMN} if self.plan.target is None else set()
        counted = [name for name in _COUNTED if name not in self.absent and name not in unread]
        return [*_REQUIRED, *counted, *self.measured]

    def update(self, batch: _Batch) -> None:
        """Add rows."""
        kind, split = known_codes(batch, "control_kind", KINDS), known_codes(batch, "split", SPLITS)
        if not kind.size:
            return
        cell = (kind * len(SPLITS) + split).astype(np.uint8)
        self._rows += np.bincount(cell, minlength=CELLS)
        values = [floats(batch[name]) for name in self.measured]
        for name, column in zip(self.measured, values, strict=True):
            self._values[name].update(column, cell)
        host = hashes(batch["host_id"])
        task = host if "task_id" in self.absent else hashes(batch["task_id"])
        if "task_id" not in self.absent:
            self._tasks.update(task)
        position = np.full(len(cell), -1, dtype=np.int64)
        if self._on_sky:
            ra, dec = (values[self.measured.index(name)] for name in ("ra", "dec"))
            position = sky.positions(ra, dec)
            self._compare_with_plan(ra, dec, split)
        self._galaxies.update(host, cell, position)
        self._sample.update(host, task, cell, values)
        self._count_shared(batch, split.astype(np.uint8), position)
        self._count_pixels(batch, cell)
        self._count_snr(batch, kind, split)

    def merge(self, other: Self) -> None:
        """Add what another scan with the same plan has read."""
        self._rows += other._rows
        for name, values in self._values.items():
            values.merge(other._values[name])
        for mine, theirs in zip(self._tallies(), other._tallies(), strict=True):
            mine.merge(theirs)
        for bands, rows in other._bandsets.items():
            self._add(self._bandsets, bands, rows)
        for where, counts in other._snr.items():
            self._add(self._snr, where, counts)
        self._nan_rows += other._nan_rows
        self._snr_not_finite += other._snr_not_finite
        self._wrong_cells += other._wrong_cells
        self._misplaced += other._misplaced

    def result(self) -> Columns:
        """Return what was found.

        Raises
        ------
        DataError
            If there were no rows: nothing can be said of an empty set.
        """
        if not self._rows.sum():
            raise DataError(describe("No rows to judge", expected="at least one row", got=0))
        return Columns(
            rows=self._rows,
            galaxies=self._galaxies.result(),
            sample=self._sample.result(),
            values=self._values,
            sources=self._sources.result(),
            sky_cells=self._cells.result(),
            repeated_tasks=self._tasks.result(),
            bandsets=self._bandsets,
            nan_rows=self._nan_rows,
            snr_counts=self._snr,
            snr_not_finite=self._snr_not_finite,
            wrong_cells=self._wrong_cells,
            misplaced=None if self.plan.splits is None else self._misplaced,
            absent=self.absent,
        )

    def _tallies(self) -> tuple[Any, ...]:
        return self._galaxies, self._tasks, self._sources, self._cells, self._sample

    def _compare_with_plan(self, ra: Any, dec: Any, split: IntArray) -> None:
        if self.plan.splits is None:
            return
        known = np.isfinite(ra) & np.isfinite(dec)
        planned = self.plan.splits.codes(ra[known], dec[known])
        self._misplaced += int((planned != split[known]).sum() + (~known).sum())

    def _count_shared(self, batch: _Batch, split: NDArray[np.uint8], position: IntArray) -> None:
        """Count sources and cells of the sky by split."""
        if "source_id" not in self.absent:
            column = batch["source_id"]
            lit = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
            self._sources.update(hashes(column.filter(pa.array(lit))), split[lit])
        if "healpix" not in self.absent:
            stored = np.asarray(batch["healpix"].to_numpy(zero_copy_only=False), dtype=np.int64)
            self._cells.update(stored.astype(np.uint64) << _CELL_BITS, split)
            if self._on_sky:
                self._wrong_cells += int((stored != sky.cells_of(position, self.plan.nside)).sum())

    def _count_pixels(self, batch: _Batch, cell: NDArray[np.uint8]) -> None:
        """Count band sets, and rows with pixels that are not finite."""
        if "bandset" not in self.absent:
            code, names = codes(batch["bandset"])
            for c, bands in [*enumerate(names), (-1, "null")]:
                rows = np.bincount(cell[code == c], minlength=CELLS)
                if rows.any():
                    self._add(self._bandsets, str(bands), rows)
        if "nan_pixels" not in self.absent:
            self._nan_rows += np.bincount(cell[~(floats(batch["nan_pixels"]) == 0.0)], minlength=CELLS)

    def _count_snr(self, batch: _Batch, kind: IntArray, split: IntArray) -> None:
        """Count positives in the bins of the declared S/N."""
        if self.plan.target is None or SNR_COLUMN in self.absent:
            return
        snr, lens = floats(batch[SNR_COLUMN]), kind == KINDS.index(POSITIVE)
        self._snr_not_finite += int((lens & ~np.isfinite(snr)).sum())
        for s, name in enumerate(SPLITS):
            here = lens & (split == s) & np.isfinite(snr)
            if here.any():
                self._add(self._snr, name, self.plan.target.counts(snr[here]))

    @staticmethod
    def _add(to: dict[str, IntArray], name: str, counts: IntArray) -> None:
        to[name] = to[name] + counts if name in to else counts


def scan_columns(reader: BatchReader, plan: Plan | None = None, hosts: int = HOSTS) -> Columns:
    """Read all rows of a shard set once.

    Parameters
    ----------
    reader : BatchReader
        The shards.
    plan : Plan, optional
        What rows are compared with while they are read.
    hosts : int
        Galaxies whose rows are kept for intervals and classifiers.

    Raises
    ------
    DataError
        If there are no rows, or a row has no galaxy or an unknown class or split.
    MissingInputError
        If the rows lack classes, splits or galaxies.
    """
    scan = ColumnScan(plan or Plan(), absent_columns(reader), hosts)
    for table in gathered(reader.iter_batches(columns=scan.columns)):
        scan.update(table)
    return scan.result()


def gathered(batches: Iterable[pa.RecordBatch], rows: int = _BATCH_ROWS) -> Iterator[pa.Table]:
    """Put small batches together: a step costs as much for 256 rows as for 100,000."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


assert SPLIT_CODES[: len(SPLITS)] == SPLITS
