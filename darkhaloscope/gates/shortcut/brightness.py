"""S3: are cores equally bright, with what was added and before anything was."""

from __future__ import annotations

import numpy as np

from darkhaloscope.errors import DataError
from darkhaloscope.gates.features import MATCHED, Sample
from darkhaloscope.gates.hosts import HostSums
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
from darkhaloscope.gates.thresholds import Threshold, Thresholds
from darkhaloscope.gates.views import Features
from darkhaloscope.statistics import Interval, mean_ratio_interval


def measure_brightness(sample: Sample, view: Features, hosts: HostSums) -> Measured:
    """Measure the ratio of mean core brightness, with the arcs and before them (S3).

    Parameters
    ----------
    sample : Sample
        Classes.
    view : Features
        The view whose r-band brightness within 8 px is compared.
    hosts : HostSums
        The hosts before injection.
    """
    measured: Measured = {"stamp": {}, "host": {}, "galaxies": galaxies_of(sample)}
    at = hosts.rows(sample.table["host_id"].to_pylist())
    known = at >= 0
    before = np.where(known, hosts.brightness_r[at] if hosts.row_of else np.nan, np.nan)
    kinds = kinds_of(sample)
    confidence = simultaneous(max(1, len(kinds)))
    for kind in kinds:
        a, b = pair(sample, kind)
        ratios = {"stamp": (view.brightness_r, a, b), "host": (before, a & known, b & known)}
        for name, (values, x, y) in ratios.items():
            try:
                measured[name][kind] = mean_ratio_interval(
                    values[x], values[y], hosts_of(sample, x), hosts_of(sample, y), confidence
                ).to_dict()
            except DataError:
                continue  # too few rows of the class, which the judge refuses
    return measured


def judge_brightness(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when cores differ from matched light, or hosts differ before injection (S3)."""
    starving = starved(measured, limits)
    if starving is not None:
        return starving
    low, high = limits.get("S3", "min_ratio_host"), limits.get("S3", "max_ratio_host")
    if not measured["host"]:
        return failed(low, "no host cutout to compare before injection", measured)
    least, most = limits.get("S3", "min_ratio_matched_light"), limits.get("S3", "max_ratio_matched_light")
    stamps = {kind: Interval(**raw) for kind, raw in measured["stamp"].items()}
    columns = {kind: column(ratio, None, GateStatus.NOT_APPLICABLE) for kind, ratio in stamps.items()}
    if MATCHED in stamps:
        crossed = _crossed(stamps[MATCHED], least, most)
        status = GateStatus.PASS if crossed is None else GateStatus.FAIL
        columns[MATCHED] = column(stamps[MATCHED], crossed or most, status)
    told = {**measured, "by_kind": by_kind(columns)}
    hosts = {kind: Interval(**raw) for kind, raw in measured["host"].items()}
    for kind, ratio in hosts.items():
        beyond = _crossed(ratio, low, high)
        if beyond is not None:
            reason = f"hosts of positives are {ratio} times as bright as {kind} hosts before injection"
            return failed(beyond, reason, told).measured(ratio)
    if MATCHED not in stamps:
        informs = "; ".join(f"{kind} {ratio}" for kind, ratio in stamps.items())
        reason = f"hosts alike before injection; no matched light, stamp ratio informs: {informs}"
        return passed(high, reason, told).measured(next(iter(hosts.values())))
    reason = f"cores of positives are {stamps[MATCHED]} times as bright as of matched light"
    return (passed if crossed is None else failed)(crossed or most, reason, told).measured(stamps[MATCHED])


def _crossed(ratio: Interval, low: Threshold, high: Threshold) -> Threshold | None:
    if ratio.below(low.value):
        return low
    return high if ratio.above(high.value) else None
