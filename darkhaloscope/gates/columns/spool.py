"""Many small integer records, grouped by key, in bounded memory.

Records go to one of 64 partitions by the first bits of their key; what exceeds
the memory given is appended to files. Whoever groups by key reads one partition
after another. What the records mean is not known here.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.uint64]

PARTITIONS = 64
_SHIFT = np.uint64(58)
_MEMORY_BYTES = 32 << 20


class Spool:
    """Records of ``width`` unsigned 64-bit integers, the first of which is their key.

    Parameters
    ----------
    width : int
        Integers per record.
    memory_bytes : int
        What is kept in memory before it is written to files, which are removed
        with the object.
    """

    def __init__(self, width: int, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.width = width
        self.rows = 0
        self._limit = memory_bytes
        self._held = 0
        self._parts: list[list[Records]] = [[] for _ in range(PARTITIONS)]
        self._folder: Path | None = None

    def add(self, records: Records) -> None:
        """Append records, shape (n, width)."""
        part = (records[:, 0] >> _SHIFT).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        ends = np.cumsum(np.bincount(part, minlength=PARTITIONS))
        ordered = records[order]
        for number, (start, stop) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
            if stop > start:
                self._parts[number].append(ordered[start:stop])
        self.rows += len(records)
        self._held += records.nbytes
        if self._held > self._limit:
            self._spill()

    def merge(self, other: Self) -> None:
        """Append the records of another spool."""
        for records in other.partitions():
            if len(records):
                self.add(records)

    def partitions(self) -> Iterator[Records]:
        """Yield the records of each partition, shape (n, width); all records of a key are in one."""
        for number in range(PARTITIONS):
            pieces = self._parts[number]
            path = None if self._folder is None else self._folder / str(number)
            if path is not None and path.exists():
                pieces = [np.fromfile(path, dtype=np.uint64).reshape(-1, self.width), *pieces]
            yield np.concatenate(pieces) if pieces else np.empty((0, self.width), dtype=np.uint64)

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dhs-spool-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        for number, pieces in enumerate(self._parts):
            if pieces:
                with (self._folder / str(number)).open("ab") as file:
                    np.concatenate(pieces).tofile(file)
        self._parts = [[] for _ in range(PARTITIONS)]
        self._held = 0
