"""The section on signal-to-noise: which S/N reaches training, and by which way."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from darkhaloscope.config.base import Fraction, Positive, Section


class SnrTargeting(Section):
    """How the footprint S/N in r of the positives is brought to what training needs.

    Parameters
    ----------
    mode : str
        ``none``; ``floor`` drops groups whose positive lies outside
        [low, high]; ``log_uniform`` also thins to a log-uniform distribution;
        ``choose_flux`` scales the source flux of every positive so that it
        reaches an S/N drawn from ``target``, and records the weight that leads
        back to the prior of ``sources`` (magnitude ``population``), of which
        only the colours are applied.
    low, high : float
        Limits of ``floor`` and of every log-uniform distribution.
    target : str
        Of ``choose_flux``: ``log_uniform`` in [low, high], or ``table``.
    bin_edges, bin_shares : list of float
        The table: log-uniform within each bin. Defaults are the predecessor's
        remediation plan (0.8-2: 40 %, 2-8: 40 %, 8-20: 15 %, above 20: 5 %),
        whose open bin ends at 50, the upper end of its log-uniform target.
    mag_r_range : (bright, faint)
        Of ``choose_flux``: unlensed source magnitudes in r that may be chosen.
        A group whose target asks for another is lost as ``snr_unreachable``.
    """

    mode: Literal["none", "floor", "log_uniform", "choose_flux"] = "none"
    low: Annotated[float, Field(ge=0.0)] = 2.0
    high: Positive = 50.0
    target: Literal["log_uniform", "table"] = "log_uniform"
    bin_edges: tuple[Positive, ...] = (0.8, 2.0, 8.0, 20.0, 50.0)
    bin_shares: tuple[Fraction, ...] = (0.40, 0.40, 0.15, 0.05)
    mag_r_range: tuple[float, float] = (16.0, 30.0)

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.low == 0.0 and self.mode in {"log_uniform", "choose_flux"}:
            raise ValueError("low must be above 0 for a log-uniform target")
        if any(upper <= lower for lower, upper in pairwise(self.bin_edges)):
            raise ValueError(f"bin_edges must ascend, got {list(self.bin_edges)}")
        if len(self.bin_shares) != len(self.bin_edges) - 1 or abs(sum(self.bin_shares) - 1.0) > 1e-9:
            raise ValueError(
                f"bin_shares must be {len(self.bin_edges) - 1} numbers that sum to 1, "
                f"got {list(self.bin_shares)}"
            )
        if self.mag_r_range[0] >= self.mag_r_range[1]:
            raise ValueError(f"mag_r_range must be [bright, faint], got {list(self.mag_r_range)}")
        return self
