"""What is known of each source galaxy beside its image: redshift and colours, as one joint draw.

A galaxy keeps its redshift, spectral type and colours in every task, as it
keeps its magnitude, size and shape. What a catalogue measured is taken; what it
did not is drawn once per galaxy, keyed by its identity, from a prior on
F814W-selected galaxies. Which task gets which galaxy is decided in ``population``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gamma
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope import config
from darkhaloscope.sources.colour_tracks import TEMPLATES, template_colours
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.streams import normal, uniform

FloatArray = NDArray[np.float64]

PRIOR_ALPHA = (2.46, 1.81, 1.81, 0.91)
PRIOR_Z0 = (0.431, 0.390, 0.390, 0.063)
PRIOR_KM = (0.091, 0.0636, 0.0636, 0.123)
"""p(z | T, m) proportional to z^alpha exp(-(z / z_m)^alpha) with z_m = z0 + km (m - 20), m in F814W (AB):
Benitez 2000 (ApJ 536, 571), eq. 22-23 and table 1, for E, Sbc, Scd and Im."""

PRIOR_SHARE_AT_20 = (0.35, 0.25, 0.25)
PRIOR_SHARE_FALL = (0.450, 0.147, 0.147)
"""p(T | m) = f exp(-k (m - 20)) for E, Sbc and Scd, the spirals' 0.50 shared alike; Im is the rest. Ibid.,
eq. 24 and table 1 (fitted to the HDF-N, 20 < F814W < 26)."""

PRIOR_MAG_RANGE = (20.0, 28.0)
"""Magnitudes outside use the prior of the nearer end, as in Benitez's own code."""

_Z_STEP = 0.01
_Z_GRID = _Z_STEP * (0.5 + np.arange(400))
_CHUNK = 4096


class Galaxies(NamedTuple):
    """Redshift and colours of every galaxy of a library, each shape (m,).

    Attributes
    ----------
    z : ndarray
        Catalogued redshift, or one drawn from the prior at the magnitude.
    g_r, r_z : ndarray
        Measured colours, or colours drawn at the redshift (AB).
    """

    z: FloatArray
    g_r: FloatArray
    r_z: FloatArray

    def take(self, rows: NDArray[np.intp]) -> Galaxies:
        """Return the galaxies of some rows, which may repeat."""
        return Galaxies(self.z[rows], self.g_r[rows], self.r_z[rows])


def describe_galaxies(sources: config.Sources, library: SourceLibrary, seed: int) -> Galaxies:
    """Return redshift and colours of every galaxy of a library.

    Parameters
    ----------
    sources : config.Sources
        ``colour_scatter`` and ``colour_correlation`` of the prior.
    library : SourceLibrary
        Identities, F814W magnitudes, redshifts and measured colours, NaN where
        unknown. Colours are taken as measured if both are known.
    seed : int
        Seed of the experiment.
    """
    names = library.ids.tolist()
    mag = np.asarray(library.mag_f814w, dtype=np.float64)
    z = np.array(library.z_phot, dtype=np.float64)
    unknown = ~(np.isfinite(z) & (z > 0.0))
    z[unknown] = _redshifts(mag[unknown], uniform(seed, "source_z", [names[i] for i in unknown.nonzero()[0]]))
    g_r, r_z = np.array(library.g_r), np.array(library.r_z)
    free = ~(np.isfinite(g_r) & np.isfinite(r_z))
    chosen = [names[i] for i in free.nonzero()[0]]
    template = draw_types(mag[free], z[free], chosen, seed)
    mean_g_r, mean_r_z = template_colours(template, z[free])
    first, second = colour_deviates(chosen, sources.colour_correlation, seed)
    g_r[free] = mean_g_r + sources.colour_scatter[0] * first
    r_z[free] = mean_r_z + sources.colour_scatter[1] * second
    return Galaxies(z, g_r, r_z)


def colour_deviates(ids: Sequence[str], correlation: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Draw two standard normal numbers of a given correlation for every identity."""
    first, second = normal(seed, "source_g_r", ids), normal(seed, "source_r_z", ids)
    return first, correlation * first + np.sqrt(1.0 - correlation**2) * second


def draw_types(mag_f814w: ArrayLike, z: ArrayLike, ids: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Draw the spectral type of galaxies of a magnitude and redshift, an index into ``TEMPLATES``."""
    share = np.cumsum(type_shares(mag_f814w, z), axis=0)
    picked = (uniform(seed, "source_type", ids) > share).sum(axis=0)
    return np.asarray(np.minimum(picked, len(TEMPLATES) - 1), dtype=np.int64)


def type_shares(mag_f814w: ArrayLike, z: ArrayLike) -> FloatArray:
    """Return p(T | z, m) of F814W-selected galaxies, proportional to p(T | m) p(z | T, m).

    Parameters
    ----------
    mag_f814w : array_like, shape (n,)
        AB magnitude.
    z : array_like, shape (n,)
        Redshift.

    Returns
    -------
    ndarray, shape (4, n)
        Shares of E, Sbc, Scd, Im; each column sums to 1.
    """
    density = _type_given_magnitude(mag_f814w) * _redshift_density(mag_f814w, z)
    return np.asarray(density / density.sum(axis=0))


def _type_given_magnitude(mag_f814w: ArrayLike) -> FloatArray:
    mag = np.clip(np.asarray(mag_f814w, dtype=np.float64), *PRIOR_MAG_RANGE)
    known = np.stack(
        [f * np.exp(-k * (mag - 20.0)) for f, k in zip(PRIOR_SHARE_AT_20, PRIOR_SHARE_FALL, strict=True)]
    )
    return np.concatenate([known, 1.0 - known.sum(axis=0, keepdims=True)])


def _redshift_density(mag_f814w: ArrayLike, z: ArrayLike) -> FloatArray:
    """Return p(z | T, m) at a redshift for every type, shape (4, n)."""
    mag = np.clip(np.asarray(mag_f814w, dtype=np.float64), *PRIOR_MAG_RANGE)
    z = np.asarray(z, dtype=np.float64)
    rows = []
    for alpha, z0, km in zip(PRIOR_ALPHA, PRIOR_Z0, PRIOR_KM, strict=True):
        peak = z0 + km * (mag - 20.0)
        shape = z**alpha * np.exp(-((z / peak) ** alpha))
        # integral of z^a exp(-(z/p)^a) over z is p^(a+1) Gamma((a+1)/a) / a
        norm = peak ** (alpha + 1.0) * gamma((alpha + 1.0) / alpha) / alpha
        rows.append(shape / norm)
    return np.maximum(np.stack(rows), np.finfo(np.float64).tiny)


def _redshifts(mag_f814w: FloatArray, u: FloatArray) -> FloatArray:
    """Return the redshift of each galaxy at quantile u of p(z | m), 0 to 4."""
    z = np.empty(len(mag_f814w))
    for start in range(0, len(z), _CHUNK):
        mine = slice(start, start + _CHUNK)
        mag = mag_f814w[mine, None]
        density = (_type_given_magnitude(mag) * _redshift_density(mag, _Z_GRID)).sum(axis=0)
        share = np.cumsum(density, axis=1)
        wanted = u[mine] * share[:, -1]
        place = (share < wanted[:, None]).sum(axis=1)
        row = np.arange(len(place))
        # the place inside the step that holds the quantile
        inside = (share[row, place] - wanted) / density[row, place]
        z[mine] = _Z_GRID[place] + _Z_STEP * (0.5 - inside)
    return z
