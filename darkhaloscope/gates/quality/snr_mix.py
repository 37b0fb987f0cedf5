"""Q7: has the data set the mix of S/N that the experiment declares.

Measured on the achieved footprint S/N of all positives in the shards, whichever
way they were brought to the target. What a network makes of faint arcs is not
asked here.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from darkhaloscope.config import SnrTargeting
from darkhaloscope.gates.columns import Columns
from darkhaloscope.gates.columns.scan import SNR_COLUMN
from darkhaloscope.gates.judging import Measured, failed, not_applicable, passed, simultaneous
from darkhaloscope.gates.population import POSITIVE, SPLITS
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.stamps.snr_target import declared_target
from darkhaloscope.statistics import Interval, total_variation_interval


def measure_snr_mix(columns: Columns, targeting: SnrTargeting, *, seed: int) -> Measured:
    """Compare the positives in the bins of the declared target, by split and together (Q7).

    Intervals are simultaneous: 95 % for all of them together.

    Parameters
    ----------
    columns : Columns
        All rows, read with the bins of the declared target.
    targeting : SnrTargeting
        What was declared.
    seed : int
        Seed of the intervals.

    Returns
    -------
    dict
        ``mode``; where a target is declared also ``edges``, ``shares``,
        ``counts`` and ``distance`` by split and for ``all`` (counts start with
        those below the range and end with those above it), ``not_finite`` and ``galaxies``.
    """
    target = declared_target(targeting)
    if target is None:
        return {"mode": targeting.mode}
    columns.require(SNR_COLUMN)
    wanted = np.concatenate([[0.0], target.shares, [0.0]])
    found = {split: columns.snr_counts[split] for split in SPLITS if split in columns.snr_counts}
    every = np.sum([*found.values(), np.zeros(len(wanted), dtype=np.int64)], axis=0)
    counts = {"all": every, **found}
    confidence = simultaneous(len(counts))
    return {
        "mode": targeting.mode,
        "edges": [float(edge) for edge in target.edges],
        "shares": [float(share) for share in target.shares],
        "counts": {name: [int(n) for n in binned] for name, binned in counts.items()},
        "distance": {
            name: total_variation_interval(binned, wanted, seed=seed, confidence=confidence).to_dict()
            for name, binned in counts.items()
            if binned.sum()
        },
        "not_finite": columns.snr_not_finite,
        "galaxies": columns.hosts(POSITIVE),
    }


def judge_snr_mix(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the S/N of all positives, or of a split, is not the target's beyond its interval (Q7)."""
    if "edges" not in measured:
        return not_applicable(f"no S/N target is declared (mode {measured['mode']})", measured)
    n = measured["galaxies"]
    least, limit = limits.get("Q7", "min_galaxies"), limits.get("Q7", "max_variation")
    if n < least.value:
        return failed(least, f"{n} positives; {least.value:g} needed", measured, n=n)
    if measured["not_finite"]:
        return failed(None, f"{SNR_COLUMN} is null in {measured['not_finite']} positives", measured, n=n)
    distances = {part: Interval(**raw) for part, raw in measured["distance"].items()}
    beyond = any(distance.above(limit.value) for distance in distances.values())
    # beyond the limit the surest distance decides; within it the largest is worth telling
    rank = "lower" if beyond else "value"
    part, worst = max(distances.items(), key=lambda item: getattr(item[1], rank))
    told = f"{part}: total variation {worst} from the target; {_widest_bin(measured, part)}"
    return (failed if beyond else passed)(limit, told, measured).measured(worst)


def _widest_bin(measured: Measured, part: str) -> str:
    """Say in which bin the achieved share is farthest from the declared one."""
    edges = [f"{edge:.3g}" for edge in measured["edges"]]
    labels = [f"below {edges[0]}", *(f"{a}-{b}" for a, b in pairwise(edges))]
    labels.append(f"above {edges[-1]}")
    counts = np.asarray(measured["counts"][part], dtype=np.float64)
    wanted = np.concatenate([[0.0], measured["shares"], [0.0]])
    found = counts / counts.sum()
    worst = int(np.argmax(np.abs(found - wanted)))
    return f"S/N {labels[worst]} has {found[worst]:.1%} for {wanted[worst]:.1%}"
