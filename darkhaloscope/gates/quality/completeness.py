"""Q2, Q3 and Q5: has every stamp its bands and finite pixels, has every split its classes.

What was lost on the way to the shards is the business of ``losses``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from darkhaloscope.config import Controls
from darkhaloscope.gates.columns import Columns
from darkhaloscope.gates.columns.scan import class_cells
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import COMPARED_KINDS, KINDS, POSITIVE, SPLITS
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, clopper_pearson

_NAMED = 5


def measure_bands(columns: Columns, planes: Mapping[str, int]) -> Measured:
    """Count band sets by class and split, and empty planes of the sample (Q2).

    Parameters
    ----------
    columns : Columns
        All rows.
    planes : mapping of str to int
        Sampled planes that are all zero, keyed ``image_g`` or ``invvar_g``.
    """
    columns.require("bandset")
    counts = {
        f"{kind}/{split}": {
            bands: int(rows[class_cells(kind, split)].sum())
            for bands, rows in sorted(columns.bandsets.items())
            if rows[class_cells(kind, split)].any()
        }
        for kind in columns.present(KINDS)
        for split in SPLITS
    }
    return {"counts": counts, "empty_planes": dict(planes), "rows": columns.total}


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


def measure_finite(columns: Columns, not_finite: int, places: Sequence[str] = ()) -> Measured:
    """Count rows with NaN or infinite pixels by class (Q3).

    Parameters
    ----------
    columns : Columns
        All rows; the count of each row is a column.
    not_finite : int
        Stamps of the sample found not finite when their pixels were read.
    places : sequence of str
        Where they lie, if the reader says so.

    Raises
    ------
    MissingInputError
        If no column counts such pixels and the sample shows none: a sample
        cannot prove that there are none.
    """
    if not not_finite:
        columns.require("nan_pixels")
    by_kind = {kind: int(columns.nan_rows[class_cells(kind)].sum()) for kind in columns.present(KINDS)}
    measured: Measured = {"rows_by_class": by_kind, "sampled_rows": not_finite, "rows": columns.total}
    return measured | {"first": list(places[:_NAMED])}


def judge_finite(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when any ok row has a pixel that is not finite (Q3)."""
    limit = limits.get("Q3", "max_rows")
    if measured["rows"] == 0:
        return failed(limit, "no rows", measured)
    total = max(sum(measured["rows_by_class"].values()), measured["sampled_rows"])
    if total > limit.value:
        by_class = {kind: n for kind, n in measured["rows_by_class"].items() if n}
        reason = f"{total} rows with NaN or infinite pixels: {by_class or 'found in the sample only'}"
        reason += f"; first {measured['first'][0]}" if measured["first"] else ""
        return failed(limit, reason, measured, value=total, n=measured["rows"])
    return passed(limit, "every pixel is finite", measured, value=0, n=measured["rows"])


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


def measure_classes(columns: Columns, controls: Controls, fractions: Sequence[float]) -> Measured:
    """Count rows per split and class beside the shares that were promised (Q5).

    Catalogued look-alikes come on top of the promised shares.
    """
    splits = [split for split, fraction in zip(SPLITS, fractions, strict=True) if fraction > 0.0]
    counts = {split: {kind: columns.count(kind, split) for kind in KINDS} for split in splits}
    return {"counts": counts, "expected": expected_shares(controls), "galaxies": len(columns.galaxies)}


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
