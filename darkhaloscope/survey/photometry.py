"""Fluxes to magnitudes, Galactic extinction, and the two units of depth, converted once at the door.

Sweeps state PSFDEPTH as an inverse variance, brick tables as a magnitude. The
types keep them apart and the range check catches a column of the other unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NewType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe

FloatArray = NDArray[np.float64]

DepthIvar = NewType("DepthIvar", FloatArray)
"""Point-source flux inverse variance, 1/nMgy^2."""

DepthMag = NewType("DepthMag", FloatArray)
"""5-sigma point-source depth, AB mag; NaN where there is no coverage."""

EXTINCTION_PER_EBV: Mapping[str, float] = MappingProxyType(
    {
        "g": 3.214,
        "r": 2.165,
        "i": 1.592,
        "z": 1.211,
        "w1": 0.184,
        "w2": 0.113,
        "w3": 0.0241,
        "w4": 0.0091,
    }
)
"""A / E(B-V) by band for SFD98 (Legacy Surveys DR10, after Schlafly & Finkbeiner 2011, ApJ 737, 103)."""

DEPTH_RANGE_MAG = (15.0, 30.0)
"""No survey of this kind is shallower or deeper."""


def magnitude(flux_nmgy: ArrayLike) -> FloatArray:
    """Return AB magnitudes, m = 22.5 - 2.5 log10(f), NaN where the flux is not positive.

    Parameters
    ----------
    flux_nmgy : array_like, shape (n,)
        Flux in nanomaggies.
    """
    flux = np.asarray(flux_nmgy, dtype=np.float64)
    mag = np.full(flux.shape, np.nan)
    positive = flux > 0.0
    mag[positive] = 22.5 - 2.5 * np.log10(flux[positive])
    return mag


def depth_mag_from_ivar(ivar: DepthIvar, *, file: str | Path, field: str) -> DepthMag:
    """Convert sweep PSFDEPTH to a magnitude, 22.5 - 2.5 log10(5 / sqrt(ivar)).

    Parameters
    ----------
    ivar : DepthIvar, shape (n,)
        0 means no coverage.
    file, field : str
        For the message.

    Returns
    -------
    DepthMag, shape (n,)

    Raises
    ------
    DataError
        If a depth leaves 15 to 30 mag: the column is not an inverse variance.
    """
    values = np.asarray(ivar, dtype=np.float64)
    depth = np.full(values.shape, np.nan)
    covered = values > 0.0
    depth[covered] = 22.5 - 2.5 * np.log10(5.0 / np.sqrt(values[covered]))
    return checked_depth_mag(depth, file=file, field=field)


def checked_depth_mag(depth_mag: ArrayLike, *, file: str | Path, field: str) -> DepthMag:
    """Accept magnitudes of a brick table: 0 and NaN mean no coverage.

    Raises
    ------
    DataError
        If a depth leaves 15 to 30 mag: the column is not a magnitude.
    """
    depth = np.array(depth_mag, dtype=np.float64)
    depth[(depth == 0.0) | ~np.isfinite(depth)] = np.nan
    low, high = DEPTH_RANGE_MAG
    wrong = np.flatnonzero((depth < low) | (depth > high))
    if wrong.size:
        raise DataError(
            describe(
                "Depth out of range",
                file=file,
                field=field,
                row=int(wrong[0]),
                expected=f"{low} to {high} mag",
                got=f"{depth[wrong[0]]:.4g} ({wrong.size} rows)",
                hint="sweeps hold 1/nMgy^2, brick tables hold magnitudes",
            )
        )
    return DepthMag(depth)


def sky_nmgy_per_px(sky_mag_arcsec2: ArrayLike, pixel_scale_arcsec: float) -> FloatArray:
    """Return sky brightness per pixel, 10^((22.5 - mu)/2.5) x pixel area.

    Parameters
    ----------
    sky_mag_arcsec2 : array_like
        AB mag per square arcsecond.
    pixel_scale_arcsec : float
        Side of a pixel.
    """
    mu = np.asarray(sky_mag_arcsec2, dtype=np.float64)
    level: FloatArray = 10.0 ** ((22.5 - mu) / 2.5) * pixel_scale_arcsec**2
    return level
