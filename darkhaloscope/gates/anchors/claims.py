"""A4: is any claim of the grade larger than the sample behind it.

The record is held against itself: every rate must carry its counts and their
exact interval, recall must be that of one tier, no object may count twice, and
a false-positive rate may be claimed only on enough independent negatives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from darkhaloscope.evaluation.anchor_stamps import tier_of
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval
from darkhaloscope.statistics.rates import Rate

A4 = "A4"

_RATES = ("recall", "contamination", "fpr")
_NAMED = 10
_EQUAL = 1e-6


def measure_claims(record: dict[str, Any]) -> Measured:
    """Collect every rate of an evaluation record and what is wrong with it.

    Parameters
    ----------
    record : dict
        Of :func:`~darkhaloscope.evaluation.anchor_evaluation.evaluate_anchors`.

    Returns
    -------
    dict
        ``rates`` (name, k, n and limits of each), ``faults`` (texts) and the
        ``operating_point``.
    """
    rates: list[dict[str, Any]] = []
    faults: list[str] = []
    for name, value in _claims(record, ""):
        if isinstance(value, dict):
            fault = _interval_fault(value)
            if fault:
                faults.append(f"{name} {fault}")
            else:
                rates.append({"name": name, **{key: value[key] for key in ("k", "n", "lower", "upper")}})
        else:
            faults.append(f"{name} = {value:g} has no counts")
    return {
        "rates": rates,
        "faults": [*faults, *_tier_faults(record), *_repeated(record)],
        "operating_point": dict(record["threshold"]),
    }


def judge_claims(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a rate lacks its sample, tiers are pooled, or a rate is claimed on too few negatives."""
    limit = limits.get(A4, "negatives_per_claim")
    point = measured["operating_point"]
    achieved, target = point["achieved"], float(point["target_fpr"])
    n = int(achieved["n"])
    needed = math.ceil(limit.value / target - _EQUAL)
    uncertain = f"FPR {target:g} is not certifiable at N = {n} ({needed} independent negatives needed)"
    faults = list(measured["faults"])
    claims = bool(point["certifiable"]) or "not certifiable" not in point["statement"]
    if n < needed and claims:
        faults.insert(0, f"{uncertain} and the record claims it: {point['statement']}")
    if n == 0:
        faults.insert(0, "no negative froze the threshold")
    if not measured["rates"]:
        faults.insert(0, "no rate in the record")
    if faults:
        more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        return failed(limit, "; ".join(faults[:_NAMED]) + more, measured, value=None, n=n)
    told = uncertain if n < needed else f"FPR {target:g} on {n} independent negatives"
    reason = f"{told}; all {len(measured['rates'])} rates carry counts and exact intervals"
    found = Interval(achieved["k"] / n, achieved["lower"], achieved["upper"], n)
    return passed(limit, reason, measured).measured(found)


def _claims(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every dict of counts, and every bare number that is called a rate."""
    if isinstance(value, dict):
        if "k" in value or ("n" in value and _is_rate(name)):
            yield name, value
            return
        for key, item in value.items():
            yield from _claims(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield from _claims(item, f"{name}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool) and _is_rate(name):
        yield name, float(value)


def _is_rate(name: str) -> bool:
    """Say whether a path names a rate; a target is not one."""
    parts = name.split(".")
    return any(part.partition("_")[0].partition("[")[0] in _RATES for part in parts)


def _interval_fault(raw: dict[str, Any]) -> str:
    """Return what keeps counts from being a rate with its exact interval, or an empty text."""
    missing = [key for key in ("k", "n", "lower", "upper") if raw.get(key) is None]
    if missing:
        return f"lacks {', '.join(missing)}"
    k, n = int(raw["k"]), int(raw["n"])
    if not 0 <= k <= n:
        return f"counts {k} of {n}"
    exact = Rate.exact(k, n)
    stated = (float(raw["lower"]), float(raw["upper"]))
    if not np.allclose(stated, (exact.lower, exact.upper), rtol=0.0, atol=_EQUAL):
        return f"{k}/{n} states [{stated[0]:.3f}, {stated[1]:.3f}], exact is {exact}"
    return ""


def _tier_faults(record: dict[str, Any]) -> list[str]:
    """Count recall by tier again from the objects, and each tier from how its object was found."""
    faults = [f"recall of '{name}' pools tiers" for name in record["recall"] if name not in {"A", "B"}]
    lenses = [item for item in record["objects"] if item["kind"] == "lens"]
    for item in lenses:
        owed = tier_of("lens", "grade", item["discovery"], item["arc_snr_r"])
        if item["tier"] != owed:
            faults.append(f"{item['anchor_id']} ({item['discovery']}) is in tier {item['tier']}, not {owed}")
    for tier in ("A", "B"):
        members = [item for item in lenses if item["tier"] == tier]
        counted = (sum(bool(item["above"]) for item in members), len(members))
        stated = record["recall"].get(tier, {})
        if (stated.get("k"), stated.get("n")) != counted:
            told = f"{stated.get('k')}/{stated.get('n')}"
            faults.append(f"recall.{tier} states {told}, its objects are {counted[0]}/{counted[1]}")
    return faults


def _repeated(record: dict[str, Any]) -> list[str]:
    names = [item["anchor_id"] for item in record["objects"]]
    return sorted({f"{name} counts {names.count(name)} times" for name in names if names.count(name) > 1})
