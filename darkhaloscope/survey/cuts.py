"""Parent selections: pure functions of catalogue columns.

Flags of selections say which sample a galaxy belongs to; flags of quality cuts
say whether it is fit as a host, and the reason names the first that fails. The
two are never mixed. Names ending in ``_raw`` use magnitudes as catalogued,
those in ``_dered`` magnitudes corrected for Galactic extinction (flux over
MW_TRANSMISSION); the DESI cut is defined in corrected magnitudes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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


QUALITY_CUTS = ("primary", "type", "nobs", "psf_fwhm", "psfdepth", "ebv", "maskbits")
"""Quality cuts in the order in which a failure is reported."""

_LRG_BANDS = ("r", "z", "w1")
_EARLY_TYPES = ("DEV", "SER")
_EARLY_Z_MAG = 20.0


class SweepColumns(Protocol):
    """Sweep columns by name: a mapping, or rows that convert a column when asked for it."""

    def __getitem__(self, name: str, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class _DesiLines:
    """Numbers of the DESI LRG cut in one photometric system."""

    z_fibre: float
    g_w1: float
    slope: float
    steep_w1: float
    shallow_w1: float
    r_w1_red: float


_DESI = {
    "S": _DesiLines(21.60, 2.90, 1.80, 17.14, 16.33, 3.3),
    "N": _DesiLines(21.61, 2.97, 1.83, 17.13, 16.31, 3.4),
}


def selection_flags(columns: SweepColumns, release: Release) -> dict[str, BoolArray]:
    """Apply every selection.

    Parameters
    ----------
    columns : mapping
        Sweep columns, shape (n,): those of :func:`is_lrg_desi`, and TYPE.
    release : Release
        Photometric system.

    Returns
    -------
    dict of str to ndarray of bool, shape (n,)
        By name of the selection, in the order of the schema's flags.
    """
    flux = {b: _f64(columns, f"FLUX_{b.upper()}") for b in _LRG_BANDS}
    dereddened = {b: flux[b] / _f64(columns, f"MW_TRANSMISSION_{b.upper()}") for b in _LRG_BANDS}
    types = columns["TYPE"]
    flags = {f"lrg_v{i}_raw": flag for i, flag in enumerate(lrg_flags(flux), start=1)}
    flags |= {f"lrg_v{i}_dered": flag for i, flag in enumerate(lrg_flags(dereddened), start=1)}
    flags["lrg_desi"] = is_lrg_desi(columns, release.photsys)
    flags["early_bright_raw"] = is_early_bright(types, flux["z"])
    flags["early_bright_dered"] = is_early_bright(types, dereddened["z"])
    return flags


def lrg_flags(flux_nmgy: Mapping[str, FloatArray]) -> list[BoolArray]:
    """Apply the five nested LRG cuts.

    Parameters
    ----------
    flux_nmgy : mapping
        ``r``, ``z``, ``w1`` fluxes, shape (n,): raw for the cuts as published.

    Returns
    -------
    list of ndarray of bool, shape (n,)
        v1 to v5. A flux that is not positive fails.
    """
    r, z, w1 = (magnitude(flux_nmgy[b]) for b in _LRG_BANDS)
    # NaN compares false, so a galaxy without a flux is in no sample.
    return [(z < z_max) & (r - z > rz_min) & (z - w1 > zw_min) for z_max, rz_min, zw_min in LRG_CUTS]


def is_lrg_desi(columns: SweepColumns, photsys: str) -> BoolArray:
    """Apply the DESI main-survey LRG selection.

    Zhou et al. 2023 (AJ 165, 58) as coded in desitarget 1.0
    (``cuts.py``: ``isLRG``, ``notinLRG_mask``, ``isLRG_colors``), in magnitudes
    corrected for Galactic extinction.

    Parameters
    ----------
    columns : mapping
        Sweep columns, shape (n,): FLUX_G/R/Z/W1, FLUX_IVAR_R/Z/W1,
        FIBERFLUX_Z, FIBERTOTFLUX_Z, MW_TRANSMISSION_G/R/Z/W1,
        GAIA_PHOT_G_MEAN_MAG, NOBS_G/R/Z, MASKBITS.
    photsys : str
        ``S`` for DECam, ``N`` for BASS/MzLS.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    lines = _DESI[photsys]
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
    low_z = (g - w1 > lines.g_w1) | (r - w1 > 1.8)
    sliding = (r - w1 > lines.slope * (w1 - lines.steep_w1)) & (r - w1 > w1 - lines.shallow_w1)
    red = sliding | (r - w1 > lines.r_w1_red)
    return np.asarray(good & non_stellar & (z_fibre < lines.z_fibre) & low_z & red)


def is_early_bright(types: NDArray[np.str_], flux_z_nmgy: FloatArray) -> BoolArray:
    """Flag DEV or SER sources with z < 20 mag, the arm that keeps low redshift."""
    return np.isin(types, _EARLY_TYPES) & (magnitude(flux_z_nmgy) < _EARLY_Z_MAG)


def in_primary_box(ra_deg: FloatArray, dec_deg: FloatArray, box: Mapping[str, FloatArray]) -> BoolArray:
    """Say which sources lie in the primary box of their brick: what BRICK_PRIMARY means.

    Sweeps hold such sources only and have no column for it; Tractor files hold
    the others too, which their neighbours list again.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
        ICRS.
    box : mapping
        ``ra1``, ``ra2``, ``dec1``, ``dec2`` of each source's brick, shape (n,).

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    slack_deg = 1e-6
    width = np.mod(box["ra2"] - box["ra1"], 360.0)
    east = np.mod(ra_deg - box["ra1"] + slack_deg, 360.0)
    return (
        (east <= width + 2.0 * slack_deg)
        & (dec_deg >= box["dec1"] - slack_deg)
        & (dec_deg <= box["dec2"] + slack_deg)
    )


def quality_flags(
    release: Release,
    *,
    primary: BoolArray,
    types: NDArray[np.str_],
    maskbits: NDArray[np.int64],
    nobs: Mapping[str, NDArray[np.int64]],
    psf_fwhm_arcsec: Mapping[str, FloatArray],
    psfdepth_mag: Mapping[str, FloatArray],
    ebv_mag: FloatArray,
) -> tuple[dict[str, BoolArray], NDArray[np.str_]]:
    """Make every quality cut, in every band, and name the first each galaxy fails.

    Parameters
    ----------
    release : Release
        Limits and named bits.
    primary : ndarray of bool, shape (n,)
        From :func:`in_primary_box`.
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
    passes : dict of str to ndarray of bool, shape (n,)
        By name of the cut, ``QUALITY_CUTS``.
    reasons : ndarray of str, shape (n,)
        First failure, ``""`` for none.
    """
    low, high = release.limits.psf_fwhm_arcsec
    # Written as "not inside" so that NaN fails.
    failures: dict[str, dict[str, BoolArray]] = {
        "primary": {"not_primary": ~primary},
        "type": {
            "type_point_source": types == "PSF",
            "type_duplicate": types == "DUP",
            "type_unknown": ~np.isin(types, (*GALAXY_TYPES, "PSF", "DUP")),
        },
        "nobs": {f"no_exposures_{b}": nobs[b] <= 0 for b in release.bands},
        "psf_fwhm": {
            f"psf_fwhm_{b}": ~((psf_fwhm_arcsec[b] >= low) & (psf_fwhm_arcsec[b] <= high))
            for b in release.bands
        },
        "psfdepth": {
            f"psfdepth_{b}": ~(psfdepth_mag[b] >= release.limits.min_psfdepth_mag[b]) for b in release.bands
        },
        "ebv": {"ebv": ~(ebv_mag <= release.limits.max_ebv_mag)},
        "maskbits": {
            f"mask_{name.lower()}": (maskbits & (1 << MASK_BITS[name])) != 0
            for name in release.catalogue_bits
        },
    }
    passes = {cut: ~np.logical_or.reduce(list(failures[cut].values())) for cut in QUALITY_CUTS}
    reasons = np.full(types.shape, "", dtype="<U24")
    for cut in reversed(QUALITY_CUTS):
        for name, fails in reversed(failures[cut].items()):
            reasons[fails] = name
    return passes, reasons


def _f64(columns: SweepColumns, name: str) -> FloatArray:
    return np.asarray(columns[name], dtype=np.float64)
