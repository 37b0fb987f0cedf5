"""The error tree: what a user can mend, apart from what is our bug.

Every :class:`UserError` also inherits the built-in it refines, and its message
is built by :func:`describe`, so that it always names the place, what must be
there, what was found, and the next step.
"""

from __future__ import annotations

from pathlib import Path


class DarkHaloScopeError(Exception):
    """Base of every error raised on purpose."""


class UserError(DarkHaloScopeError):
    """Wrong input, configuration or environment: the user can mend it."""


class ConfigError(UserError, ValueError):
    """A configuration value is unknown, missing or out of range."""


class DataError(UserError, ValueError):
    """An input file exists but its content is not what its format promises."""


class MissingDataError(DataError, FileNotFoundError):
    """An input file, band or table that must exist does not."""


class MissingInputError(DataError):
    """An input that a question needs is not at hand; the message says which."""


class ArtifactError(UserError, RuntimeError):
    """A stored artefact is absent, incomplete or not the one asked for."""


class GateError(UserError, RuntimeError):
    """A gate that guards an artefact has not been passed for that artefact."""


class StorageError(UserError, OSError):
    """The store could not be written, for example because the disk is full."""


class EngineError(UserError, RuntimeError):
    """A compute engine or trainer could not be started or lost its work."""


class ContractError(DarkHaloScopeError, AssertionError):
    """Our own code broke one of its contracts: a bug, not a user's mistake."""


def describe(
    what: str,
    *,
    file: str | Path | None = None,
    line: int | None = None,
    field: str | None = None,
    row: object | None = None,
    expected: object | None = None,
    got: object | None = None,
    hint: str | None = None,
) -> str:
    """Build an error message that names place, expectation, finding and next step.

    Parameters
    ----------
    what : str
        The fault in one clause.
    file, line, field, row : optional
        Where it is.
    expected, got : optional
        What must be there and what was found.
    hint : str, optional
        What the reader can do next.

    Returns
    -------
    str
        One message, ``what [place]: must be X, got Y. Next: hint``.
    """
    place = [
        f"{name} {value}" if name != "file" else (f"{value}:{line}" if line else f"{value}")
        for name, value in (("file", file), ("field", field), ("row", row))
        if value is not None
    ]
    message = what + (f" [{', '.join(place)}]" if place else "")
    if expected is not None and got is not None:
        message += f": must be {expected}, got {got}"
    elif expected is not None:
        message += f": must be {expected}"
    elif got is not None:
        message += f": got {got}"
    if hint is not None:
        message += f". Next: {hint}"
    return message
