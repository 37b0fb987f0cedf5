"""A column, its role and its unit; a table schema and what it refuses.

The role of a column decides who may use it: a model may be given ``condition``
columns only, which is how a truth value can never become an input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from enum import StrEnum
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope.errors import ContractError, describe
from darkhaloscope.hashing import hash_json

ROW_GROUP_ROWS = 256
"""Rows per row group of tables with pixels, unless the table says otherwise: the unit of a streaming read."""

PLAIN_ROW_GROUP_ROWS = 1 << 17
"""Rows per row group of other tables, unless the table says otherwise."""


class Role(StrEnum):
    """What a column is for."""

    IDENTITY = "identity"
    CONDITION = "condition"
    TRUTH = "truth"
    RESULT = "result"
    QUALITY = "quality"
    PIXELS = "pixels"


@dataclass(frozen=True)
class Column:
    """One column: name, Arrow type, role, unit and meaning.

    Parameters
    ----------
    name : str
        Column name; a unit suffix is part of it.
    type : pyarrow.DataType or None
        Arrow type. None for pixel columns, whose type depends on the stamp size.
    role : Role
        Who may use it.
    unit : str
        Unit as text, ``""`` for none.
    description : str
        Meaning, frame and convention.
    nullable : bool
        Whether null is a legal value.
    """

    name: str
    type: pa.DataType | None
    role: Role
    unit: str
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class PixelColumn(Column):
    """An image column: an Arrow fixed-shape tensor with bands first, then y, x.

    Parameters
    ----------
    planes : int
        Number of planes; 0 for a single (y, x) plane.
    value_type : pyarrow.DataType
        Type of one pixel.
    stored : {"noise", "map", "raw"}
        What it is in a file, which changes no bit. ``noise``: a list of floats
        whose bytes are split by significance and compressed. ``map``:
        compressed bytes, for planes that are constant over most of a stamp.
        ``raw``: bytes as they are, for pixels that are read more often than
        anything else is done with them.
    """

    planes: int = 0
    value_type: pa.DataType | None = None
    stored: Literal["noise", "map", "raw"] = "noise"

    def tensor_type(self, size: int) -> pa.DataType:
        """Return the Arrow tensor type for stamps of ``size`` x ``size`` pixels."""
        shape = (self.planes, size, size) if self.planes else (size, size)
        return pa.fixed_shape_tensor(self.value_type, shape)


@dataclass(frozen=True)
class TableSchema:
    """The columns of one kind of table, in order.

    Parameters
    ----------
    name : str
        Kind of table.
    version : int
        Raised when a column changes its meaning, type or unit.
    columns : tuple of Column
        In storage order.
    row_group_rows : int or None
        Rows per row group of a file; None for ``ROW_GROUP_ROWS`` with pixels and
        ``PLAIN_ROW_GROUP_ROWS`` without.
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    row_group_rows: int | None = None
    _arrow: dict[int | None, pa.Schema] = dataclass_field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(names) != len(set(names)):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ContractError(describe("Duplicate columns in schema", file=self.name, got=twice))

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(
            describe("Unknown column", file=self.name, field=name, expected=f"one of {self.names()}")
        )

    @property
    def label(self) -> str:
        """Return name and version, ``"stamps/1"``, as artefact records carry it."""
        return f"{self.name}/{self.version}"

    def names(self, *roles: Role) -> list[str]:
        """Return the column names, all or those of the given roles, in order."""
        return [c.name for c in self.columns if not roles or c.role in roles]

    def pixel_columns(self) -> list[PixelColumn]:
        """Return the image columns, in order."""
        return [c for c in self.columns if isinstance(c, PixelColumn)]

    def arrow(self, size: int | None = None) -> pa.Schema:
        """Return the Arrow schema.

        Parameters
        ----------
        size : int, optional
            Side of the stamps in pixels; required if the table has images.

        Returns
        -------
        pyarrow.Schema
            With role, unit and description in each field's metadata and the
            schema name and version in the table's.
        """
        if size not in self._arrow:
            self._arrow[size] = self._made(size)
        return self._arrow[size]

    def _made(self, size: int | None) -> pa.Schema:
        fields = []
        for column in self.columns:
            if isinstance(column, PixelColumn):
                if size is None:
                    raise ContractError(describe("Stamp size needed", file=self.name, field=column.name))
                kind = column.tensor_type(size)
            else:
                kind = column.type
            fields.append(
                pa.field(
                    column.name,
                    kind,
                    nullable=column.nullable,
                    metadata={
                        "role": column.role.value,
                        "unit": column.unit,
                        "description": column.description,
                    },
                )
            )
        return pa.schema(fields, metadata={"dhs_schema": self.name, "dhs_schema_version": str(self.version)})

    @property
    def rows_per_group(self) -> int:
        """Return the rows per row group of a file."""
        plain = ROW_GROUP_ROWS if self.pixel_columns() else PLAIN_ROW_GROUP_ROWS
        return plain if self.row_group_rows is None else self.row_group_rows

    def version_hash(self) -> str:
        """Return a hash of the whole schema, for reading code that must not guess."""
        return hash_json(
            [self.name, self.version, [[c.name, str(c.type), c.role, c.unit] for c in self.columns]]
        )

    def table(self, data: dict[str, object], size: int | None = None) -> pa.Table:
        """Build a table from columns, refusing what the schema does not know.

        Parameters
        ----------
        data : dict
            Column name to array-like. Pixel columns are numpy arrays of shape
            (n, planes, size, size) or (n, size, size), or Arrow tensor arrays.
        size : int, optional
            Side of the stamps in pixels.

        Returns
        -------
        pyarrow.Table

        Raises
        ------
        ContractError
            If a column is missing, unknown, of another length, or null where
            the schema forbids it.
        """
        schema = self.arrow(size)
        self._check_names(data)
        arrays = []
        for column, field in zip(self.columns, schema, strict=True):
            values = data[column.name]
            if isinstance(column, PixelColumn) and not isinstance(values, pa.Array):
                arrays.append(tensor_array(values, field.type))
            elif isinstance(values, pa.Array | pa.ChunkedArray):
                array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
                arrays.append(array if array.type == field.type else array.cast(field.type))
            else:
                arrays.append(pa.array(values, type=field.type))
        table = pa.table(arrays, schema=schema)
        self.validate(table)
        return table

    def validate(self, table: pa.Table) -> None:
        """Refuse a table with unknown, missing or forbidden-null columns.

        Raises
        ------
        ContractError
            Naming the first offending column and row.
        """
        self._check_names(table.column_names)
        for column in self.columns:
            values = table[column.name]
            if not column.nullable and values.null_count:
                row = pc.index(values.is_null(), pa.scalar(True)).as_py()
                raise ContractError(
                    describe(
                        "Null in a column that may not be null",
                        file=self.name,
                        field=column.name,
                        row=row,
                        got=f"{values.null_count} nulls of {len(values)}",
                    )
                )

    def _check_names(self, names: Iterable[str]) -> None:
        found, known = set(names), set(self.names())
        if found != known:
            raise ContractError(
                describe(
                    "Columns do not match the schema",
                    file=self.name,
                    got=f"missing {sorted(known - found)}, unknown {sorted(found - known)}",
                    hint="add the column to darkhaloscope/schema/tables.py or stop writing it",
                )
            )


def tensor_array(values: object, tensor: pa.DataType) -> pa.Array:
    """Turn a C-contiguous numpy array (n, ...) into an Arrow tensor array without copying."""
    import numpy as np

    array = np.ascontiguousarray(values, dtype=tensor.value_type.to_pandas_dtype())
    expected = tuple(tensor.shape)
    if array.shape[1:] != expected:
        raise ContractError(
            describe("Pixel array has the wrong shape", expected=("n", *expected), got=array.shape)
        )
    width = int(np.prod(expected))
    flat = pa.array(array.reshape(-1), type=tensor.value_type)
    storage = pa.FixedSizeListArray.from_arrays(flat, width)
    return pa.ExtensionArray.from_storage(tensor, storage)
