"""One work unit after another, text in and text out: the far side of every engine.

Only JSON text crosses the seam. An error crosses as text too, and is raised
again on the near side as the typed error it was.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from darkhaloscope import errors
from darkhaloscope.units import Unit, UnitResult, run_unit

READY = "ready"
"""First line a worker process writes, once it can take requests."""

SINGLE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Environment of a worker: engines scale by processes, never by threads inside one."""


def worker_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return ``base`` with one thread per process and this library importable.

    Parameters
    ----------
    base : mapping
        Usually ``os.environ``.

    Returns
    -------
    dict
        A new environment; ``base`` is left alone.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    known = [path for path in base.get("PYTHONPATH", "").split(os.pathsep) if path]
    path = os.pathsep.join([package_root, *(p for p in known if p != package_root)])
    return {**base, **SINGLE_THREAD, "PYTHONPATH": path}


def make_request(function: str, unit: Unit) -> str:
    """Return the one-line text that asks a worker for a unit."""
    return json.dumps({"function": function, "unit": unit}, allow_nan=False)


def answer(request: str) -> str:
    """Run the unit of a request and return its result, or its error, as one line of text.

    Parameters
    ----------
    request : str
        From :func:`make_request`.

    Returns
    -------
    str
        ``{"result": ...}`` or ``{"error": {"type", "message", "unit_id", "traceback"}}``.
    """
    asked = json.loads(request)
    try:
        return json.dumps({"result": run_unit(asked["function"], asked["unit"])}, allow_nan=False)
    except Exception as error:  # noqa: BLE001 - every error must cross the seam with its unit's name
        return json.dumps(
            {
                "error": {
                    "type": type(error).__name__,
                    "message": str(error),
                    "unit_id": asked["unit"].get("unit_id"),
                    "traceback": traceback.format_exc(),
                }
            }
        )


def read_answer(text: str) -> UnitResult:
    """Return the result of an answer, or raise its error.

    Raises
    ------
    DarkHaloScopeError
        The typed error of the unit; :class:`EngineError` with the far side's
        traceback for any other.
    """
    value: dict[str, Any] = json.loads(text)
    if "result" in value:
        result: UnitResult = value["result"]
        return result
    error = value["error"]
    kind = getattr(errors, error["type"], None)
    message = f"unit {error['unit_id']}: {error['message']}"
    if isinstance(kind, type) and issubclass(kind, errors.DarkHaloScopeError):
        raise kind(message)
    raise errors.EngineError(
        errors.describe(
            "Unit failed",
            row=error["unit_id"],
            got=f"{error['type']}: {error['message']}\n{error['traceback']}",
        )
    )


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer one request per line until the stream ends."""
    answers.write(READY + "\n")
    answers.flush()
    for line in requests:
        answers.write(answer(line) + "\n")
        answers.flush()


def main() -> None:
    """Serve on standard input and output; whatever else prints goes to standard error."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
