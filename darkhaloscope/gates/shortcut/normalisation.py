"""S1: do the statistics that normalisation takes, or leaves, tell the class."""

from __future__ import annotations

from darkhaloscope.errors import DataError
from darkhaloscope.gates.features import MATCHED, Sample
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.result import GateStatus, Verdict
from darkhaloscope.gates.shortcut.classes import (
    by_kind,
    column,
    galaxies_of,
    hosts_of,
    kinds_of,
    pair,
    starved,
)
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval, cohen_d


def measure_normalisation(sample: Sample) -> Measured:
    """Measure the effect size of every normalisation statistic per control kind (S1).

    The statistics are what normalisation divides out (median and scale of
    r > 16 px) and what it leaves behind (the clipped share of that region).
    """
    kinds = kinds_of(sample)
    confidence = simultaneous(len(sample.normalisation) * max(1, len(kinds)))
    measured: Measured = {
        "effects": {},
        "constant": [],
        "galaxies": galaxies_of(sample),
        "confidence": confidence,
    }
    for name, values in sample.normalisation.items():
        if values.min() == values.max():
            measured["constant"].append(name)
            continue
        for kind in kinds:
            a, b = pair(sample, kind)
            try:
                d = cohen_d(values[a], values[b], hosts_of(sample, a), hosts_of(sample, b), confidence)
            except DataError:
                continue  # too few rows of the class, which the judge refuses by its galaxies
            measured["effects"].setdefault(kind, {})[name] = d.to_dict()
    return measured


def judge_normalisation(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a normalisation statistic differs between the classes (S1)."""
    starving = starved(measured, limits)
    if starving is not None:
        return starving
    fixed = [name for name in measured["constant"] if not name.startswith("clip_")]
    if fixed or not measured["effects"]:
        first = limits.get("S1", "max_abs_d_matched_light")
        what = ", ".join(fixed) or "every statistic"
        return failed(first, f"{what} constant: nothing was tested", measured)
    worst, columns = [], {}
    for kind, by_name in measured["effects"].items():
        limit = limits.get("S1", f"max_abs_d_{MATCHED if kind == MATCHED else 'nothing_added'}")
        effects = {name: Interval(**raw).magnitude() for name, raw in by_name.items()}
        name, d = max(effects.items(), key=lambda item: (item[1].lower, item[1].value))
        status = GateStatus.FAIL if d.above(limit.value) else GateStatus.PASS
        columns[kind] = column(d, limit, status)
        worst.append((d.lower - limit.value, d.value, limit, d, f"{name} of positives and {kind}"))
    excess, _, limit, d, where = max(worst, key=lambda item: (item[0], item[1]))
    told = {**measured, "by_kind": by_kind(columns)}
    return (failed if excess > 0.0 else passed)(limit, f"{where}: |d| = {d}", told).measured(d)
