"""Batches straight from the shards, for sets that no local disk can hold.

Shards are dealt by a hash of the row, so a row group is a random sample. An
epoch takes row groups in an order of its own and shuffles the rows of several at
a time; every row comes once. The cache (``cache``) shuffles truly and is an
order of magnitude faster: it is the rule, this is the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.schema.columns import ROW_GROUP_ROWS
from darkhaloscope.stamps.shardset import read_stamps
from darkhaloscope.streams import generator
from darkhaloscope.tabular import pixels, row_count

Group: TypeAlias = tuple[Path, range]
"""A file and the rows of one of its row groups."""


@dataclass(frozen=True)
class ArchiveBatch:
    """Stamps of one batch as they are stored, and where they lie.

    Parameters
    ----------
    images : ndarray of float32, shape (n, bands, side, side)
        nMgy per pixel.
    rows : pyarrow.Table
        The other columns that were asked for.
    """

    images: NDArray[np.float32]
    rows: pa.Table


@dataclass(frozen=True)
class ArchiveLoader:
    """Shuffled batches of a set of shards, divided among ranks and workers.

    Parameters
    ----------
    paths : sequence of path
        Shards of one split.
    columns : sequence of str
        Columns to read beside the images.
    batch_size : int
        Rows per batch; the last of an epoch may be smaller.
    seed : int
        Key of the order.
    groups_at_once : int
        Row groups whose rows are mixed; memory is that of so many groups.
    part, parts : int
        This reader among all ranks and workers: it takes every ``parts``-th group.
    """

    paths: Sequence[str | Path]
    columns: Sequence[str]
    batch_size: int
    seed: int
    groups_at_once: int = 8
    part: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.part < self.parts:
            raise ConfigError(
                describe("Loader", field="part", expected=f"0 <= part < {self.parts}", got=self.part)
            )

    def epoch(self, epoch: int, *, start_batch: int = 0) -> Iterator[ArchiveBatch]:
        """Yield the batches of an epoch, from ``start_batch`` on.

        What lies before ``start_batch`` is skipped by whole blocks and not read.
        """
        groups = self._groups(epoch)
        seen = 0
        for number, first in enumerate(range(0, len(groups), self.groups_at_once)):
            block = groups[first : first + self.groups_at_once]
            batches = -(-sum(len(rows) for _, rows in block) // self.batch_size)
            if seen + batches > start_batch:
                yield from self._block(block, f"{epoch}-{self.part}-{number}", max(0, start_batch - seen))
            seen += batches

    def _groups(self, epoch: int) -> list[Group]:
        """Return the row groups of this part in the order of an epoch."""
        every = []
        for path in sorted(map(Path, self.paths)):
            n = row_count([path])
            starts = range(0, n, ROW_GROUP_ROWS)
            every += [(path, range(start, min(n, start + ROW_GROUP_ROWS))) for start in starts]
        order = generator(self.seed, "archive_order", f"epoch-{epoch}").permutation(len(every))
        return [every[i] for i in order[self.part :: self.parts]]

    def _block(self, block: list[Group], key: str, start: int) -> Iterator[ArchiveBatch]:
        columns = [*self.columns, "image"]
        table = pa.concat_tables([read_stamps([path], columns, np.array(rows)) for path, rows in block])
        order = generator(self.seed, "archive_rows", key).permutation(table.num_rows)
        images, others = pixels(table, "image"), table.drop_columns(["image"])
        for first in range(start * self.batch_size, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            yield ArchiveBatch(images[rows], others.take(pa.array(rows)))
