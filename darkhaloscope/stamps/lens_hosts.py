"""Hosts as deflectors: a redshift and a mean velocity dispersion from what the survey says of them.

The redshift is the spectrum's, else the survey's photometric one, else that of
an early-type galaxy of the host's colours. Sources behind them and Einstein
radii are in ``deflectors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from darkhaloscope import streams
from darkhaloscope.config import Deflectors, Experiment
from darkhaloscope.lensing import cosmology as cosmo
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.sources.colour_tracks import k_correction_z_to_r
from darkhaloscope.survey.early_types import TRACK_G_R_MAG, TRACK_R_Z_MAG, TRACK_Z
from darkhaloscope.survey.photometry import EXTINCTION_PER_EBV
from darkhaloscope.survey.photoz import REDSHIFTS

FloatArray = NDArray[np.float64]

_Z_GRID = np.arange(0.03, 1.3, 0.005)
_CHUNK = 4096

PHOTO_Z_FAINTEST_MAG = 21.0
"""Photometric redshifts are relied on for galaxies brighter than this in z (Zhou et al. 2023)."""

SPECTRUM, PHOTO_Z, COLOURS, NO_REDSHIFT = "spectrum", "photo-z", "colours", "none"
"""Where a host's redshift comes from, the first that applies."""


class HostLenses(NamedTuple):
    """Every host as a deflector, each shape (n,), NaN where a magnitude is missing or z is beyond the grid.

    Attributes
    ----------
    z : ndarray
        Redshift.
    origin : ndarray of str
        ``spectrum``, ``photo-z``, ``colours`` or ``none``.
    log_sigma : ndarray
        Mean of log10(sigma_v / km/s).
    chi_mpc : ndarray
        Comoving distance.
    """

    z: FloatArray
    log_sigma: FloatArray
    chi_mpc: FloatArray
    origin: NDArray[np.str_]


def describe_hosts(experiment: Experiment, hosts: pa.Table) -> HostLenses:
    """Give every host its redshift and mean dispersion, once for all its tasks.

    Parameters
    ----------
    experiment : Experiment
        Relations, cosmology, seed.
    hosts : pyarrow.Table
        HOSTS columns without pixels.
    """
    relation, n = experiment.lens.deflectors, hosts.num_rows
    universe = cosmo.flat_lambda_cdm(experiment.lens.cosmology.h0_kms_mpc, experiment.lens.cosmology.omega_m)
    raw = np.stack([_floats(hosts, name) for name in per_band("host_mag_{b}")])
    mag = raw - np.array([EXTINCTION_PER_EBV[band] for band in BANDS])[:, None] * _floats(hosts, "ebv")
    known = np.asarray(np.isfinite(mag).all(axis=0))
    z, chi, log_sigma = (np.full(n, np.nan) for _ in range(3))
    u = streams.uniform(experiment.seed, "z_lens", hosts["host_id"].to_pylist())
    volume = universe.differential_comoving_volume(_Z_GRID).value
    z_spec, *photometric = (_floats(hosts, name) for name in REDSHIFTS)
    median, low, high = photometric
    origin = _redshift_origin(z_spec, photometric, raw[2], known=known)
    measured = np.where(origin == SPECTRUM, z_spec, median)
    beyond = np.isin(origin, (SPECTRUM, PHOTO_Z)) & ~((measured >= _Z_GRID[0]) & (measured <= _Z_GRID[-1]))
    origin[beyond] = NO_REDSHIFT  # too near or too far for a lens, whatever its colours
    z[origin == SPECTRUM] = z_spec[origin == SPECTRUM]
    for start in range(0, n, _CHUNK):
        part = origin[start : start + _CHUNK]
        rows = start + np.flatnonzero(part == COLOURS)
        z[rows] = _quantile(redshift_density(mag[:, rows], relation) * volume, u[rows])
        rows = start + np.flatnonzero(part == PHOTO_Z)
        z[rows] = _quantile(photo_z_density(median[rows], low[rows], high[rows]), u[rows])
    found = origin != NO_REDSHIFT
    if found.any():
        chi[found] = cosmo.comoving_distance_mpc(z[found], universe)
        log_sigma[found] = mean_log_sigma(mag[2, found], z[found], chi[found], relation)
    return HostLenses(z, log_sigma, chi, origin)


def _redshift_origin(
    z_spec: FloatArray, photometric: Sequence[FloatArray], mag_z: FloatArray, *, known: NDArray[np.bool_]
) -> NDArray[np.str_]:
    """Say per host whether spectrum, photo-z or colours give its redshift; nothing without magnitudes."""
    median, low, high = photometric
    relied_on = (mag_z < PHOTO_Z_FAINTEST_MAG) & (low < high) & np.isfinite(median)
    return np.select(
        [~known, np.isfinite(z_spec), relied_on], [NO_REDSHIFT, SPECTRUM, PHOTO_Z], default=COLOURS
    )


def photo_z_density(median: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return two half Gaussians about a median with a 68 % interval, on the grid, not normalised.

    Parameters
    ----------
    median, low, high : ndarray, shape (n,)
        Photometric redshift and the ends of its interval.

    Returns
    -------
    ndarray, shape (n, grid)
    """
    off = _Z_GRID - median[:, None]
    step = _Z_GRID[1] - _Z_GRID[0]
    width = np.where(off < 0.0, (median - low)[:, None], (high - median)[:, None])
    return np.asarray(np.exp(-0.5 * (off / np.maximum(width, step)) ** 2))


def redshift_density(mag: FloatArray, relation: Deflectors) -> FloatArray:
    """Return the likelihood of redshifts given the colours of early-type galaxies.

    exp(-chi^2 / 2) of g - r and r - z about the track, not normalised. The
    prior is uniform in comoving volume and multiplied by the caller; there is
    none on luminosity, for deflectors are its tail.

    Parameters
    ----------
    mag : ndarray, shape (3, n)
        g, r, z (AB), corrected for Galactic dust.
    relation : Deflectors
        Widths.

    Returns
    -------
    ndarray, shape (n, grid)
    """
    g, r, z = mag
    chi2 = ((g - r)[:, None] - np.interp(_Z_GRID, TRACK_Z, TRACK_G_R_MAG)) ** 2 / relation.g_r_width_mag**2
    chi2 += ((r - z)[:, None] - np.interp(_Z_GRID, TRACK_Z, TRACK_R_Z_MAG)) ** 2 / relation.r_z_width_mag**2
    # far off the track the nearest redshift is still the most likely one
    return np.asarray(np.exp(-0.5 * (chi2 - chi2.min(axis=1, keepdims=True))))


def mean_log_sigma(mag_z: ArrayLike, z: ArrayLike, chi_mpc: ArrayLike, relation: Deflectors) -> FloatArray:
    """Return the mean log10(sigma_v / km/s) of early-type galaxies (Faber & Jackson 1976).

    With the defaults: <log sigma_v> = 2.203 - 0.102 (M_r + 21.15), scatter 0.07,
    M_r = m_z - 5 log10(D_L / 10 pc) - K(z) + 0.85 z (Bernardi et al. 2003, AJ 125,
    1849, sigma ~ L^0.25, h = 0.7; K-correction z to r of ``sources.colour_tracks``).

    Parameters
    ----------
    mag_z : array_like, shape (n,)
        Observed z magnitude (AB), corrected for Galactic dust.
    z : array_like, shape (n,)
        Redshift.
    chi_mpc : array_like, shape (n,)
        Comoving distance. Unit: Mpc.
    relation : Deflectors
        The relation.
    """
    z = np.asarray(z, dtype=np.float64)
    modulus = 5.0 * np.log10(np.asarray(chi_mpc) * (1.0 + z)) + 25.0
    mag_r = np.asarray(mag_z) - modulus - k_correction_z_to_r(z) + relation.evolution_mag * z
    return np.asarray(relation.log_sigma_at_pivot + relation.slope_per_mag * (mag_r - relation.pivot_mag_r))


def _quantile(density: FloatArray, u: FloatArray) -> FloatArray:
    """Return the redshift at quantile u of every row of a density on the grid."""
    share = np.cumsum(density, axis=1)
    share /= share[:, -1:]
    place = np.minimum((share < u[:, None]).sum(axis=1), len(_Z_GRID) - 1)
    row = np.arange(len(u))
    before = np.where(place > 0, share[row, place - 1], 0.0)
    step = _Z_GRID[1] - _Z_GRID[0]
    inside = (u - before) / (share[row, place] - before)
    return np.asarray(_Z_GRID[place] + (inside - 0.5) * step)


def _floats(table: pa.Table, name: str) -> FloatArray:
    column = table[name].cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
