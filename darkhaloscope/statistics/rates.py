"""A rate is a count of a count with an interval, and an operating point is a score with its rate.

There is no way to get a bare percentage out of this module: 3 of 68 is
"3/68 = 0.044 [0.009, 0.124]", and nothing of nothing is "0/0, not measured".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.statistics.intervals import clopper_pearson, wilson

NEGATIVES_PER_CLAIM = 3.0
"""Negatives times FPR needed to claim it: with none above, 3 / n is the 95 % upper limit."""


@dataclass(frozen=True)
class Rate:
    """``k`` of ``n`` with a 95 % interval.

    Parameters
    ----------
    k, n : int
        Successes and independent trials.
    lower, upper : float
        Limits; 0 and 1 where ``n`` is 0.
    """

    k: int
    n: int
    lower: float
    upper: float

    @classmethod
    def exact(cls, k: int, n: int) -> Rate:
        """Return the rate with its Clopper-Pearson interval."""
        if n == 0:
            return cls(0, 0, 0.0, 1.0)
        interval = clopper_pearson(k, n)
        return cls(int(k), int(n), interval.lower, interval.upper)

    @classmethod
    def score_interval(cls, k: int, n: int) -> Rate:
        """Return the rate with its Wilson interval, for maps of many cells."""
        if n == 0:
            return cls(0, 0, 0.0, 1.0)
        interval = wilson(k, n)
        return cls(int(k), int(n), interval.lower, interval.upper)

    @property
    def value(self) -> float | None:
        """Share, or None where nothing was tried."""
        return self.k / self.n if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Return value, counts and limits as plain values."""
        return {"value": self.value, "k": self.k, "n": self.n, "lower": self.lower, "upper": self.upper}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Rate:
        """Read a rate back.

        Raises
        ------
        DataError
            If counts or limits are missing: a bare number is not a rate.
        """
        missing = [name for name in ("k", "n", "lower", "upper") if name not in raw]
        if missing:
            raise DataError(
                describe("Not a rate", field=missing[0], expected="k, n, lower, upper", got=sorted(raw))
            )
        return cls(int(raw["k"]), int(raw["n"]), float(raw["lower"]), float(raw["upper"]))

    def __str__(self) -> str:
        if self.n == 0:
            return "0/0, not measured"
        return f"{self.k}/{self.n} = {self.k / self.n:.3f} [{self.lower:.3f}, {self.upper:.3f}]"

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError("a rate has one text form, with its counts and interval; use str()")
        return str(self)


@dataclass(frozen=True)
class OperatingPoint:
    """The score above which an object is called a lens.

    Parameters
    ----------
    score : float
        An object is called a lens when its score is greater than this.
    target_fpr : float
        False-positive rate asked for.
    achieved : Rate
        False positives among the controls that froze it.
    certifiable : bool
        Whether there are enough controls to claim ``target_fpr`` at 95 %.
    """

    score: float
    target_fpr: float
    achieved: Rate
    certifiable: bool

    def above(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Say which scores are called lenses."""
        return np.asarray(scores, dtype=np.float64) > self.score

    def statement(self) -> str:
        """Return the claim in words, no larger than the sample."""
        if self.certifiable:
            return f"FPR {self.target_fpr:g} on {self.achieved.n} test controls: {self.achieved}"
        needed = int(np.ceil(NEGATIVES_PER_CLAIM / self.target_fpr))
        return (
            f"FPR {self.target_fpr:g} is not certifiable at N = {self.achieved.n} "
            f"({needed} controls needed): {self.achieved}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all fields and the statement as plain values."""
        return {
            "score": self.score,
            "target_fpr": self.target_fpr,
            "achieved": self.achieved.to_dict(),
            "certifiable": self.certifiable,
            "statement": self.statement(),
        }

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> OperatingPoint:
        """Read an operating point back."""
        return cls(
            float(raw["score"]),
            float(raw["target_fpr"]),
            Rate.from_dict(raw["achieved"]),
            bool(raw["certifiable"]),
        )


def freeze_threshold(control_scores: ArrayLike, target_fpr: float) -> OperatingPoint:
    """Choose the lowest score whose false-positive rate does not exceed the target.

    Parameters
    ----------
    control_scores : array-like of float, shape (n,)
        Scores of negatives, one per galaxy.
    target_fpr : float
        Share of them that may lie above.

    Returns
    -------
    OperatingPoint
        With floor(target_fpr * n) or fewer controls strictly above it (fewer
        where scores tie).

    Raises
    ------
    DataError
        If there is no control, or a score is not finite: a score that could not
        be computed is a failure, never a zero.
    """
    scores = np.asarray(control_scores, dtype=np.float64)
    if scores.size == 0:
        raise DataError(describe("No control to freeze a threshold on", expected="at least one", got=0))
    if not np.isfinite(scores).all():
        raise DataError(
            describe(
                "Scores are not finite",
                row=int(np.flatnonzero(~np.isfinite(scores))[0]),
                expected="a finite score for every control",
                got=f"{int((~np.isfinite(scores)).sum())} of {scores.size}",
            )
        )
    allowed = int(np.floor(target_fpr * scores.size + 1e-9))
    threshold = float(np.sort(scores)[::-1][min(allowed, scores.size - 1)])
    achieved = Rate.exact(int((scores > threshold).sum()), scores.size)
    return OperatingPoint(
        threshold, target_fpr, achieved, scores.size * target_fpr >= NEGATIVES_PER_CLAIM - 1e-9
    )
