"""What a gate may lack: an input that is not at hand defers the gates that need it.

A data set judged where it was made has every input. One found on disk may lack
files, columns or a declared experiment; whoever touches what is absent gets a
:class:`MissingInputError`, and ``run`` turns it into the verdict ``deferred``.
What a gate does with its inputs is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, overload

from darkhaloscope.errors import MissingInputError

__all__ = ["Input", "MissingInputError", "absent_columns", "missing_column", "optional"]

_T = TypeVar("_T")
_ARROW_FIELD = re.compile(r'Field "([^"]+)" does not exist')


class Input(Generic[_T]):
    """A dataclass field that may be left out and raises when it is read.

    Parameters
    ----------
    told : str
        What is missing, for the person who can supply it.
    """

    def __init__(self, told: str) -> None:
        self.told = told

    def __set_name__(self, owner: type, name: str) -> None:
        self._slot = f"_{name}"

    @overload
    def __get__(self, holder: None, owner: type) -> None: ...
    @overload
    def __get__(self, holder: object, owner: type) -> _T: ...
    def __get__(self, holder: object | None, owner: type) -> _T | None:
        if holder is None:
            return None  # the default of the dataclass field
        value: _T | None = holder.__dict__.get(self._slot)
        if value is None:
            raise MissingInputError(self.told)
        return value

    def __set__(self, holder: object, value: _T | None) -> None:
        holder.__dict__[self._slot] = value


def optional(read: Callable[[], _T]) -> _T | None:
    """Return an input for a question that can do without it, None where it is absent."""
    try:
        return read()
    except MissingInputError:
        return None


def absent_columns(reader: object) -> Mapping[str, str]:
    """Return the columns of STAMPS that a reader cannot give, and what it has to say of each.

    Readers that give every column need not say so.
    """
    absent: Mapping[str, str] = getattr(reader, "absent", {})
    return absent


def missing_column(reader: object, error: KeyError) -> MissingInputError | None:
    """Return the error of a column that a reader lacks, None where the fault is not the reader's.

    Parameters
    ----------
    reader : object
        The shards.
    error : KeyError
        What Arrow raised when a table was asked for a column.
    """
    absent: Mapping[str, Any] = absent_columns(reader)
    found = _ARROW_FIELD.search(str(error))
    name = found.group(1) if found else str(error.args[0] if error.args else "")
    return MissingInputError(absent[name]) if name in absent else None
