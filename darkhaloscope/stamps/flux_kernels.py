"""Sums over the footprints of arcs, compiled.

What a footprint is, is defined in ``lensing.snr``; what the sums are for, in
``flux_target``. Importing this module loads the compiler.
"""

from __future__ import annotations

import numpy as np

from darkhaloscope.lensing.jit import compiled
from darkhaloscope.lensing.snr import FOOTPRINT_FRACTION


@compiled(
    "void(float32[:, :, :, ::1], float32[:, :, :, ::1], uint8[:, :, :, ::1], int64[::1], float64[::1], int64,"
    " float64[:, ::1])"
)
def sum_footprints(arcs, invvar, good, hosts, sky, band, sums):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add to ``sums[:, i]`` light, variance and variance of the light of arc i; see ``footprint_sums``."""
    height, width = arcs.shape[2], arcs.shape[3]
    for i in range(arcs.shape[0]):
        arc, weight, use = arcs[i, band], invvar[hosts[i], band], good[hosts[i], band]
        peak = np.float32(0.0)
        for y in range(height):
            for x in range(width):
                peak = max(peak, arc[y, x])
        limit = FOOTPRINT_FRACTION * np.float64(peak)
        for y in range(height):
            for x in range(width):
                light = np.float64(arc[y, x])
                if light > limit and use[y, x] != 0 and weight[y, x] > 0.0:
                    variance = 1.0 / np.float64(weight[y, x])
                    sums[0, i] += light
                    sums[1, i] += variance
                    sums[2, i] += light * variance / sky[i]
