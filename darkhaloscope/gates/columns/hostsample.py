"""All rows of a fixed number of galaxies: those with the smallest hashes.

Which galaxies are kept depends on their ids alone, neither on the order of the
rows nor on how they were shared out among workers; two samples merge into the
one that a single pass would have kept (Beyer et al. 2007, SIGMOD, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.columns.identities import Hashes

FloatArray = NDArray[np.float64]

HOSTS = 1 << 15
"""Galaxies kept: the variance of an interval to about 1 %."""

_LARGEST = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class HostRows:
    """The rows of the sampled galaxies, galaxy by galaxy.

    Parameters
    ----------
    host : ndarray of uint64, shape (n,)
        Hash of the galaxy.
    cell : ndarray of uint8, shape (n,)
        Class and split.
    values : ndarray, shape (n, k)
        The measured columns, NaN where null.
    """

    host: Hashes
    cell: NDArray[np.uint8]
    values: FloatArray

    def first(self, hosts: int) -> HostRows:
        """Return the rows of the ``hosts`` galaxies with the smallest hashes."""
        distinct = np.unique(self.host)
        if distinct.size <= hosts:
            return self
        chosen = self.host <= distinct[hosts - 1]
        return HostRows(self.host[chosen], self.cell[chosen], self.values[chosen])


class HostRowsTally:
    """Accumulates the sample.

    Parameters
    ----------
    columns : int
        Values per row.
    hosts : int
        Galaxies to keep.
    """

    def __init__(self, columns: int, hosts: int = HOSTS) -> None:
        self._hosts = hosts
        self._columns = columns
        self._limit = _LARGEST
        self._pieces: list[tuple[Hashes, Hashes, NDArray[np.uint8], FloatArray]] = []
        self._held = 0

    def update(self, host: Hashes, order: Hashes, cell: NDArray[np.uint8], values: list[FloatArray]) -> None:
        """Add rows: hash of the galaxy, hash of the row, class and split, and one array per column."""
        chosen = np.flatnonzero(host <= self._limit)
        if chosen.size == 0:
            return
        table = np.stack([column[chosen] for column in values], axis=1)
        self._add(host[chosen], order[chosen], cell[chosen], table)

    def merge(self, other: Self) -> None:
        """Add the sample of another accumulator."""
        for piece in other._pieces:
            self._add(*piece)

    def result(self) -> HostRows:
        """Return the rows, sorted by galaxy and by the hash of the row."""
        self._compress()
        host, _, cell, values = self._joined()
        return HostRows(host, cell, values)

    def _add(self, host: Hashes, order: Hashes, cell: NDArray[np.uint8], values: FloatArray) -> None:
        self._pieces.append((host, order, cell, values))
        self._held += len(host)
        if self._held > 6 * self._hosts:
            self._compress()

    def _joined(self) -> tuple[Hashes, Hashes, NDArray[np.uint8], FloatArray]:
        if not self._pieces:
            none = np.empty(0, dtype=np.uint64)
            return none, none, none.astype(np.uint8), np.empty((0, self._columns))
        host, order, cell, values = (np.concatenate(part) for part in zip(*self._pieces, strict=True))
        return host, order, cell, values

    def _compress(self) -> None:
        host, order, cell, values = self._joined()
        distinct = np.unique(host)
        if distinct.size > self._hosts:
            self._limit = distinct[self._hosts - 1]
        rank = np.lexsort((cell, order, host))
        rank = rank[host[rank] <= self._limit]
        self._pieces = [(host[rank], order[rank], cell[rank], values[rank])]
        self._held = len(rank)
