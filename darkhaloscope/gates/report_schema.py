"""The layout of a stored gate report, and a check that a report has it.

The layout is ``report.schema.json``, a JSON Schema (draft 2020-12) that ships
with the package. The check knows the keywords that file uses and refuses any
other, so it cannot pass a report by not understanding the schema.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from darkhaloscope.errors import ContractError, describe

SCHEMA_PATH = Path(__file__).with_name("report.schema.json")

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOTES = {"$schema", "$id", "$defs", "title", "description"}


@cache
def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of a gate report."""
    schema: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return schema


def require_layout(report: Mapping[str, Any]) -> None:
    """Refuse a report that is not laid out as the schema says.

    Parameters
    ----------
    report : mapping
        As read from ``report.json``.

    Raises
    ------
    ContractError
        Naming the first place that differs, or a number that is not finite.
    """
    schema = report_schema()
    for fault in _faults(dict(report), schema, schema, "report"):
        raise ContractError(fault)


def _faults(value: Any, rule: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield describe("Number is not finite", field=place, got=value)
    for keyword, setting in rule.items():
        if keyword in _CHECKS and not _CHECKS[keyword](value, setting):
            yield describe("Gate report", field=place, expected=f"{keyword} {setting}", got=repr(value))
        elif keyword == "$ref":
            yield from _faults(value, _resolved(setting, schema), schema, place)
        elif keyword not in _NOTES | _NESTED | set(_CHECKS):
            raise ContractError(describe("Keyword of the schema is not checked", field=place, got=keyword))
    if isinstance(value, dict):
        yield from _object_faults(value, rule, schema, place)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, rule.get("items", {}), schema, f"{place}[{index}]")


def _object_faults(
    value: dict[str, Any], rule: Mapping[str, Any], schema: Mapping[str, Any], place: str
) -> Iterator[str]:
    known: Mapping[str, Any] = rule.get("properties", {})
    for name in rule.get("required", ()):
        if name not in value:
            yield describe("Gate report", field=f"{place}.{name}", expected="a value", got="none")
    for name, item in value.items():
        if name not in known and rule.get("additionalProperties") is False:
            yield describe("Gate report", field=f"{place}.{name}", expected=f"one of {sorted(known)}")
        yield from _faults(item, known.get(name, {}), schema, f"{place}.{name}")


def _is_of(value: Any, kinds: str | list[str]) -> bool:
    allowed = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in allowed
    return any(isinstance(value, _TYPES[kind]) for kind in allowed)


def _resolved(reference: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = schema
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    rule: Mapping[str, Any] = found
    return rule


_NESTED = {"properties", "required", "additionalProperties", "items", "$ref"}
_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "type": _is_of,
    "const": lambda value, setting: bool(value == setting),
    "enum": lambda value, setting: value in setting,
    "minLength": lambda value, setting: not isinstance(value, str) or len(value) >= setting,
    "pattern": lambda value, setting: not isinstance(value, str) or re.search(setting, value) is not None,
    "minimum": lambda value, setting: not isinstance(value, int | float) or value >= setting,
}
