"""L4: are the splits as large as promised.

Proportions are those of the plan, and what the shards kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import SPLITS
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import clopper_pearson

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_ROUNDING = 1e-9


def measure_proportions(
    *,
    cell: IntArray,
    split: NDArray[Any],
    galaxies: FloatArray,
    area_deg2: FloatArray,
    fractions: Sequence[float],
    available: Mapping[str, int],
    kept: Mapping[str, int],
) -> Measured:
    """Measure the share of galaxies and of area in each split (L4).

    Parameters
    ----------
    cell : ndarray of int, shape (b,)
        Split cell of each usable brick.
    split : ndarray of str, shape (b,)
        Split of that cell, the guard band not taken out.
    galaxies, area_deg2 : ndarray, shape (b,)
        Catalogued galaxies and primary area of each brick.
    fractions : (train, val, test)
        Promised shares.
    available, kept : mapping of str to int
        Hosts per split outside the guard band that were cut out, and that are
        in the shards.

    Returns
    -------
    dict
        Shares per split, and the largest cell's share, below which no
        assignment of whole cells can be.
    """
    measured: Measured = {
        "promised": dict(zip(SPLITS, map(float, fractions), strict=True)),
        "cells": int(np.unique(cell).size),
        "available": {name: int(available.get(name, 0)) for name in SPLITS},
        "kept": {name: int(kept.get(name, 0)) for name in SPLITS},
    }
    for label, weight in (("galaxies", galaxies), ("area", area_deg2)):
        total = float(weight.sum())
        if total > 0.0:
            by_cell = np.bincount(np.unique(cell, return_inverse=True)[1], weights=weight)
            measured[label] = {name: float(weight[split == name].sum()) / total for name in SPLITS}
            measured[f"largest_cell_{label}"] = float(by_cell.max()) / total
    return measured


def judge_proportions(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a split has not the promised share, or the shards changed the shares (L4).

    The tolerance is the limit, or the share of the largest cell where whole
    cells cannot do better.
    """
    limit = limits.get("L4", "max_error")
    n = measured["cells"]
    if n == 0 or "galaxies" not in measured or "area" not in measured:
        return failed(limit, "no usable brick with galaxies and area", measured, n=n)
    worst = (0.0, "")
    for label in ("galaxies", "area"):
        tolerance = max(limit.value, measured[f"largest_cell_{label}"])
        for name, promised in measured["promised"].items():
            share = measured[label][name]
            text = f"{name} has {share:.3f} of the {label}, promised {promised:.2f}"
            if abs(share - promised) > tolerance + _ROUNDING:
                reason = f"{text} (tolerance {tolerance:.3f}, {n} cells)"
                return failed(limit, reason, measured, value=abs(share - promised), n=n)
            worst = max(worst, (abs(share - promised), text))
    available, kept = measured["available"], measured["kept"]
    if sum(available.values()) == 0 or sum(kept.values()) == 0:
        return failed(limit, "no hosts", measured, n=n)
    confidence = simultaneous(len(SPLITS))
    for name in SPLITS:
        share = clopper_pearson(kept[name], sum(kept.values()), confidence)
        expected = available[name] / sum(available.values())
        if share.below(expected - limit.value) or share.above(expected + limit.value):
            reason = f"{name} has {share} of the hosts in the shards, {expected:.3f} of those cut out"
            return failed(limit, reason, measured).measured(share)
    return passed(limit, f"largest deviation: {worst[1]}; {n} cells", measured, value=worst[0], n=n)
