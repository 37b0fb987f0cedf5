"""Q6: is a galaxy counted once in each class it is in, and a task once.

A galaxy that stands for many rows weighs as many times in the loss, and rows of
it are not independent however an interval is made. What it does in two splits is
the business of L2.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from darkhaloscope.gates.columns import Columns
from darkhaloscope.gates.columns.identities import MOST_ROWS, names_of
from darkhaloscope.gates.judging import Measured, deferred, failed, passed
from darkhaloscope.gates.population import KINDS, MetadataReader
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import clopper_pearson

_NAMED = 5


def measure_multiplicity(columns: Columns, reader: MetadataReader, limits: Thresholds) -> Measured:
    """Count rows per galaxy and class, repeated tasks, and galaxies at one place (Q6).

    Parameters
    ----------
    columns : Columns
        All rows.
    reader : MetadataReader
        Where repeated ids are looked up, if there are any.
    limits : Thresholds
        Distance below which two galaxies are at one place.

    Returns
    -------
    dict
        ``rows_per_galaxy`` by class (galaxies with 1, 2, ... rows), ``most``
        rows of one galaxy in one class, ``repeated`` galaxies with so many,
        ``repeated_tasks`` and ``first_tasks``, ``doubles``: galaxies in a pair
        under two ids, ``galaxies``, ``absent``.
    """
    galaxies = columns.galaxies
    counts = galaxies.rows_per_host
    most = int(np.flatnonzero(counts.sum(axis=0)).max(initial=0))
    surplus, tasks = columns.repeated_tasks
    radius = limits.value("Q6", "double_separation_arcsec")
    pairs = columns.close_pairs(radius)
    return {
        "rows_per_galaxy": {
            kind: counts[k, 1 : most + 1].tolist() for k, kind in enumerate(KINDS) if counts[k].any()
        },
        "most": most,
        "repeated": names_of(_column(reader, "host_id"), galaxies.repeated[:_NAMED]) if most > 1 else [],
        "repeated_tasks": surplus,
        "first_tasks": names_of(_column(reader, "task_id"), tasks[:_NAMED], 0) if surplus else [],
        "doubles": int(np.unique(pairs).size),
        "galaxies": len(galaxies),
        "absent": {n: columns.absent[n] for n in ("task_id", "ra", "dec") if n in columns.absent},
    }


def judge_multiplicity(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a task is repeated, or a galaxy has more rows in a class than are configured (Q6)."""
    n = measured["galaxies"]
    duplicates = limits.get("Q6", "max_repeated_tasks")
    most, doubles = limits.get("Q6", "max_rows_per_class"), limits.get("Q6", "max_double_share")
    if n == 0:
        return failed(most, "no galaxies", measured)
    if measured["repeated_tasks"] > duplicates.value:
        reason = f"{measured['repeated_tasks']} rows repeat a task, first {measured['first_tasks']}"
        return failed(duplicates, reason, measured, value=measured["repeated_tasks"], n=n)
    if measured["most"] > most.value:
        several = {
            kind: sum(galaxies[int(most.value) :]) for kind, galaxies in measured["rows_per_galaxy"].items()
        }
        told = {kind: f"{k} galaxies" for kind, k in several.items() if k}
        number = f"{MOST_ROWS} or more" if measured["most"] == MOST_ROWS else measured["most"]
        reason = (
            f"up to {number} rows of one galaxy in one class, {most.value:g} configured: {told}, "
            f"first {measured['repeated']}"
        )
        return failed(most, reason, measured, value=measured["most"], n=n)
    share = clopper_pearson(measured["doubles"], n)
    if share.above(doubles.value):
        reason = f"{measured['doubles']} of {n} galaxies lie at the place of another under another id"
        return failed(doubles, reason, measured).measured(share)
    if measured["absent"]:
        return deferred("; ".join(dict.fromkeys(measured["absent"].values())))
    reason = f"no task is repeated and no galaxy has two rows in a class; {measured['doubles']} blends"
    return passed(most, reason, measured, value=measured["most"], n=n)


def _column(reader: MetadataReader, name: str) -> pa.ChunkedArray:
    return reader.metadata([name])[name]
