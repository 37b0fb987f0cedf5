"""How light is spread around a galaxy, compiled: the loop behind ``light.light_radii_px``."""

from __future__ import annotations

import math

import numpy as np

from darkhaloscope.lensing.native import native


@native("void(float32[:, :, ::1], float64[:, ::1], float64, float64[:, ::1])")
def sum_annuli(light, offset_px, bins_per_px, sums):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Sum the light of every annulus about the galaxy; negative pixels count as none.

    Parameters
    ----------
    light : float32, shape (n, size, size)
        Any unit.
    offset_px : float64, shape (n, 2)
        Galaxy minus stamp centre, x and y.
    bins_per_px : float64
        Annuli per pixel.
    sums : float64, shape (n, annuli)
        Output; what lies beyond the last annulus is counted in it.
    """
    n, size = light.shape[0], light.shape[1]
    annuli, centre = sums.shape[1], (size - 1) / 2.0
    for i in range(n):
        for k in range(annuli):
            sums[i, k] = 0.0
        for y in range(size):
            dy = y - centre - offset_px[i, 1]
            for x in range(size):
                dx = x - centre - offset_px[i, 0]
                annulus = min(np.int64(math.sqrt(dx * dx + dy * dy) * bins_per_px), annuli - 1)
                value = np.float64(light[i, y, x])
                sums[i, annulus] += max(0.0, value)
