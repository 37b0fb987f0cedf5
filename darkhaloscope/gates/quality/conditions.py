"""Q1: are the conditions under which galaxies were seen alike in both classes.

Columns are compared over all rows from one pass (``gates.columns``); pixels come
in as statistics of the fixed sample. What a class looks like is the business of
the shortcut gates, whether several conditions together tell the class that of L5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError
from darkhaloscope.gates.columns import Columns
from darkhaloscope.gates.columns.effects import TwoGroups, cohen_d_of, ks_distance_of
from darkhaloscope.gates.columns.scan import class_cells
from darkhaloscope.gates.judging import Measured, deferred, failed, passed, simultaneous
from darkhaloscope.gates.population import COMPARED_KINDS, POSITIVE, SPLITS, Population
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import per_band
from darkhaloscope.statistics import Interval, cohen_d, ks_two_sample

CONDITIONS = (
    *per_band("psf_fwhm_{b}_arcsec"),
    *per_band("psfdepth_{b}_mag"),
    *per_band("host_mag_{b}"),
    *per_band("nexp_{b}"),
    "ebv",
    *per_band("bad_pixel_frac_{b}"),
    "ra",
    "dec",
)
"""Columns compared between the classes over all rows."""

MUST_VARY = CONDITIONS[:9]
"""Seeing, depth and magnitudes are never constant in a survey; if they are, the test is void."""

FloatArray = NDArray[np.float64]

_POSITIONS = frozenset({"ra", "dec"})
_HISTOGRAM_BINS = 40
_SHOWN = (0.002, 0.998)


def measure_conditions(columns: Columns, sampled: Mapping[str, FloatArray], sample: Population) -> Measured:
    """Compare every condition between positives and each control kind, per split (Q1).

    Intervals are simultaneous: 95 % for all comparisons together.

    Parameters
    ----------
    columns : Columns
        All rows.
    sampled : mapping of str to ndarray, each shape (m,)
        Pixel statistics of the fixed sample, for example the median invvar.
    sample : Population
        Classes of the sample.

    Returns
    -------
    dict
        ``comparisons``, ``constant`` and ``not_finite`` columns, ``galaxies``,
        ``absent`` columns and ``histograms`` by column and class.
    """
    names = [name for name in CONDITIONS if name not in columns.absent]
    kinds = columns.present(COMPARED_KINDS)
    confidence = simultaneous(2 * (len(names) + len(sampled)) * max(1, len(kinds)) * len(SPLITS))
    not_finite = {name: int(columns.values[name].skipped.sum()) for name in names}
    constant = [name for name in names if not not_finite[name] and columns.values[name].is_constant()]
    measured: Measured = {
        "comparisons": [],
        "constant": constant,
        "not_finite": {name: rows for name, rows in not_finite.items() if rows},
        "galaxies": {kind: columns.hosts(kind) for kind in [POSITIVE, *kinds]},
        "confidence": confidence,
        "absent": {name: columns.absent[name] for name in CONDITIONS if name in columns.absent},
        "histograms": {name: _histogram(columns, name, [POSITIVE, *kinds]) for name in names},
    }
    compared = [name for name in names if not not_finite[name] and name not in constant]
    for split in SPLITS:
        for kind in kinds:
            a, b = class_cells(POSITIVE, split), class_cells(kind, split)
            if min(columns.count(POSITIVE, split), columns.count(kind, split)) < 2:
                continue
            groups = TwoGroups.of(columns, a, b)
            measured["comparisons"] += [
                {
                    "column": name,
                    "split": split,
                    "kind": kind,
                    "d": None if name in _POSITIONS else _effect(columns, name, groups, confidence),
                    "ks": ks_distance_of(columns, name, groups, confidence).to_dict(),
                }
                for name in compared
            ]
    for name, values in sampled.items():
        _compare_sampled(measured, name, values, sample, confidence)
    return measured


def judge_conditions(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a condition differs between the classes by more than its interval (Q1)."""
    galaxies: dict[str, int] = measured["galaxies"]
    smallest = min(galaxies.values()) if len(galaxies) > 1 else 0
    at_least = limits.get("Q1", "min_galaxies")
    if smallest < at_least.value:
        return failed(
            at_least,
            f"{smallest} galaxies in the smaller class; {at_least.value:g} needed",
            measured,
            n=smallest,
        )
    if measured["not_finite"]:
        column, rows = next(iter(measured["not_finite"].items()))
        return failed(None, f"{column} is null or not finite in {rows} rows", measured, n=smallest)
    void = sorted(set(measured["constant"]) & set(MUST_VARY))
    if void:
        return failed(
            None, f"{', '.join(void)} constant over all rows: nothing was tested", measured, n=smallest
        )
    d_limit, ks_limit = limits.get("Q1", "max_abs_d"), limits.get("Q1", "max_ks")
    comparisons = measured["comparisons"]
    if not comparisons:
        return failed(d_limit, "no column could be compared", measured, n=smallest)
    bad = [
        c
        for c in comparisons
        if (c["d"] is not None and c["d"]["lower"] > d_limit.value) or c["ks"]["lower"] > ks_limit.value
    ]
    # beyond a limit the surest difference decides; within it the largest is worth telling
    rank = "lower" if bad else "value"
    worst = max(bad or comparisons, key=lambda c: (c["d"] or c["ks"])[rank])
    by_d = worst["d"] is not None and (not bad or worst["d"]["lower"] > d_limit.value)
    deciding = Interval(**(worst["d"] if by_d else worst["ks"]))
    where = f"{worst['column']} of positives and {worst['kind']} in {worst['split']}"
    measure = "|d|" if by_d else "KS D"
    if bad:
        names = sorted({c["column"] for c in bad})
        reason = f"{where} differ: {measure} = {deciding}; in all {', '.join(names)}"
        return failed(d_limit if by_d else ks_limit, reason, measured).measured(deciding)
    if measured.get("absent"):
        return deferred("; ".join(dict.fromkeys(measured["absent"].values())))
    reason = f"largest difference of {len(comparisons)}: {where}, {measure} = {deciding}"
    return passed(d_limit if by_d else ks_limit, reason, measured).measured(deciding)


def _effect(columns: Columns, name: str, groups: TwoGroups, confidence: float) -> dict[str, Any] | None:
    """Return abs(d) as a dict; None where both samples hold one value."""
    try:
        return cohen_d_of(columns, name, groups, confidence).magnitude().to_dict()
    except DataError:
        # a column constant within one split, such as the exposures of one brick: KS still compares it
        return None


def _histogram(columns: Columns, name: str, kinds: list[str]) -> dict[str, Any] | None:
    """Return shares of a column by class, for the eye; None where it holds nothing finite."""
    values = columns.values[name]
    if not values.number.sum():
        return None
    low, high = (values.quantile(q) for q in _SHOWN)
    distinct = values.bins()[0]
    distinct = distinct[(distinct >= low) & (distinct <= high)]
    if len(distinct) <= _HISTOGRAM_BINS:  # counts of exposures and the like: one bar per value
        middle = 0.5 * (distinct[1:] + distinct[:-1])
        wide = float(np.diff(distinct).min()) / 2.0 if len(distinct) > 1 else max(abs(low), 1.0) * 0.05
        edges = np.concatenate([[distinct[0] - wide], middle, [distinct[-1] + wide]])
    else:
        edges = np.linspace(low, high, _HISTOGRAM_BINS + 1)
    return {
        "edges": [float(edge) for edge in edges],
        "counts": {kind: values.histogram(edges, class_cells(kind)).tolist() for kind in kinds},
    }


def _compare_sampled(
    measured: Measured, name: str, values: FloatArray, population: Population, confidence: float
) -> None:
    """Append the comparisons of one statistic of the sampled stamps."""
    finite = np.isfinite(values)
    if not finite.all():
        measured["not_finite"][name] = int((~finite).sum())
        return
    if values.size == 0 or values.min() == values.max():
        measured["constant"].append(name)
        return
    for split in SPLITS:
        a = population.where(POSITIVE, split)
        for kind in population.present(COMPARED_KINDS):
            b = population.where(kind, split)
            if a.sum() < 2 or b.sum() < 2:
                continue
            host = population.host
            ks = ks_two_sample(
                values[a], values[b], population.galaxies(a), population.galaxies(b), confidence
            )
            try:
                d = cohen_d(values[a], values[b], host[a], host[b], confidence).magnitude().to_dict()
            except DataError:
                d = None  # one value in this split: KS still compares it
            measured["comparisons"].append(
                {"column": name, "split": split, "kind": kind, "d": d, "ks": ks.to_dict()}
            )
