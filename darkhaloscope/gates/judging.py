"""What all judges share: how a verdict is made from a limit and a measurement.

A gate fails on evidence, never on noise: the whole interval must lie beyond the
limit. Where one gate makes many comparisons, their intervals are simultaneous,
so its false-alarm rate stays 5 % however many columns it reads.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from darkhaloscope.gates.result import GateStatus, Verdict
from darkhaloscope.gates.thresholds import Threshold
from darkhaloscope.statistics import CONFIDENCE

Measured: TypeAlias = dict[str, Any]
"""A stored measurement: JSON-serialisable, judged without another scan."""


def simultaneous(comparisons: int) -> float:
    """Return the coverage of each interval so that all hold together (Bonferroni)."""
    return 1.0 - (1.0 - CONFIDENCE) / max(1, comparisons)


def failed(
    limit: Threshold | None, reason: str, measured: Measured, *, value: float | None = None, n: int = 0
) -> Verdict:
    """Return a failing verdict."""
    return _verdict(GateStatus.FAIL, limit, reason, measured, value, n)


def passed(
    limit: Threshold | None, reason: str, measured: Measured, *, value: float | None = None, n: int = 0
) -> Verdict:
    """Return a passing verdict."""
    return _verdict(GateStatus.PASS, limit, reason, measured, value, n)


def not_applicable(reason: str, measured: Measured) -> Verdict:
    """Return the verdict of a question that this experiment cannot be asked."""
    return _verdict(GateStatus.NOT_APPLICABLE, None, reason, measured, None, 0)


def deferred(missing: str) -> Verdict:
    """Return the verdict of a gate that lacks an input; it stays shut."""
    return _verdict(GateStatus.DEFERRED, None, f"missing: {missing}", {}, None, 0)


def _verdict(
    status: GateStatus,
    limit: Threshold | None,
    reason: str,
    measured: Measured,
    value: float | None,
    n: int,
) -> Verdict:
    return Verdict(
        status=status,
        reason=reason,
        value=None if value is None else float(value),
        n_effective=n,
        threshold=None if limit is None else limit.value,
        threshold_source="" if limit is None else limit.source,
        values=measured,
    )
