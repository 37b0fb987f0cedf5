"""Size and shape of a galaxy's light: growth curve, concentration, clumpiness.

Numbers from one image of masked light and its centre. How the light is masked
is decided in ``template``, which galaxies are kept in ``selection``.

References
----------
Conselice 2003 (ApJS 147, 1) for concentration and clumpiness of the CAS system;
Bershady, Jangren & Conselice 2000 (AJ 119, 2645) for the radii.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float64]

PETROSIAN_PER_HLR = 2.16
"""Petrosian radius (eta = 0.2) of an exponential disc in half-light radii (Graham et al. 2005)."""

CLUMP_WIDTH, CORE_RADIUS = 0.3, 0.05
"""Smoothing length of the clumpiness and radius left out at the centre, in Petrosian radii:
Conselice (2003) uses 1.5 r_P / 5 and 1/20 of his outer radius 1.5 r_P."""

_SPLIT = 3
_BINS_PER_PX = 4


def light_radii_px(
    image: FloatArray, centre: tuple[float, float], fractions: Sequence[float]
) -> tuple[float, ...]:
    """Return the radii of the circles about ``centre`` that hold given shares of the flux.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Masked, sky-subtracted light; its sum is the total flux.
    centre : (x, y)
        In pixels.
    fractions : sequence of float
        Shares in (0, 1).

    Returns
    -------
    tuple of float
        In pixels, interpolated on the growth curve with pixels split into
        3 x 3; NaN if the total flux is not positive.
    """
    fine = np.repeat(np.repeat(image, _SPLIT, axis=0), _SPLIT, axis=1) / _SPLIT**2
    x0, y0 = ((value + 0.5) * _SPLIT - 0.5 for value in centre)
    y, x = np.ogrid[: fine.shape[0], : fine.shape[1]]
    bins = np.rint(np.hypot(x - x0, y - y0) * (_BINS_PER_PX / _SPLIT)).astype(np.int64).ravel()
    growth = np.cumsum(np.bincount(bins, weights=fine.ravel()))
    total = growth[-1]
    if not total > 0.0:
        return tuple(float("nan") for _ in fractions)
    radii = []
    for fraction in fractions:
        reached = int(np.argmax(growth >= fraction * total))
        before = growth[reached - 1] if reached else 0.0
        within = (fraction * total - before) / (growth[reached] - before)
        radii.append(float(max(0.0, reached - 0.5 + within) / _BINS_PER_PX))
    return tuple(radii)


def half_light_radius_px(image: FloatArray, centre: tuple[float, float]) -> float:
    """Return the radius of the circle about ``centre`` that holds half the flux."""
    return light_radii_px(image, centre, (0.5,))[0]


def concentration(r20_px: float, r80_px: float) -> float:
    """Return C = 5 log10(r80 / r20) (Bershady et al. 2000): 2.8 for an exponential disc."""
    return float(5.0 * np.log10(r80_px / r20_px)) if r20_px > 0.0 else float("nan")


def clumpiness(
    image: FloatArray, *, centre: tuple[float, float], hlr_px: float, sky_per_px: float = 0.0
) -> float:
    """Return the share of the light in structures smaller than 0.3 Petrosian radii, times ten.

    S = 10 [sum(max(I - I_s, 0)) - n B] / sum(I) (Conselice 2003), with I_s the
    image smoothed over 0.3 r_P, n the pixels used, the core left out, and B what
    the sky's own noise adds to a pixel.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Sky-subtracted light; zero outside the galaxy.
    centre : (x, y)
        In pixels.
    hlr_px : float
        Half-light radius; r_P is ``PETROSIAN_PER_HLR`` times that.
    sky_per_px : float
        Mean of max(N - N_s, 0) over pixels N of sky, same units.

    Returns
    -------
    float
        May be slightly negative for a smooth galaxy.
    """
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    outside_core = np.hypot(x - centre[0], y - centre[1]) > CORE_RADIUS * PETROSIAN_PER_HLR * hlr_px
    used = outside_core & (image != 0.0)
    residual = np.maximum(high_pass(image, hlr_px)[used], 0.0)
    return float(10.0 * (residual.sum() - residual.size * sky_per_px) / image[used].sum())


def high_pass(image: FloatArray, hlr_px: float) -> FloatArray:
    """Return an image less itself smoothed over 0.3 Petrosian radii."""
    width_px = CLUMP_WIDTH * PETROSIAN_PER_HLR * hlr_px
    return np.asarray(image - ndimage.gaussian_filter(image, width_px), dtype=np.float64)
