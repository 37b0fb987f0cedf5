"""From distances to the Einstein radius of a singular isothermal deflector.

A flat universe of matter and a cosmological constant. Which galaxies are
deflectors, and how massive, is decided elsewhere; nothing is drawn here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from astropy import constants
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe

FloatArray = NDArray[np.float64]

LIGHT_KMS = float(constants.c.to_value("km/s"))
"""Speed of light in km/s."""

ARCSEC_PER_RAD = 180.0 * 3600.0 / np.pi


@lru_cache(maxsize=8)
def flat_lambda_cdm(h0_kms_mpc: float, omega_m: float) -> FlatLambdaCDM:
    """Return the cosmology of a Hubble constant in km/s/Mpc and a matter density, without radiation."""
    return FlatLambdaCDM(H0=h0_kms_mpc, Om0=omega_m, Tcmb0=0.0)


def comoving_distance_mpc(z: ArrayLike, cosmology: FlatLambdaCDM) -> FloatArray:
    """Return the comoving distance in Mpc.

    Parameters
    ----------
    z : array_like
        Redshifts.
    cosmology : FlatLambdaCDM
        From :func:`flat_lambda_cdm`.

    Raises
    ------
    DataError
        If a redshift is not a positive number.
    """
    z = np.asarray(z, dtype=np.float64)
    bad = ~(np.isfinite(z) & (z > 0.0))
    if bad.any():
        row = int(np.argmax(np.ravel(bad)))
        raise DataError(
            describe(
                "Redshift", field="z", row=row, expected="a positive number", got=float(np.ravel(z)[row])
            )
        )
    return np.asarray(cosmology.comoving_distance(z).to_value("Mpc"), dtype=np.float64)


def distance_ratio(lens_mpc: ArrayLike, source_mpc: ArrayLike) -> FloatArray:
    """Return D_ls / D_s = 1 - chi_l / chi_s of a flat universe, 0 for sources before the lens.

    Parameters
    ----------
    lens_mpc, source_mpc : array_like
        Comoving distances; broadcast against each other. Unit: Mpc.

    Notes
    -----
    Angular diameter distances: Hogg 1999 (astro-ph/9905116), eq. 19 with
    Omega_k = 0. The Hubble constant cancels.
    """
    ratio = 1.0 - np.asarray(lens_mpc, dtype=np.float64) / np.asarray(source_mpc, dtype=np.float64)
    return np.asarray(np.maximum(ratio, 0.0))


def einstein_radius_limit_arcsec(sigma_v_kms: ArrayLike) -> FloatArray:
    """Return 4 pi (sigma_v / c)^2 in arcsec: the Einstein radius for a source infinitely far behind."""
    sigma = np.asarray(sigma_v_kms, dtype=np.float64)
    return np.asarray(4.0 * np.pi * (sigma / LIGHT_KMS) ** 2 * ARCSEC_PER_RAD)


def einstein_radius_arcsec(
    sigma_v_kms: ArrayLike, z_lens: ArrayLike, z_source: ArrayLike, cosmology: FlatLambdaCDM
) -> FloatArray:
    """Return the Einstein radius of a singular isothermal sphere.

    theta_E = 4 pi (sigma_v / c)^2 D_ls / D_s (Narayan & Bartelmann 1996,
    astro-ph/9606001, eq. 36). The ellipsoid of the renderer has this radius on its
    intermediate axis, so that the mass inside its critical curve is the sphere's.

    Parameters
    ----------
    sigma_v_kms : array_like
        Line-of-sight velocity dispersion. Unit: km/s.
    z_lens, z_source : array_like
        Redshifts; 0 is returned for a source that is not behind the lens.
    cosmology : FlatLambdaCDM
        From :func:`flat_lambda_cdm`.

    Raises
    ------
    DataError
        If a redshift is not a positive number.
    """
    ratio = distance_ratio(
        comoving_distance_mpc(z_lens, cosmology), comoving_distance_mpc(z_source, cosmology)
    )
    return np.asarray(einstein_radius_limit_arcsec(sigma_v_kms) * ratio)


def velocity_dispersion_kms(
    theta_e_arcsec: ArrayLike, z_lens: ArrayLike, z_source: ArrayLike, cosmology: FlatLambdaCDM
) -> FloatArray:
    """Return the velocity dispersion that has an Einstein radius, the inverse of the above.

    Infinite for a source that is not behind the lens.
    """
    ratio = distance_ratio(
        comoving_distance_mpc(z_lens, cosmology), comoving_distance_mpc(z_source, cosmology)
    )
    theta = np.asarray(theta_e_arcsec, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(LIGHT_KMS * np.sqrt(theta / (4.0 * np.pi * ARCSEC_PER_RAD * ratio)))
