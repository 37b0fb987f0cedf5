"""The distribution of S/N that an experiment declares: its quantiles, density and shares.

Piecewise log-uniform, so that one form holds both the log-uniform target and a
table of bins. How a data set is brought to it is the business of ``targeting``
(groups are rejected) and ``flux_target`` (the flux is chosen).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.config import SnrTargeting
from darkhaloscope.statistics import total_variation

FloatArray = NDArray[np.float64]

LOG_UNIFORM_BINS = 6
"""Bins of log S/N in which a log-uniform target is compared with what was achieved."""

_ROUNDING = 1e-3
"""A chosen S/N is reached this well: inverse variances are kept in steps (``lensing.noise``)."""


@dataclass(frozen=True)
class SnrTarget:
    """A density of footprint S/N in r that is constant in ln(S/N) within each bin.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,)
        Edges of the bins, ascending and positive.
    shares : ndarray, shape (n,)
        Share of groups in each bin; they sum to 1.
    """

    edges: FloatArray
    shares: FloatArray

    def quantile(self, u: ArrayLike) -> FloatArray:
        """Return the S/N below which the share ``u`` of groups lies, u in (0, 1)."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.shares)])
        place = np.interp(np.asarray(u, dtype=np.float64), cumulative, np.log(self.edges))
        return np.asarray(np.exp(place))

    def density_per_ln(self, snr: ArrayLike) -> FloatArray:
        """Return the density per unit of ln(S/N); 0 outside the range."""
        density = self.shares / np.diff(np.log(self.edges))
        return np.asarray(np.concatenate([[0.0], density, [0.0]])[self._bin(snr)])

    def counts(self, snr: ArrayLike) -> NDArray[np.int64]:
        """Count S/N values per bin, shape (n + 2,): below the range, in each bin, above the range."""
        return np.bincount(self._bin(snr), minlength=len(self.edges) + 1).astype(np.int64)

    def _bin(self, snr: ArrayLike) -> NDArray[np.intp]:
        """Return 0 below the range, n + 1 above it, else the bin from 1; rounding misses no edge."""
        edges = self.edges.copy()
        edges[0] *= 1.0 - _ROUNDING
        edges[-1] *= 1.0 + _ROUNDING
        return np.asarray(np.searchsorted(edges, np.asarray(snr, dtype=np.float64), side="right"))

    def variation(self, snr: ArrayLike) -> float:
        """Return the total variation distance of achieved S/N from this target over its bins.

        What lies outside the range is two more bins of share 0.
        """
        return total_variation(self.counts(snr), np.concatenate([[0.0], self.shares, [0.0]]))


def declared_target(targeting: SnrTargeting) -> SnrTarget | None:
    """Return the distribution of S/N that a configuration declares, None where it declares none."""
    if targeting.mode == "log_uniform" or (
        targeting.mode == "choose_flux" and targeting.target == "log_uniform"
    ):
        edges = np.geomspace(targeting.low, targeting.high, LOG_UNIFORM_BINS + 1)
        return SnrTarget(edges, np.full(LOG_UNIFORM_BINS, 1.0 / LOG_UNIFORM_BINS))
    if targeting.mode == "choose_flux":
        return SnrTarget(np.asarray(targeting.bin_edges), np.asarray(targeting.bin_shares))
    return None
