"""A5: how often each class of look-alike is called a lens at the operating threshold."""

from __future__ import annotations

from typing import Any

from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.statistics.rates import Rate

A5 = "A5"

CLASSES = ("ring", "spiral", "merger", "edge-on", "group", "artefact")
"""Look-alikes that searches are known to confuse with lenses."""


def measure_lookalikes(record: dict[str, Any], *, least: int) -> Measured:
    """Count called look-alikes per class; intervals hold together over the classes that are judged.

    Parameters
    ----------
    record : dict
        Evaluation record.
    least : int
        Objects below which a class is listed and not judged.
    """
    counts = {name: (int(raw["k"]), int(raw["n"])) for name, raw in record["contamination"].items()}
    judged = {name: (k, n) for name, (k, n) in counts.items() if n >= least}
    confidence = simultaneous(len(judged))
    return {
        "classes": {name: clopper_pearson(k, n, confidence).to_dict() for name, (k, n) in judged.items()},
        "rates": {name: Rate.exact(k, n).to_dict() for name, (k, n) in counts.items()},
        "too_few": {name: n for name, (_, n) in counts.items() if n < least},
        "absent": [name for name in CLASSES if name not in counts],
        "confidence": confidence,
    }


def judge_lookalikes(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a class is called a lens more often than the limit beyond its interval."""
    limit = limits.get(A5, "max_contamination")
    classes = {name: Interval(**raw) for name, raw in measured["classes"].items()}
    unseen = [*measured["absent"], *measured["too_few"]]
    left_out = f"; not judged for want of objects: {', '.join(unseen)}" if unseen else ""
    if not classes:
        return failed(limits.get(A5, "min_objects"), f"no class can be judged{left_out}", measured)
    name, worst = max(classes.items(), key=lambda item: (item[1].lower, item[1].value))
    over = sorted(key for key, share in classes.items() if share.above(limit.value))
    told = f"{name} called a lens in {worst}"
    reason = f"{told}; {', '.join(over)} above the limit{left_out}" if over else f"worst is {told}{left_out}"
    return (failed if over else passed)(limit, reason, measured).measured(worst)
