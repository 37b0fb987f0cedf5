"""The rows of a shard set as codes: class, split and galaxy of each row.

Every gate that reads all rows starts here, one narrow column at a time, so that
ten million rows stay in a few hundred megabytes. Pixels do not belong here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe

POSITIVE = "positive"
CONTROL_KINDS = ("paired", "unpaired", "matched_light", "hard_negative")
KINDS = (POSITIVE, *CONTROL_KINDS)
COMPARED_KINDS = CONTROL_KINDS[:3]
"""Control kinds whose hosts are drawn like the positives'; look-alikes are another population."""

SPLITS = ("train", "val", "test")

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


class MetadataReader(Protocol):
    """The part of ``stamps.shards.ShardSet`` that reads rows without pixels."""

    def metadata(self, columns: Sequence[str] | None = None, split: str | None = None) -> pa.Table:
        """Return columns of all rows, or of one split, in file order."""
        ...


@dataclass(frozen=True)
class Population:
    """Class, split and galaxy of every row, in file order.

    Parameters
    ----------
    kind : ndarray of int, shape (n,)
        Index into :data:`KINDS`.
    split : ndarray of int, shape (n,)
        Index into :data:`SPLITS`.
    host : ndarray of int, shape (n,)
        Number of the host galaxy, 0..k-1.
    """

    kind: Codes
    split: Codes
    host: Codes

    @classmethod
    def of(cls, table: pa.Table) -> Population:
        """Read the codes from ``control_kind``, ``split`` and ``host_id``.

        Raises
        ------
        DataError
            If a row has an unknown kind or split, or no host.
        """
        return cls(
            known_codes(table, "control_kind", KINDS),
            known_codes(table, "split", SPLITS),
            _encoded(table["host_id"])[0],
        )

    @classmethod
    def read(cls, shards: MetadataReader) -> Population:
        """Read the codes of all rows of a shard set.

        Raises
        ------
        DataError
            If there are no rows: nothing can be said of an empty set.
        """
        population = cls.of(shards.metadata(["control_kind", "split", "host_id"]))
        if population.rows == 0:
            raise DataError(describe("No rows to judge", expected="at least one row", got=0))
        return population

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.kind.size)

    def where(self, kind: str | None = None, split: str | None = None) -> Flags:
        """Return the rows of a class, a split, or both."""
        chosen = np.ones(self.rows, dtype=bool)
        if kind is not None:
            chosen &= self.kind == KINDS.index(kind)
        if split is not None:
            chosen &= self.split == SPLITS.index(split)
        return chosen

    def galaxies(self, chosen: Flags | None = None) -> int:
        """Return the number of distinct hosts, of all or of the chosen rows."""
        return int(np.unique(self.host if chosen is None else self.host[chosen]).size)

    def present(self, kinds: Sequence[str]) -> list[str]:
        """Return those of ``kinds`` that have rows, in the order given."""
        return [kind for kind in kinds if bool((self.kind == KINDS.index(kind)).any())]


def codes(column: pa.ChunkedArray | pa.Array) -> tuple[Codes, list[Any]]:
    """Return an integer per row (-1 where null) and the values they stand for."""
    indices, values = _encoded(column)
    return indices, values.to_pylist()


def floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Return a numeric column as float64, NaN where null."""
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def known_codes(table: pa.Table | pa.RecordBatch, name: str, known: Sequence[str]) -> Codes:
    """Return the place of each value of a column in a list.

    Raises
    ------
    DataError
        If a value is null or not in the list.
    """
    column = table[name]
    found = pc.index_in(column, value_set=pa.array(known, type=column.type))
    if found.null_count:
        unknown = sorted({str(v) for v in pc.unique(column.filter(pc.is_null(found))).to_pylist() if v})
        raise DataError(
            describe("Unknown value", field=name, expected=f"one of {list(known)}", got=unknown or "null")
        )
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], type=column.type)


def _encoded(column: pa.ChunkedArray | pa.Array) -> tuple[Codes, pa.Array]:
    encoded = one_array(column).dictionary_encode()
    indices = pc.fill_null(pc.cast(encoded.indices, pa.int64()), -1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64), encoded.dictionary
