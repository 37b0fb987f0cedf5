"""Q1 to Q5: are the rows complete, finite, and alike in both classes.

Measured over all rows one column at a time; pixels come in as statistics of the
fixed sample (``gates.features``). What a class looks like is the business of the
shortcut gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Controls
from darkhaloscope.errors import DataError
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import (
    COMPARED_KINDS,
    KINDS,
    POSITIVE,
    SPLITS,
    MetadataReader,
    Population,
    floats,
)
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.statistics import Interval, clopper_pearson, cohen_d, ks_two_sample, risk_ratio
from darkhaloscope.tabular import read_table

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

_SEEING_BINS = 4
_THETA_E_EDGES_ARCSEC = (0.0, 0.75, 1.25, 1.75, np.inf)


def measure_conditions(
    shards: MetadataReader,
    population: Population,
    sampled: Mapping[str, FloatArray],
    sample: Population,
) -> Measured:
    """Compare every condition between positives and each control kind, per split (Q1).

    Intervals are simultaneous: 95 % for all comparisons together.

    Parameters
    ----------
    shards : MetadataReader
        All rows.
    population : Population
        Their classes.
    sampled : mapping of str to ndarray, each shape (m,)
        Pixel statistics of the fixed sample, for example the median invvar.
    sample : Population
        Classes of the sample.

    Returns
    -------
    dict
        ``comparisons``, ``constant`` and ``not_finite`` columns, ``galaxies``.
    """
    columns = len(CONDITIONS) + len(sampled)
    kinds = population.present(COMPARED_KINDS)
    confidence = simultaneous(2 * columns * max(1, len(kinds)) * len(SPLITS))
    measured: Measured = {
        "comparisons": [],
        "constant": [],
        "not_finite": {},
        "galaxies": {kind: population.galaxies(population.where(kind)) for kind in [POSITIVE, *kinds]},
        "confidence": confidence,
    }
    for name in CONDITIONS:
        _compare(measured, name, floats(shards.metadata([name])[name]), population, confidence)
    for name, values in sampled.items():
        _compare(measured, name, values, sample, confidence)
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
    reason = f"largest difference of {len(comparisons)}: {where}, {measure} = {deciding}"
    return passed(d_limit if by_d else ks_limit, reason, measured).measured(deciding)


def measure_bands(shards: MetadataReader, population: Population, planes: Mapping[str, int]) -> Measured:
    """Count band sets by class and split, and empty planes of the sample (Q2).

    Parameters
    ----------
    shards, population
        All rows and their classes.
    planes : mapping of str to int
        Sampled planes that are all zero, keyed ``image_g`` or ``invvar_g``.
    """
    bandset = np.asarray(shards.metadata(["bandset"])["bandset"].to_pylist(), dtype=object)
    counts: dict[str, dict[str, int]] = {}
    for kind in population.present(KINDS):
        for split in SPLITS:
            values, n = np.unique(bandset[population.where(kind, split)].astype(str), return_counts=True)
            counts[f"{kind}/{split}"] = {str(v): int(k) for v, k in zip(values, n, strict=True)}
    return {"counts": counts, "empty_planes": dict(planes), "rows": population.rows}


def judge_bands(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when any stamp lacks a band (Q2)."""
    limit = limits.get("Q2", "max_incomplete")
    rows = measured["rows"]
    if rows == 0:
        return failed(limit, "no rows", measured)
    complete = "".join(BANDS)
    incomplete = {
        f"{where}: {bands or 'none'}": n
        for where, sets in measured["counts"].items()
        for bands, n in sets.items()
        if bands != complete
    }
    empty = {name: n for name, n in measured["empty_planes"].items() if n}
    total = sum(incomplete.values()) + sum(empty.values())
    if total > limit.value:
        reason = "; ".join(f"{n} stamps {what}" for what, n in {**incomplete, **empty}.items())
        return failed(limit, reason, measured, value=total, n=rows)
    return passed(limit, f"all {rows} stamps hold {complete}", measured, value=total, n=rows)


def measure_finite(shards: MetadataReader, population: Population, not_finite: int) -> Measured:
    """Count rows with NaN or infinite pixels by class (Q3).

    Parameters
    ----------
    shards, population
        All rows and their classes; the count of each row is a column.
    not_finite : int
        Stamps of the sample found not finite when their pixels were read.
    """
    nan_pixels = floats(shards.metadata(["nan_pixels"])["nan_pixels"])
    affected = ~(nan_pixels == 0)
    by_kind = {kind: int((affected & population.where(kind)).sum()) for kind in population.present(KINDS)}
    return {"rows_by_class": by_kind, "sampled_rows": not_finite, "rows": population.rows}


def judge_finite(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when any ok row has a pixel that is not finite (Q3)."""
    limit = limits.get("Q3", "max_rows")
    if measured["rows"] == 0:
        return failed(limit, "no rows", measured)
    total = max(sum(measured["rows_by_class"].values()), measured["sampled_rows"])
    if total > limit.value:
        by_class = {kind: n for kind, n in measured["rows_by_class"].items() if n}
        reason = f"{total} rows with NaN or infinite pixels: {by_class or 'found in the sample only'}"
        return failed(limit, reason, measured, value=total, n=measured["rows"])
    return passed(limit, "every pixel is finite", measured, value=0, n=measured["rows"])


def measure_losses(manifest_paths: Sequence[str | Path], stamp_paths: Sequence[str | Path]) -> Measured:
    """Count tasks without an ok stamp by class, reason, seeing and Einstein radius (Q4).

    Parameters
    ----------
    manifest_paths, stamp_paths : sequence of path
        The parts of ``manifest`` and ``injected_stamps``: every task, and the
        status it ended with. A task without a stamp row is lost as ``no_row``.
    """
    columns = ["task_id", "control_kind", "psf_fwhm_r_arcsec", "theta_e_arcsec"]
    table = read_table(manifest_paths, columns)
    made = read_table(stamp_paths, ["task_id", "status"])
    place = pc.index_in(table["task_id"], value_set=made["task_id"].combine_chunks())
    status = np.asarray(pc.fill_null(made["status"].take(place), "no_row").to_pylist(), dtype=object)
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    lost = status != "ok"
    seeing, theta_e = floats(table["psf_fwhm_r_arcsec"]), floats(table["theta_e_arcsec"])
    reasons, counts = np.unique(status[lost].astype(str), return_counts=True)
    by_class = {k: _lost(lost, kind == k) for k in KINDS if bool((kind == k).any())}
    bins: dict[str, list[int]] = {}
    if np.isfinite(seeing).any():
        edges = np.quantile(seeing[np.isfinite(seeing)], np.linspace(0, 1, _SEEING_BINS + 1))
        index = np.clip(np.searchsorted(edges, seeing, side="right") - 1, 0, _SEEING_BINS - 1)
        for i in range(_SEEING_BINS):
            label = f"seeing r {edges[i]:.2f}-{edges[i + 1]:.2f} arcsec"
            bins[label] = _lost(lost, (index == i) & (kind == POSITIVE))
    for low, high in pairwise(_THETA_E_EDGES_ARCSEC):
        chosen = (theta_e >= low) & (theta_e < high) & (kind == POSITIVE)
        bins[f"theta_E {low:.2f}-{high:.2f} arcsec"] = _lost(lost, chosen)
    return {
        "lost_and_planned": by_class,
        "reasons": {str(r): int(n) for r, n in zip(reasons, counts, strict=True)},
        "positives_by_bin": {label: pair for label, pair in bins.items() if pair[1]},
    }


def judge_losses(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when more than the allowed share is lost, anywhere, or one class more than another (Q4)."""
    limit = limits.get("Q4", "max_lost")
    by_class: dict[str, list[int]] = measured["lost_and_planned"]
    controls = [pair for kind, pair in by_class.items() if kind != POSITIVE]
    if POSITIVE not in by_class or not controls:
        return failed(limit, f"tasks of one class only: {sorted(by_class)}", measured)
    lost, planned = (sum(pair[i] for pair in by_class.values()) for i in (0, 1))
    overall = clopper_pearson(lost, planned)
    cells = {**by_class, **measured["positives_by_bin"]}
    confidence = simultaneous(len(cells))
    for label, (k, n) in sorted(cells.items(), key=lambda item: -item[1][0] / item[1][1]):
        share = clopper_pearson(k, n, confidence)
        if share.above(limit.value):
            reason = f"{k} of {n} tasks lost in {label}; reasons {measured['reasons']}"
            return failed(limit, reason, measured).measured(share)
    if overall.above(limit.value):
        return failed(limit, f"{lost} of {planned} tasks lost; {measured['reasons']}", measured).measured(
            overall
        )
    positive_lost, positive_planned = by_class[POSITIVE]
    ratio = risk_ratio(
        positive_lost,
        positive_planned,
        sum(pair[0] for pair in controls),
        sum(pair[1] for pair in controls),
    )
    low, high = limits.get("Q4", "min_ratio"), limits.get("Q4", "max_ratio")
    if ratio.above(high.value) or ratio.below(low.value):
        crossed = high if ratio.above(high.value) else low
        reason = f"positives are lost {ratio.value:.3g} times as often as controls: {by_class}"
        return failed(crossed, reason, measured).measured(ratio)
    return passed(limit, f"{lost} of {planned} tasks lost, evenly", measured).measured(overall)


def expected_shares(controls: Controls) -> dict[str, float]:
    """Return the share of rows each class is promised by the configuration.

    Of all hosts, ``unpaired_fraction`` carry only an unpaired control; each of
    the others gives one positive and one of every other declared kind.
    """
    used = 1.0 - controls.unpaired_fraction
    weights = {
        POSITIVE: used,
        "paired": used if controls.paired else 0.0,
        "unpaired": controls.unpaired_fraction,
        "matched_light": used if controls.matched_light else 0.0,
    }
    total = sum(weights.values())
    return {kind: weight / total for kind, weight in weights.items() if weight > 0.0}


def measure_classes(population: Population, controls: Controls, fractions: Sequence[float]) -> Measured:
    """Count rows per split and class beside the shares that were promised (Q5).

    Catalogued look-alikes come on top of the promised shares.
    """
    splits = [split for split, fraction in zip(SPLITS, fractions, strict=True) if fraction > 0.0]
    counts = {split: {kind: int(population.where(kind, split).sum()) for kind in KINDS} for split in splits}
    return {"counts": counts, "expected": expected_shares(controls), "galaxies": population.galaxies()}


def judge_classes(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a split lacks a class, or shares differ from the promise beyond their interval (Q5)."""
    limit, least = limits.get("Q5", "max_share_error"), limits.get("Q5", "min_rows")
    expected: dict[str, float] = measured["expected"]
    n = measured["galaxies"]
    if POSITIVE not in expected or len(expected) < 2:
        return failed(least, f"the configuration promises one class only: {sorted(expected)}", measured, n=n)
    confidence = simultaneous(len(expected) * len(measured["counts"]))
    errors: list[tuple[float, str, Interval]] = []
    for split, counts in measured["counts"].items():
        total = sum(counts[kind] for kind in COMPARED_KINDS) + counts[POSITIVE]
        for kind in (POSITIVE, *COMPARED_KINDS):
            promised = expected.get(kind, 0.0)
            if promised == 0.0 and counts[kind]:
                return failed(limit, f"{counts[kind]} {kind} rows in {split}; none promised", measured, n=n)
            if promised and counts[kind] < least.value:
                reason = f"{counts[kind]} {kind} rows in {split}; {least.value:g} needed"
                return failed(least, reason, measured, value=counts[kind], n=n)
            if promised:
                share = clopper_pearson(counts[kind], total, confidence)
                error = Interval(
                    share.value - promised, share.lower - promised, share.upper - promised, total
                ).magnitude()
                errors.append((error.lower, f"{kind} in {split}: {share} for {promised:.3f}", error))
    _, where, worst = max(errors, key=lambda item: (item[0], item[2].value))
    if worst.above(limit.value):
        return failed(limit, f"share of {where} promised", measured).measured(worst)
    return passed(limit, f"largest deviation of a share: {where} promised", measured).measured(worst)


def _lost(lost: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> list[int]:
    return [int((lost & chosen).sum()), int(chosen.sum())]


def _compare(
    measured: Measured, name: str, values: FloatArray, population: Population, confidence: float
) -> None:
    """Append the comparisons of one column to a measurement."""
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
            ks = ks_two_sample(
                values[a], values[b], population.galaxies(a), population.galaxies(b), confidence
            )
            measured["comparisons"].append(
                {
                    "column": name,
                    "split": split,
                    "kind": kind,
                    "d": None
                    if name in {"ra", "dec"}
                    else _effect(values, population.host, a, b, confidence),
                    "ks": ks.to_dict(),
                }
            )


def _effect(
    values: FloatArray,
    host: NDArray[np.int64],
    a: NDArray[np.bool_],
    b: NDArray[np.bool_],
    confidence: float,
) -> dict[str, Any] | None:
    """Return abs(d) as a dict; None where both samples hold one value."""
    try:
        d = cohen_d(values[a], values[b], host[a], host[b], confidence)
    except DataError:
        # a column constant within one split, such as the exposures of one brick: KS still compares it
        return None
    return d.magnitude().to_dict()
