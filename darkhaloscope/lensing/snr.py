"""Signal-to-noise of an arc: four estimators, each with its own name.

All take the noiseless arc ``a`` (nMgy/px) and the inverse variance of the image
(1/nMgy^2), the last two axes being (y, x), and return one value per image over
the leading axes. Pixels with zero inverse variance, or outside ``good``, count
for nothing. Pixels are taken as independent; neighbouring coadd pixels are
correlated by 0.1 to 0.4, so extended arcs are somewhat less significant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FOOTPRINT_FRACTION = 0.1
"""The footprint of an arc is where it exceeds this fraction of its brightest pixel."""


def _prepare(arc: Any, invvar: Any, good: Any | None) -> tuple[FloatArray, FloatArray, BoolArray]:
    arc, invvar = np.broadcast_arrays(np.asarray(arc, dtype=np.float64), np.asarray(invvar, dtype=np.float64))
    usable = invvar > 0.0
    if good is not None:
        usable = usable & np.asarray(good, dtype=bool)
    return arc, invvar, usable


def _sum_over_root_variance(arc: FloatArray, invvar: FloatArray, where: BoolArray) -> FloatArray:
    variance = np.divide(1.0, invvar, out=np.zeros_like(invvar), where=where).sum(axis=(-2, -1))
    signal = np.where(where, arc, 0.0).sum(axis=(-2, -1))
    ratio = np.divide(signal, np.sqrt(variance), out=np.zeros_like(signal), where=variance > 0.0)
    return np.asarray(ratio)


def matched(arc: Any, invvar: Any, good: Any | None = None) -> FloatArray:
    """Return sqrt(sum a^2 ivar): what a filter of the arc's own shape attains, the upper limit.

    Parameters
    ----------
    arc, invvar : array_like, shape (..., H, W)
        Noiseless arc and inverse variance.
    good : array_like of bool, optional
        Pixels to use.
    """
    arc, invvar, usable = _prepare(arc, invvar, good)
    return np.asarray(np.sqrt(np.where(usable, arc * arc * invvar, 0.0).sum(axis=(-2, -1))))


def footprint_mask(arc: Any, fraction: float = FOOTPRINT_FRACTION) -> BoolArray:
    """Return where the arc exceeds ``fraction`` of its brightest pixel; empty if there is no light."""
    arc = np.asarray(arc, dtype=np.float64)
    peak = arc.max(axis=(-2, -1), keepdims=True)
    return np.asarray((arc > fraction * peak) & (peak > 0.0))


def footprint(
    arc: Any, invvar: Any, good: Any | None = None, *, fraction: float = FOOTPRINT_FRACTION
) -> FloatArray:
    """Return sum a / sqrt(sum 1/ivar) over the good pixels of the arc's footprint: aperture photometry."""
    arc, invvar, usable = _prepare(arc, invvar, good)
    return _sum_over_root_variance(arc, invvar, usable & footprint_mask(arc, fraction))


def stamp(arc: Any, invvar: Any, good: Any | None = None) -> FloatArray:
    """Return sum a / sqrt(sum 1/ivar) over the whole stamp.

    One of the predecessor's two: the empty part of the stamp dilutes it, so it
    falls with the stamp size.
    """
    arc, invvar, usable = _prepare(arc, invvar, good)
    return _sum_over_root_variance(arc, invvar, usable)


def brightest_pixel(arc: Any, invvar: Any, good: Any | None = None) -> FloatArray:
    """Return the largest a sqrt(ivar) of a single pixel: the predecessor's other one."""
    arc, invvar, usable = _prepare(arc, invvar, good)
    return np.asarray(np.where(usable, arc * np.sqrt(invvar), 0.0).max(axis=(-2, -1)))
