"""The classes of a sample, paired for comparison: positives against each control kind.

Against ``matched_light``, which carries the same light unlensed, only morphology
is left; against controls with nothing added, physics forces a difference. What
is compared and what is tolerated is the gates' business.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.judging import Measured, failed
from darkhaloscope.gates.population import COMPARED_KINDS, POSITIVE
from darkhaloscope.gates.result import GateStatus, Verdict
from darkhaloscope.gates.thresholds import Threshold, Thresholds
from darkhaloscope.statistics import Interval


def kinds_of(sample: Sample) -> list[str]:
    """Return the control kinds that the sample holds and positives are compared with."""
    return sample.population.present(COMPARED_KINDS)


def galaxies_of(sample: Sample) -> dict[str, int]:
    """Return the galaxies of positives and of each compared kind."""
    population = sample.population
    kinds = [*population.present([POSITIVE]), *kinds_of(sample)]
    return {kind: population.galaxies(population.where(kind)) for kind in kinds}


def pair(sample: Sample, kind: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the rows of positives and those of a control kind."""
    return sample.population.where(POSITIVE), sample.population.where(kind)


def hosts_of(sample: Sample, rows: NDArray[Any]) -> NDArray[np.int64]:
    """Return the galaxy of each of the given rows."""
    return np.asarray(sample.population.host[rows])


def starved(measured: Measured, limits: Thresholds) -> Verdict | None:
    """Return a failure when a class has too few galaxies to be tested."""
    limit = limits.get("S", "min_galaxies")
    galaxies: dict[str, int] = measured["galaxies"]
    controls = {kind: n for kind, n in galaxies.items() if kind != POSITIVE}
    if not galaxies.get(POSITIVE) or not controls:
        return failed(limit, f"one class only: {galaxies}", measured)
    kind, n = min(galaxies.items(), key=lambda item: item[1])
    if n < limit.value:
        return failed(limit, f"{n} galaxies of class {kind}; {limit.value:g} needed", measured, n=n)
    return None


def column(value: Interval | None, limit: Threshold | None, status: GateStatus) -> dict[str, Any]:
    """Return one entry of a verdict's ``by_kind``: what a control kind says by itself.

    Status ``not_applicable`` with a value informs; without one, the data set has
    no controls of this kind.
    """
    return {
        "status": status.value,
        "limit": None if limit is None else limit.value,
        "value": None if value is None else value.to_dict(),
    }


def by_kind(judged: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the columns of all compared kinds; absent ones are not applicable."""
    absent = column(None, None, GateStatus.NOT_APPLICABLE)
    return {kind: judged.get(kind, absent) for kind in COMPARED_KINDS}
