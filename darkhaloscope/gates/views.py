"""What one view of a stamp shows to a simple eye: apertures, core, brightness, radial profile.

Functions of images alone. Which stamps are looked at, and in which views, is
``features``; what a classifier makes of the numbers is the gates' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.schema import BANDS

FloatArray = NDArray[np.float64]

SMALL_APERTURE_PX = 4.0
CORE_PX = 10.0
"""Radius of the predecessor's core, 2.62 arcsec."""
BRIGHTNESS_PX = 8.0
OUTER_PX = 16.0
PROFILE_PX = 32.0
PROFILE_BIN_PX = 2.0
"""The radial profile reaches to the edge of the stamp in annuli of two pixels."""

CORE_STATISTICS = ("mean", "sd", "median", "max", "min", "q25", "q75")

_SQUARE_PX = 1.0


@dataclass(frozen=True)
class Features:
    """What one view shows of n stamps.

    Parameters
    ----------
    apertures : ndarray, shape (n, 2, 3)
        Flux within 4 and 10 px, per band.
    core : ndarray, shape (n, 21)
        Seven statistics of r < 10 px, per band.
    brightness_r : ndarray, shape (n,)
        Mean of the r band within 8 px.
    profile : ndarray, shape (n, 3, k)
        Median of each annulus of 2 px within 32 px, per band.
    """

    apertures: FloatArray
    core: FloatArray
    brightness_r: FloatArray
    profile: FloatArray

    @classmethod
    def joined(cls, parts: Iterable[Features]) -> Features:
        """Return the features of several batches as one."""
        every = list(parts)
        return cls(*(np.concatenate([getattr(part, f.name) for part in every]) for f in fields(cls)))


def view_features(linear: NDArray[Any], seen: NDArray[Any]) -> Features:
    """Take every number of one view.

    Parameters
    ----------
    linear : ndarray, shape (n, 3, size, size)
        The view before clipping: apertures and brightness ask how much light
        there is, and a clip would let them feel how concentrated it is.
    seen : ndarray, shape (n, 3, size, size)
        The view as it is: core statistics and profile may ask anything.
    """
    return Features(aperture_flux(linear), _core(seen), brightness_of(linear), radial_medians(seen))


def aperture_flux(images: NDArray[Any]) -> FloatArray:
    """Return the flux within 4 and 10 px per band, shape (n, 2, 3)."""
    n, bands, size, _ = images.shape
    inner = images.reshape(n, bands, size * size)[:, :, disc(size, CORE_PX)]
    small = np.isin(disc(size, CORE_PX), disc(size, SMALL_APERTURE_PX))
    sums = [inner[:, :, small].sum(axis=2, dtype=np.float64), inner.sum(axis=2, dtype=np.float64)]
    return np.asarray(np.stack(sums, axis=1))


def brightness_of(images: NDArray[Any]) -> FloatArray:
    """Return the mean r band within 8 px of each image, shape (n,)."""
    n, _, size, _ = images.shape
    plane = images[:, BANDS.index("r")].reshape(n, size * size)
    return np.asarray(plane[:, disc(size, BRIGHTNESS_PX)].mean(axis=1, dtype=np.float64))


def radial_medians(images: NDArray[Any]) -> FloatArray:
    """Return the median of each annulus of 2 px within 32 px, shape (n, 3, k).

    k is 16 for stamps of 64 px and less where the stamp ends earlier.
    """
    n, bands, size, _ = images.shape
    by_radius, edges = _annuli(size)
    light = images.reshape(n, bands, size * size)[:, :, by_radius]
    medians = np.empty((n, bands, len(edges) - 1))
    for k, (start, stop) in enumerate(pairwise(edges)):
        half = (stop - start) // 2
        annulus = light[:, :, start:stop]
        annulus.partition(half, axis=2)
        upper = annulus[:, :, half]
        if (stop - start) % 2:
            medians[:, :, k] = upper
        else:
            medians[:, :, k] = 0.5 * (annulus[:, :, :half].max(axis=2) + upper.astype(np.float64))
    return medians


def aperture_magnitudes(flux: FloatArray) -> FloatArray:
    """Return asinh fluxes, softened at a tenth of the median of each column.

    So a band without light gives a number (Lupton, Gunn & Szalay 1999, AJ 118, 1406).
    """
    return np.arcsinh(flux / (0.1 * _typical(flux)))


def aperture_table(features: Features) -> FloatArray:
    """Return fluxes, asinh fluxes and colours of the apertures as columns, shape (n, 16)."""
    flux = features.apertures
    magnitude = aperture_magnitudes(flux)
    colours = magnitude[:, :, :-1] - magnitude[:, :, 1:]
    n = len(flux)
    return np.concatenate(
        [(flux / _typical(flux)).reshape(n, -1), magnitude.reshape(n, -1), colours.reshape(n, -1)], 1
    )


def colour_table(features: Features) -> FloatArray:
    """Return g-r and r-z within 4 px, within 10 px and between them, shape (n, 6).

    Colours in asinh fluxes, so that they exist where a band holds no light.
    """
    small, core = features.apertures[:, 0], features.apertures[:, 1]
    magnitude = aperture_magnitudes(np.stack([small, core, core - small], axis=1))
    return np.asarray((magnitude[:, :, :-1] - magnitude[:, :, 1:]).reshape(len(small), -1))


def core_colours_mag(features: Features) -> FloatArray:
    """Return g-r and r-z within 10 px, shape (n, 2); NaN where a band holds no light. Unit: mag.

    In a normalised view the zero points are those of its noise, not of the sky.
    """
    flux = features.apertures[:, 1]
    magnitude = -2.5 * np.log10(flux, out=np.full_like(flux, np.nan), where=flux > 0.0)
    return np.asarray(magnitude[:, :-1] - magnitude[:, 1:])


def core_table(features: Features) -> FloatArray:
    """Return the core statistics as columns of asinh light, shape (n, 21)."""
    return np.arcsinh(features.core / (0.1 * _typical(features.core)))


def profile_table(features: Features) -> FloatArray:
    """Return the radial profile as columns of asinh light, shape (n, 3 k)."""
    flat = features.profile.reshape(len(features.profile), -1)
    scatter = np.median(np.abs(flat - np.median(flat, axis=0)), axis=0)
    return np.asarray(np.arcsinh(flat / np.where(scatter > 0.0, scatter, 1.0)))


@lru_cache(maxsize=16)
def disc(size: int, radius_px: float) -> NDArray[np.intp]:
    """Return the flat indices of the pixels within a radius of the stamp's centre."""
    return np.flatnonzero(_radius_px(size) < radius_px)


@lru_cache(maxsize=16)
def beyond(size: int, radius_px: float) -> NDArray[np.intp]:
    """Return the flat indices of the pixels outside a radius about the stamp's centre."""
    return np.flatnonzero(_radius_px(size) > radius_px)


def _core(images: NDArray[Any]) -> FloatArray:
    n, bands, size, _ = images.shape
    inner = images.reshape(n, bands, size * size)[:, :, disc(size, CORE_PX)]
    quartiles = np.percentile(inner, [50.0, 25.0, 75.0], axis=2)
    statistics = np.stack(
        [
            inner.mean(axis=2, dtype=np.float64),
            inner.std(axis=2, dtype=np.float64),
            quartiles[0],
            inner.max(axis=2),
            inner.min(axis=2),
            quartiles[1],
            quartiles[2],
        ],
        axis=2,
    )
    return np.asarray(statistics.reshape(n, bands * len(CORE_STATISTICS)), dtype=np.float64)


def _typical(flux: FloatArray) -> FloatArray:
    scale = np.median(np.abs(flux), axis=0)
    return np.asarray(np.where(scale > 0.0, scale, 1.0))


def _radius_px(size: int) -> FloatArray:
    return StampGeometry(size, _SQUARE_PX).radius_px().ravel()


@lru_cache(maxsize=16)
def _annuli(size: int) -> tuple[NDArray[np.intp], list[int]]:
    """Return pixel indices sorted by annulus, and where each annulus begins and ends among them."""
    radius = _radius_px(size)
    annulus = np.floor(radius / PROFILE_BIN_PX).astype(np.intp)
    count = round(min(PROFILE_PX, size / 2.0) / PROFILE_BIN_PX)
    order = np.argsort(annulus, kind="stable")
    edges = np.searchsorted(annulus[order], np.arange(count + 1))
    return order[: edges[-1]], edges.tolist()
