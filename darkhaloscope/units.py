"""A work unit: the only thing that crosses the seam to a compute engine.

A unit is a JSON object with ``unit_id``, ``output`` (absolute path of the part
it writes) and whatever its function needs; a function is a dotted name. Pixels
travel through the store. Running a unit twice is harmless: a finished part has
a sidecar with its hash, and the part is the same bytes whoever writes it.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darkhaloscope.artifacts import SIDECAR_SUFFIX, write_json
from darkhaloscope.errors import ContractError, describe
from darkhaloscope.hashing import hash_json, sha256_file
from darkhaloscope.metering import process_peak_mb

Unit = dict[str, Any]
UnitResult = dict[str, Any]


def resolve(function: str) -> Callable[[Unit], UnitResult]:
    """Import ``"package.module:function"``.

    Raises
    ------
    ContractError
        If the name does not resolve to a function of this library.
    """
    module_name, _, name = function.partition(":")
    if not module_name.startswith("darkhaloscope.") or not name:
        raise ContractError(
            describe("Unit function", expected="'darkhaloscope.<module>:<function>'", got=repr(function))
        )
    resolved: Callable[[Unit], UnitResult] = getattr(importlib.import_module(module_name), name)
    return resolved


def run_unit(function: str, unit: Unit) -> UnitResult:
    """Run one unit unless its part is already there, and say what was written.

    Parameters
    ----------
    function : str
        Dotted name of a function that takes the unit, writes ``unit["output"]``
        and returns a JSON-serialisable dict that holds at least ``rows``, and
        ``sha256`` if it knows the part's.
    unit : dict
        The unit.

    Returns
    -------
    dict
        The function's dict and ``unit_id``, ``part`` (file name), ``bytes``,
        ``sha256``, ``seconds``, ``peak_rss_mb`` and ``resumed``.
    """
    output = Path(unit["output"])
    sidecar = output.with_name(output.name + SIDECAR_SUFFIX)
    request = hash_json([function, {k: v for k, v in unit.items() if k != "output"}])
    if sidecar.is_file() and output.is_file():
        previous: UnitResult = json.loads(sidecar.read_text())
        if previous["request"] == request and previous["sha256"] == sha256_file(output):
            return {**previous, "resumed": True}
    started = time.perf_counter()
    result = resolve(function)(unit)
    if "rows" not in result or not output.is_file():
        raise ContractError(
            describe("Unit function must write its part and return 'rows'", row=unit["unit_id"])
        )
    result = {
        **result,
        "unit_id": unit["unit_id"],
        "part": output.name,
        "bytes": output.stat().st_size,
        "sha256": result.get("sha256") or sha256_file(output),
        "seconds": time.perf_counter() - started,
        "peak_rss_mb": process_peak_mb(),
        "request": request,
        "resumed": False,
    }
    write_json(sidecar, result)
    return result


def run_unit_json(function: str, unit: str) -> str:
    """Do what :func:`run_unit` does, text in and text out: the form engines call."""
    return json.dumps(run_unit(function, json.loads(unit)), allow_nan=False)
