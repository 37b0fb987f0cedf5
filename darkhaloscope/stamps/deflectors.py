"""Hosts as deflectors, sources behind them, and the Einstein radii that follow.

A host has a redshift and a mean velocity dispersion (``lens_hosts``); a task has
a source behind its host and a dispersion about that mean, and
theta_E = 4 pi (sigma_v / c)^2 D_ls / D_s joins them. Ranges, relations and the
cosmology are the experiment's; the formula is in ``lensing.cosmology``.

Distributions. A source is drawn from those of the host's split that can give an
Einstein radius in the range [low, high], in proportion to (D_ls / D_s)^2, so it
lies behind the lens by construction. Then theta_E^2, the cross-section, is drawn evenly where theta_E is
in the range and sigma_v within ``reach`` scatters of its mean. Nothing is
clipped: hosts that few sources suit are not used, in any class, and counted.
``lens_weight`` brings rows back to the rate at which such galaxies lens such
sources: the cross-section pi theta_E^2 (Turner, Ostriker & Gott 1984, ApJ
284, 1) times the density of what was drawn over the density it was drawn with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from darkhaloscope import streams
from darkhaloscope.config import Experiment, Lens
from darkhaloscope.lensing import cosmology as cosmo
from darkhaloscope.sources.colours import Galaxies
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.sources.population import rows_of_split
from darkhaloscope.stamps.lens_hosts import HostLenses, describe_hosts
from darkhaloscope.survey.tiles import SPLITS

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]


class DrawnLenses(NamedTuple):
    """Lens and source of every task, each shape (k,).

    Attributes
    ----------
    source : ndarray of int
        Row of the source library.
    theta_e_arcsec, sigma_v_kms, z_lens, z_source : ndarray
        What was drawn, and what follows.
    weight : ndarray
        ``lens_weight``. Unit: arcsec^2.
    """

    source: Rows
    theta_e_arcsec: FloatArray
    sigma_v_kms: FloatArray
    z_lens: FloatArray
    z_source: FloatArray
    weight: FloatArray

    def columns(self) -> dict[str, FloatArray]:
        """Return the columns of a manifest that these are."""
        return {
            "theta_e_arcsec": self.theta_e_arcsec,
            "sigma_v_kms": self.sigma_v_kms,
            "z_lens": self.z_lens,
            "lens_weight": self.weight,
        }


class _Deck(NamedTuple):
    """Sources of one split, nearest first, with sums by which windows of them are weighed."""

    rows: Rows
    chi_mpc: FloatArray
    sums: FloatArray

    @classmethod
    def of(cls, rows: Rows, chi_mpc: FloatArray) -> _Deck:
        inverse = 1.0 / chi_mpc
        sums = np.zeros((3, len(rows) + 1))
        sums[:, 1:] = np.cumsum([np.ones(len(rows)), inverse, inverse**2], axis=1)
        return cls(rows, chi_mpc, sums)

    def weight_below(self, place: Rows, lens_mpc: FloatArray) -> FloatArray:
        """Return the sum of (D_ls / D_s)^2 = (1 - chi_l / chi_s)^2 over the first ``place`` sources."""
        count, first, second = self.sums[:, place]
        return np.asarray(count - 2.0 * lens_mpc * first + lens_mpc**2 * second)

    def pick(self, start: Rows, stop: Rows, lens_mpc: FloatArray, u: FloatArray) -> Rows:
        """Return the place of one source per lens in [start, stop), at quantile u of that weight."""
        before = self.weight_below(start, lens_mpc)
        target = before + u * (self.weight_below(stop, lens_mpc) - before)
        low, high = start.copy(), stop - 1
        while (open_ := low < high).any():
            middle = (low + high) // 2
            beyond = self.weight_below(middle + 1, lens_mpc) < target
            low, high = np.where(open_ & beyond, middle + 1, low), np.where(open_ & ~beyond, middle, high)
        return low


@dataclass(frozen=True)
class LensPopulation:
    """The hosts of a table and the sources behind them.

    Parameters
    ----------
    lens : Lens
        Range of theta_E, relations, cosmology.
    seed : int
        Of the experiment.
    hosts : HostLenses
        By row of the host table.
    z_source : ndarray, shape (m,)
        By row of the source library.
    """

    lens: Lens
    seed: int
    hosts: HostLenses
    z_source: FloatArray
    _decks: dict[str, _Deck]

    @classmethod
    def of(
        cls, experiment: Experiment, hosts: pa.Table, library: SourceLibrary, galaxies: Galaxies
    ) -> LensPopulation:
        """Describe hosts and sources.

        Parameters
        ----------
        experiment : Experiment
            ``lens`` and the seed.
        hosts : pyarrow.Table
            HOSTS columns without pixels.
        library : SourceLibrary
            Splits of the sources.
        galaxies : Galaxies
            Their redshifts.

        Raises
        ------
        DataError
            If a split has no source.
        """
        settings = experiment.lens
        universe = cosmo.flat_lambda_cdm(settings.cosmology.h0_kms_mpc, settings.cosmology.omega_m)
        chi = cosmo.comoving_distance_mpc(galaxies.z, universe)
        decks = {}
        for name in SPLITS:
            rows = rows_of_split(library.split, name)
            rows = rows[np.lexsort((np.asarray(library.ids)[rows], chi[rows]))]
            decks[name] = _Deck.of(rows, chi[rows])
        return cls(settings, experiment.seed, describe_hosts(experiment, hosts), galaxies.z, decks)

    def unfit(self, split: NDArray[np.str_] | Sequence[str]) -> NDArray[np.bool_]:
        """Say which hosts of the table too few sources of their split suit.

        Parameters
        ----------
        split : array_like of str, shape (n,)
            Split of every host.
        """
        share = np.zeros(len(self.hosts.z))
        for name, deck in self._decks.items():
            mine = np.flatnonzero((np.asarray(split) == name) & np.isfinite(self.hosts.z))
            start, stop = self._window(deck, mine)
            share[mine] = (stop - start) / len(deck.rows)
        return np.asarray((share < self.lens.deflectors.min_source_share) | (share == 0.0))

    def draw(self, hosts: Rows, split: str, ids: Sequence[str]) -> DrawnLenses:
        """Draw source, dispersion and so the Einstein radius of tasks of one split.

        Parameters
        ----------
        hosts : ndarray of int, shape (k,)
            Their hosts, rows of the table, fit for the split.
        split : str
            Of hosts and sources.
        ids : sequence of str, length k
            Task ids.
        """
        deck, relation = self._decks[split], self.lens.deflectors
        chi = self.hosts.chi_mpc[hosts]
        start, stop = self._window(deck, hosts)
        place = deck.pick(start, stop, chi, streams.uniform(self.seed, "lens_source", ids))
        ratio = cosmo.distance_ratio(chi, deck.chi_mpc[place])
        smallest, largest = (cosmo.einstein_radius_limit_arcsec(10.0**s) * ratio for s in self._reach(hosts))
        low, high = self.lens.theta_e_arcsec
        smallest, largest = np.maximum(smallest, low), np.minimum(largest, high)
        area = smallest**2 + (largest**2 - smallest**2) * streams.uniform(self.seed, "theta_e", ids)
        theta_e = np.sqrt(area)
        log_sigma = self._log_sigma_at(theta_e, ratio)
        off = (log_sigma - self.hosts.log_sigma[hosts]) / relation.scatter_dex
        density = np.exp(-0.5 * off**2) / (np.sqrt(2.0 * np.pi) * relation.scatter_dex)
        # of theta_E^2, which goes as sigma_v^4, instead of log10(sigma_v)
        density /= 4.0 * np.log(10.0) * area
        behind = deck.weight_below(stop, chi) - deck.weight_below(start, chi)
        share = behind / (len(deck.rows) * ratio**2)
        weight = np.pi * area * density * (largest**2 - smallest**2) * share
        rows = deck.rows[place]
        return DrawnLenses(rows, theta_e, 10.0**log_sigma, self.hosts.z[hosts], self.z_source[rows], weight)

    def draw_at(self, hosts: Rows, split: str, ids: Sequence[str], theta_e_arcsec: ArrayLike) -> DrawnLenses:
        """Draw a source behind each host, and find the dispersion that gives a wanted Einstein radius.

        The dispersion may lie far off its mean; the weight is NaN.

        Parameters
        ----------
        hosts, split, ids
            As in :meth:`draw`.
        theta_e_arcsec : array_like, shape (k,)
            Einstein radius of every task.
        """
        deck = self._decks[split]
        chi = self.hosts.chi_mpc[hosts]
        start = np.searchsorted(deck.chi_mpc, chi, side="right")
        stop = np.full(len(hosts), len(deck.rows))
        place = deck.pick(start, stop, chi, streams.uniform(self.seed, "lens_source", ids))
        theta_e = np.asarray(theta_e_arcsec, dtype=np.float64)
        log_sigma = self._log_sigma_at(theta_e, cosmo.distance_ratio(chi, deck.chi_mpc[place]))
        rows = deck.rows[place]
        return DrawnLenses(
            rows,
            theta_e,
            10.0**log_sigma,
            self.hosts.z[hosts],
            self.z_source[rows],
            np.full(len(hosts), np.nan),
        )

    def _reach(self, hosts: Rows) -> tuple[FloatArray, FloatArray]:
        """Return the range of log10(sigma_v) of hosts."""
        reach = self.lens.deflectors.reach * self.lens.deflectors.scatter_dex
        return self.hosts.log_sigma[hosts] - reach, self.hosts.log_sigma[hosts] + reach

    def _window(self, deck: _Deck, hosts: Rows) -> tuple[Rows, Rows]:
        """Return which sources can give each host an Einstein radius in the range.

        theta_E grows with the distance of the source: the largest dispersion
        must reach the lower limit, the smallest must not pass the upper one.
        """
        low, high = self.lens.theta_e_arcsec
        smallest, largest = (cosmo.einstein_radius_limit_arcsec(10.0**s) for s in self._reach(hosts))
        chi = self.hosts.chi_mpc[hosts]
        with np.errstate(divide="ignore"):
            nearest = np.where(largest > low, chi / (1.0 - low / largest), np.inf)
            farthest = np.where(smallest > high, chi / (1.0 - high / smallest), np.inf)
        start = np.searchsorted(deck.chi_mpc, nearest, side="right")
        stop = np.searchsorted(deck.chi_mpc, farthest, side="left")
        return start, np.maximum(start, stop)

    @staticmethod
    def _log_sigma_at(theta_e_arcsec: ArrayLike, ratio: FloatArray) -> FloatArray:
        limit = cosmo.einstein_radius_limit_arcsec(1.0)
        return np.asarray(0.5 * np.log10(np.asarray(theta_e_arcsec) / (ratio * limit)))
