"""Q4: was any planned task lost on its way to a stamp, and evenly between the classes.

Tasks of the manifest are joined with the stamps by a hash of their id, part by
part, so that neither table is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.gates.columns import ValueCounts
from darkhaloscope.gates.columns.identities import hashes
from darkhaloscope.gates.columns.scan import gathered
from darkhaloscope.gates.columns.spool import Records, Spool
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import KINDS, POSITIVE, codes, floats, known_codes
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import clopper_pearson, risk_ratio
from darkhaloscope.tabular import iter_batches

_SEEING_BINS = 4
_THETA_E_EDGES_ARCSEC = (0.0, 0.75, 1.25, 1.75, np.inf)
_NO_ROW = "no_row"
_TASKS = ("task_id", "control_kind", "psf_fwhm_r_arcsec", "theta_e_arcsec")
_READ_ROWS = 1 << 17


class _Planned:
    """Every planned task: hash, class, seeing and Einstein radius as single-precision numbers."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.spool = Spool(width=3)
        self.seeing = ValueCounts(1)
        for table in gathered(batches):
            kind = known_codes(table, "control_kind", KINDS).astype(np.uint64)
            seeing, theta_e = (floats(table[name]).astype(np.float32) for name in _TASKS[2:])
            self.seeing.update(seeing.astype(np.float64), np.zeros(len(seeing), dtype=np.uint8))
            numbers = np.stack([seeing, theta_e], axis=1).view(np.uint64).reshape(-1)
            self.spool.add(np.stack([hashes(table["task_id"]), kind, numbers], axis=1))


class _Made:
    """Every task that came to a row: hash and place of its status in ``statuses``."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.spool = Spool(width=2)
        self.statuses = [_NO_ROW]
        for table in gathered(batches):
            code, names = codes(table["status"])
            for name in names:
                if name not in self.statuses:
                    self.statuses.append(name)
            place = np.array([*(self.statuses.index(name) for name in names), 0], dtype=np.uint64)[code]
            self.spool.add(np.stack([hashes(table["task_id"]), place], axis=1))


def measure_losses(manifest_paths: Sequence[str | Path], stamp_paths: Sequence[str | Path]) -> Measured:
    """Count tasks without an ok stamp by class, reason, seeing and Einstein radius (Q4).

    Parameters
    ----------
    manifest_paths, stamp_paths : sequence of path
        The parts of ``manifest`` and ``injected_stamps``: every task, and the
        status it ended with. A task without a stamp row is lost as ``no_row``.
    """
    planned = _Planned(iter_batches(manifest_paths, _TASKS, _READ_ROWS))
    made = _Made(iter_batches(stamp_paths, ["task_id", "status"], _READ_ROWS))
    edges = _seeing_edges(planned.seeing)
    theta = _THETA_E_EDGES_ARCSEC
    by_class = np.zeros((len(KINDS), 2), dtype=np.int64)
    by_seeing = np.zeros((_SEEING_BINS, 2), dtype=np.int64)
    by_theta_e = np.zeros((len(theta) - 1, 2), dtype=np.int64)
    reasons = np.zeros(len(made.statuses), dtype=np.int64)
    ok = made.statuses.index("ok") if "ok" in made.statuses else -1
    for tasks, rows in zip(planned.spool.partitions(), made.spool.partitions(), strict=True):
        status = _status(tasks[:, 0], rows)
        lost = status != ok
        kind = tasks[:, 1].astype(np.int64)
        numbers = np.ascontiguousarray(tasks[:, 2]).view(np.float32).reshape(-1, 2).astype(np.float64)
        lens = kind == KINDS.index(POSITIVE)
        reasons += np.bincount(status[lost], minlength=len(reasons))
        by_class += _pairs(kind, lost, len(KINDS))
        if len(edges):
            seen = lens & np.isfinite(numbers[:, 0])
            index = np.clip(np.searchsorted(edges, numbers[seen, 0], side="right") - 1, 0, _SEEING_BINS - 1)
            by_seeing += _pairs(index, lost[seen], _SEEING_BINS)
        wide = lens & (numbers[:, 1] >= theta[0])
        index = np.searchsorted(theta, numbers[wide, 1], side="right") - 1
        by_theta_e += _pairs(index, lost[wide], len(theta) - 1)
    bins = {
        **{
            f"seeing r {low:.2f}-{high:.2f} arcsec": pair
            for (low, high), pair in zip(pairwise(edges), by_seeing.tolist(), strict=False)
        },
        **{
            f"theta_E {low:.2f}-{high:.2f} arcsec": pair
            for (low, high), pair in zip(pairwise(theta), by_theta_e.tolist(), strict=True)
        },
    }
    return {
        "lost_and_planned": {kind: by_class[k].tolist() for k, kind in enumerate(KINDS) if by_class[k, 1]},
        "reasons": {name: int(n) for name, n in zip(made.statuses, reasons, strict=True) if n},
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


def _seeing_edges(seeing: ValueCounts) -> NDArray[np.float64]:
    """Return the quartiles of the planned seeing, none where nothing is finite."""
    if not seeing.number.sum():
        return np.empty(0)
    return np.array([seeing.quantile(q) for q in np.linspace(0.0, 1.0, _SEEING_BINS + 1)])


def _status(tasks: NDArray[np.uint64], rows: Records) -> NDArray[np.int64]:
    """Return the status of each task, that of the first of its rows; 0 where it has none."""
    made, first = np.unique(rows[:, 0], return_index=True)
    if not len(made):
        return np.zeros(len(tasks), dtype=np.int64)
    place = np.minimum(np.searchsorted(made, tasks), len(made) - 1)
    found = rows[first[place], 1].astype(np.int64)
    return np.where(made[place] == tasks, found, 0)


def _pairs(index: NDArray[np.int64], lost: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Return lost and planned by index, shape (n, 2)."""
    return np.stack([np.bincount(index[lost], minlength=n), np.bincount(index, minlength=n)], axis=1)
