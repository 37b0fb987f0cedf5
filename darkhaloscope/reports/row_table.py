"""One row of a table as a person reads it: name, value per band, unit, meaning.

Names, units and meanings are the schema's own; nothing about a column is said here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from darkhaloscope.schema import BANDS, Column, Role, TableSchema

NO_VALUE = "-"

_SECTIONS = (Role.IDENTITY, Role.TRUTH, Role.RESULT, Role.QUALITY, Role.CONDITION)


class Line(NamedTuple):
    """One parameter of a row.

    Attributes
    ----------
    role : Role
        Section it belongs to.
    name : str
        Column name; ``{b}`` stands for the band where there is one value per band.
    values : tuple of str
        One value, or one per band.
    unit : str
        Unit, empty for none.
    meaning : str
        Description of the column.
    """

    role: Role
    name: str
    values: tuple[str, ...]
    unit: str
    meaning: str


def row_lines(schema: TableSchema, table: pa.Table) -> list[Line]:
    """List every parameter of a row that has a value, pixels excepted.

    Parameters
    ----------
    schema : TableSchema
        Of the table.
    table : pyarrow.Table
        One row.

    Returns
    -------
    list of Line
        Identity first, then truth, results, quality and conditions; the bands of a
        parameter on one line.
    """
    (row,) = table.select(schema.names(*_SECTIONS)).to_pylist()
    found = [line for line in _lines(schema, row) if set(line.values) != {NO_VALUE}]
    return sorted(found, key=lambda line: _SECTIONS.index(line.role))


def _lines(schema: TableSchema, row: Mapping[str, Any]) -> Iterator[Line]:
    columns = {column.name: column for column in schema if column.role in _SECTIONS}
    done: set[str] = set()
    for name, column in columns.items():
        if name in done:
            continue
        names = _bands_of(name, columns)
        done |= set(names)
        # What differs between the bands of a description is the band.
        template = name if len(names) == 1 else _with_placeholder(name)
        meaning = column.description
        if len(names) > 1:
            meaning = " ".join("{b}" if word == BANDS[0] else word for word in meaning.split(" "))
        values = tuple(format_value(row[each]) for each in names)
        yield Line(column.role, template, values, column.unit, meaning)


def _bands_of(name: str, columns: Mapping[str, Column]) -> list[str]:
    """Return the columns of all bands if the name is that of the first band, else itself."""
    words = name.split("_")
    if BANDS[0] in words:
        names = ["_".join(band if word == BANDS[0] else word for word in words) for band in BANDS]
        if all(each in columns for each in names):
            return names
    return [name]


def _with_placeholder(name: str) -> str:
    return "_".join("{b}" if word == BANDS[0] else word for word in name.split("_"))


def format_value(value: Any) -> str:
    """Return a value in few characters: seven digits of a number, yes or no, a dash for none."""
    if value is None or value == "":
        return NO_VALUE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.7g}" if isinstance(value, float) else str(value)
