"""Who is in which class and split, and how often: galaxies, tasks and sources by hashed id.

Ids are hashed to 64 bits, of which galaxies and sources keep 60: among ten
million the chance that any two share a hash is 3e-6 and 4e-5. A gate that fails
on a hash looks the ids up in the rows and names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.columns import kernels
from darkhaloscope.gates.columns.spool import Records, Spool
from darkhaloscope.gates.population import KINDS, SPLITS, one_array

Hashes = NDArray[np.uint64]

CELLS = len(KINDS) * len(SPLITS)
"""A cell is a class in a split: index of the class x 3 + index of the split."""

_CODE = np.uint64(0xF)
_COMPRESS_ROWS = 1 << 20
MOST_ROWS = 64
"""Rows of a galaxy in a class are counted up to this number."""


def hashes(column: pa.ChunkedArray | pa.Array) -> Hashes:
    """Return a 64-bit hash of every text of a column.

    Raises
    ------
    DataError
        If a text is null.
    """
    array = pc.cast(one_array(column), pa.large_string())
    if array.null_count:
        raise DataError(describe("Id is null", expected="an id in every row", got=f"{array.null_count} null"))
    out = np.empty(len(array), dtype=np.uint64)
    if len(array):
        _, offsets, text = array.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
        letters = np.empty(0, np.uint8) if text is None else np.frombuffer(text, dtype=np.uint8)
        kernels.hash_texts(np.ascontiguousarray(ends), letters, out)
    return out


def names_of(column: pa.ChunkedArray, wanted: Hashes, bits_dropped: int = 4) -> list[str]:
    """Return the distinct texts of a column that have one of the wanted hashes, in order of the hashes."""
    texts = pc.drop_null(pc.unique(column))
    found = hashes(texts) >> np.uint64(bits_dropped)
    by_hash = dict(zip(found.tolist(), texts.to_pylist(), strict=True))
    return [str(by_hash[h]) for h in (wanted >> np.uint64(bits_dropped)).tolist() if h in by_hash]


@dataclass(frozen=True)
class Galaxies:
    """Every galaxy of the rows once, in the order of its hash.

    Parameters
    ----------
    host : ndarray of uint64, shape (n,)
        Hash of the id, its last four bits zero.
    cells : ndarray of uint16, shape (n,)
        Bit c is set if the galaxy has a row in cell c.
    position : ndarray of int64, shape (n,)
        HEALPix NESTED cell at nside 2**29 (0.4 mas); -1 where it is not finite.
    rows_per_host : ndarray of int, shape (5, 65)
        By class, galaxies with so many rows in it; the last column holds 64 and more.
    repeated : ndarray of uint64
        Hashes of some galaxies with the most rows in one class.
    """

    host: Hashes
    cells: NDArray[np.uint16]
    position: NDArray[np.int64]
    rows_per_host: NDArray[np.int64]
    repeated: Hashes

    def __len__(self) -> int:
        return int(self.host.size)

    def within(self, cells: Sequence[int]) -> NDArray[np.bool_]:
        """Return which galaxies have a row in any of the cells."""
        return np.asarray((self.cells & cell_bits(cells)) != 0)

    def splits(self) -> NDArray[np.uint8]:
        """Return the splits of each galaxy as bits: 1 train, 2 val, 4 test."""
        found = np.zeros(len(self), dtype=np.uint8)
        for split in range(len(SPLITS)):
            found |= self.within(range(split, CELLS, len(SPLITS))).astype(np.uint8) << split
        return found


def cell_bits(cells: Sequence[int]) -> np.uint16:
    """Return the bits of some cells."""
    return np.uint16(sum(1 << c for c in cells))


class GalaxyTally:
    """Accumulates the rows of galaxies."""

    def __init__(self) -> None:
        self._spool = Spool(width=2)

    def update(self, host: Hashes, cell: NDArray[np.uint8], position: NDArray[np.int64]) -> None:
        """Add rows: hash of the host id, cell, and HEALPix cell at nside 2**29."""
        key = (host & ~_CODE) | cell
        self._spool.add(np.stack([key, position.view(np.uint64)], axis=1))

    def merge(self, other: Self) -> None:
        """Add the rows of another tally."""
        self._spool.merge(other._spool)

    def result(self) -> Galaxies:
        """Return every galaxy once."""
        parts = [_galaxies(records) for records in self._spool.partitions() if len(records)]
        if not parts:
            none = np.empty(0, dtype=np.uint64)
            empty = np.zeros((len(KINDS), MOST_ROWS + 1), dtype=np.int64)
            return Galaxies(none, none.astype(np.uint16), none.astype(np.int64), empty, none)
        rows = np.sum([part.rows_per_host for part in parts], axis=0)
        most = max(_most(part) for part in parts)
        return Galaxies(
            np.concatenate([part.host for part in parts]),
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.position for part in parts]),
            rows,
            np.concatenate([part.repeated for part in parts if _most(part) == most])[:MOST_ROWS],
        )


def _galaxies(records: Records) -> Galaxies:
    order = np.argsort(records[:, 0], kind="stable")
    key, place = records[order, 0], records[order, 1].view(np.int64)
    new_cell = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    rows = np.diff(np.r_[new_cell, len(key)])
    host, cell = key[new_cell] & ~_CODE, (key[new_cell] & _CODE).astype(np.int64)
    first = np.flatnonzero(np.r_[True, host[1:] != host[:-1]])
    kind = cell // len(SPLITS)
    new_kind = np.flatnonzero(np.r_[True, (host[1:] != host[:-1]) | (kind[1:] != kind[:-1])])
    of_kind = np.add.reduceat(rows, new_kind)
    counts = np.zeros((len(KINDS), MOST_ROWS + 1), dtype=np.int64)
    np.add.at(counts, (kind[new_kind], np.minimum(of_kind, MOST_ROWS)), 1)
    return Galaxies(
        host[first],
        np.bitwise_or.reduceat((1 << cell).astype(np.uint16), first),
        # the smallest of its rows' positions: the same whatever the order of the rows
        np.minimum.reduceat(place, np.flatnonzero(np.r_[True, (key[1:] ^ key[:-1]) > _CODE])),
        counts,
        host[new_kind][of_kind == of_kind.max()],
    )


def _most(galaxies: Galaxies) -> int:
    return int(np.flatnonzero(galaxies.rows_per_host.sum(axis=0)).max(initial=0))


class TaskTally:
    """Accumulates task ids and finds those that occur more than once."""

    def __init__(self) -> None:
        self._spool = Spool(width=1)

    def update(self, task: Hashes) -> None:
        """Add rows by the hash of their task id."""
        self._spool.add(task[:, None])

    def merge(self, other: Self) -> None:
        """Add the rows of another tally."""
        self._spool.merge(other._spool)

    def result(self) -> tuple[int, Hashes]:
        """Return the rows beyond the first of their task, and the hashes of such tasks."""
        found, surplus = [], 0
        for records in self._spool.partitions():
            task, rows = np.unique(records[:, 0], return_counts=True)
            found.append(task[rows > 1])
            surplus += int((rows - 1).sum())
        return surplus, np.concatenate(found)


@dataclass(frozen=True)
class Shared:
    """Things that belong to one split, such as sources or cells of the sky, and where they are.

    Parameters
    ----------
    thing : ndarray of int64 or uint64, shape (k,)
        Each thing in each split it occurs in, in rising order.
    split : ndarray of int, shape (k,)
        That split.
    rows : ndarray of int, shape (k,)
        Its rows there.
    """

    thing: NDArray[np.uint64]
    split: NDArray[np.int64]
    rows: NDArray[np.int64]

    @property
    def distinct(self) -> int:
        """Number of things."""
        return int(np.unique(self.thing).size)

    def twice(self) -> NDArray[np.uint64]:
        """Return the things in more than one split."""
        thing, splits = np.unique(self.thing, return_counts=True)
        return np.asarray(thing[splits > 1], dtype=np.uint64)


class SharedTally:
    """Accumulates things by split; memory grows with the things, not with the rows."""

    def __init__(self) -> None:
        self._keys = np.empty(0, dtype=np.uint64)
        self._rows = np.empty(0, dtype=np.int64)
        self._new: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []

    def update(self, thing: NDArray[np.uint64], split: NDArray[np.uint8]) -> None:
        """Add rows: a thing of 60 bits (its last four bits are not kept), and a split."""
        self._add(*np.unique((thing & ~_CODE) | split, return_counts=True))

    def merge(self, other: Self) -> None:
        """Add the rows of another tally."""
        other._compress()
        self._add(other._keys, other._rows)

    def result(self) -> Shared:
        """Return each thing in each of its splits."""
        self._compress()
        return Shared(self._keys & ~_CODE, (self._keys & _CODE).astype(np.int64), self._rows)

    def _add(self, keys: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        self._new.append((keys, rows))
        if sum(len(k) for k, _ in self._new) > _COMPRESS_ROWS:
            self._compress()

    def _compress(self) -> None:
        every = np.concatenate([self._keys, *(k for k, _ in self._new)])
        rows = np.concatenate([self._rows, *(r for _, r in self._new)])
        self._keys, place = np.unique(every, return_inverse=True)
        self._rows = np.bincount(place, weights=rows, minlength=len(self._keys)).astype(np.int64)
        self._new = []
