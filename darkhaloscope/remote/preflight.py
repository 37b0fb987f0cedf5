"""Import everything a worker will need, before the work is sent.

An import that fails on an executor must fail there, at the start and by name.
"""

from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path

from darkhaloscope.artifacts import write_json
from darkhaloscope.errors import EngineError, describe
from darkhaloscope.remote.worker import SINGLE_THREAD
from darkhaloscope.units import Unit, UnitResult

WORKER_MODULES = (
    "astropy",
    "h5py",
    "healpy",
    "numba",
    "numpy",
    "pyarrow",
    "scipy",
    "darkhaloscope.lensing.render",
    "darkhaloscope.sources.bank",
    "darkhaloscope.stamps.inject",
    "darkhaloscope.survey.hosts",
)
"""Modules that unit functions use."""


def check_worker(unit: Unit) -> UnitResult:
    """Import the modules of a unit and write their versions: a unit function.

    Parameters
    ----------
    unit : dict
        ``output`` and optionally ``modules`` (default :data:`WORKER_MODULES`).

    Returns
    -------
    dict
        ``rows`` (0), ``python``, ``versions`` and ``threads``, the worker's
        thread limits.

    Raises
    ------
    EngineError
        Naming the module that cannot be imported.
    """
    versions: dict[str, str] = {}
    for name in unit.get("modules", WORKER_MODULES):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise EngineError(
                describe(
                    "A worker cannot import a module it needs",
                    field=name,
                    got=str(error),
                    hint="install the same environment on the workers",
                )
            ) from error
        versions[name] = str(getattr(module, "__version__", ""))
    found = {
        "python": platform.python_version(),
        "versions": versions,
        "threads": {name: os.environ.get(name, "") for name in sorted(SINGLE_THREAD)},
    }
    write_json(Path(unit["output"]), found)
    return {"rows": 0, **found}
