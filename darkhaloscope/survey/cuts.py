"""Parent selections: pure functions of catalogue columns.

Flags say which sample a galaxy belongs to; the quality reason says why a
galaxy of a sample is unfit as a host. The two are never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.survey.photometry import FloatArray, magnitude
from darkhaloscope.survey.release import MASK_BITS, Release, bit_mask

BoolArray = NDArray[np.bool_]

LRG_CUTS: tuple[tuple[float, float, float], ...] = (
    (20.0, 0.5, 1.6),
    (20.4, 0.4, 1.6),
    (20.4, 0.4, 0.8),
    (21.0, 0.4, 0.8),
    (21.5, 0.3, 0.8),
)
"""Cuts v1 to v5: z mag below, r - z above, z - W1 above; raw AB magnitudes."""

GALAXY_TYPES = ("REX", "EXP", "DEV", "SER")
"""Tractor types of extended sources."""


def lrg_flags(flux_nmgy: Mapping[str, FloatArray]) -> list[BoolArray]:
    """Apply the five nested LRG cuts in raw magnitudes.

    Parameters
    ----------
    flux_nmgy : mapping
        ``r``, ``z``, ``w1`` fluxes, not corrected for extinction, shape (n,).

    Returns
    -------
    list of ndarray of bool, shape (n,)
        v1 to v5. A flux that is not positive fails.
    """
    r, z, w1 = (magnitude(flux_nmgy[b]) for b in ("r", "z", "w1"))
    # NaN compares false, so a galaxy without a flux is in no sample.
    return [(z < z_max) & (r - z > rz_min) & (z - w1 > zw_min) for z_max, rz_min, zw_min in LRG_CUTS]


def is_lrg_desi_south(columns: Mapping[str, NDArray[np.generic]]) -> BoolArray:
    """Apply the DESI main-survey LRG selection for the southern imaging.

    Zhou et al. 2023 (AJ 165, 58) as coded in desitarget 1.0
    (``cuts.py``: ``isLRG``, ``notinLRG_mask``, ``isLRG_colors``), in magnitudes
    corrected for Galactic extinction.

    Parameters
    ----------
    columns : mapping
        Sweep columns, shape (n,): FLUX_G/R/Z/W1, FLUX_IVAR_R/Z/W1,
        FIBERFLUX_Z, FIBERTOTFLUX_Z, MW_TRANSMISSION_G/R/Z/W1,
        GAIA_PHOT_G_MEAN_MAG, NOBS_G/R/Z, MASKBITS.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    flux = {
        b: _f64(columns, f"FLUX_{b}") / _f64(columns, f"MW_TRANSMISSION_{b}") for b in ("G", "R", "Z", "W1")
    }
    fibre = _f64(columns, "FIBERFLUX_Z") / _f64(columns, "MW_TRANSMISSION_Z")
    fibre_total = _f64(columns, "FIBERTOTFLUX_Z") / _f64(columns, "MW_TRANSMISSION_Z")
    gaia_g = _f64(columns, "GAIA_PHOT_G_MEAN_MAG")

    good = fibre > 0.0
    for band in ("R", "Z", "W1"):
        good &= (flux[band] > 0.0) & (_f64(columns, f"FLUX_IVAR_{band}") > 0.0)
    good &= (gaia_g == 0.0) | (gaia_g > 18.0)
    good &= fibre_total < 10.0 ** ((22.5 - 17.5) / 2.5)
    for band in "GRZ":
        good &= _f64(columns, f"NOBS_{band}") > 0
    good &= (columns["MASKBITS"].astype(np.int64) & bit_mask(("BRIGHT", "GALAXY", "CLUSTER"))) == 0

    # desitarget clips g at 1e-7 nMgy, so a negative g flux counts as very red.
    g = magnitude(np.clip(flux["G"], 1e-7, None))
    r, z, w1, z_fibre = (magnitude(f) for f in (flux["R"], flux["Z"], flux["W1"], fibre))
    non_stellar = z - w1 > 0.8 * (r - z) - 0.6
    low_z = (g - w1 > 2.9) | (r - w1 > 1.8)
    sliding = ((r - w1 > 1.8 * (w1 - 17.14)) & (r - w1 > w1 - 16.33)) | (r - w1 > 3.3)
    return np.asarray(good & non_stellar & (z_fibre < 21.6) & low_z & sliding)


def is_early_bright(types: NDArray[np.str_], flux_z_nmgy: FloatArray) -> BoolArray:
    """Flag DEV or SER sources with raw z < 20 mag, the arm that keeps low redshift."""
    return np.isin(types, ("DEV", "SER")) & (magnitude(flux_z_nmgy) < 20.0)


def quality_reasons(
    release: Release,
    *,
    types: NDArray[np.str_],
    maskbits: NDArray[np.int64],
    nobs: Mapping[str, NDArray[np.int64]],
    psf_fwhm_arcsec: Mapping[str, FloatArray],
    psfdepth_mag: Mapping[str, FloatArray],
    ebv_mag: FloatArray,
) -> NDArray[np.str_]:
    """Name the first quality cut each galaxy fails, ``""`` for none.

    Every cut is made in every band. Order: type, exposures, seeing, depth,
    reddening, mask bits.

    Parameters
    ----------
    release : Release
        Limits and named bits.
    types : ndarray of str, shape (n,)
        Tractor types.
    maskbits : ndarray of int, shape (n,)
        Catalogue MASKBITS.
    nobs, psf_fwhm_arcsec, psfdepth_mag : mapping from band to ndarray, shape (n,)
        Images, seeing and depth at the position; NaN fails.
    ebv_mag : ndarray, shape (n,)
        E(B-V).

    Returns
    -------
    ndarray of str, shape (n,)
    """
    low, high = release.limits.psf_fwhm_arcsec
    failed: list[tuple[str, BoolArray]] = [
        ("type_point_source", types == "PSF"),
        ("type_duplicate", types == "DUP"),
        ("type_unknown", ~np.isin(types, (*GALAXY_TYPES, "PSF", "DUP"))),
    ]
    failed += [(f"no_exposures_{b}", nobs[b] <= 0) for b in release.bands]
    # Written as "not inside" so that NaN fails.
    failed += [
        (f"psf_fwhm_{b}", ~((psf_fwhm_arcsec[b] >= low) & (psf_fwhm_arcsec[b] <= high)))
        for b in release.bands
    ]
    failed += [
        (f"psfdepth_{b}", ~(psfdepth_mag[b] >= release.limits.min_psfdepth_mag[b])) for b in release.bands
    ]
    failed.append(("ebv", ~(ebv_mag <= release.limits.max_ebv_mag)))
    failed += [
        (f"mask_{name.lower()}", (maskbits & (1 << MASK_BITS[name])) != 0) for name in release.catalogue_bits
    ]
    reasons = np.full(types.shape, "", dtype="<U24")
    for name, fails in reversed(failed):
        reasons[fails] = name
    return reasons


def _f64(columns: Mapping[str, NDArray[np.generic]], name: str) -> FloatArray:
    return np.asarray(columns[name], dtype=np.float64)
