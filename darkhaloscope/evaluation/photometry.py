"""Flux of a galaxy on a stamp: the aperture and the sky are always named.

There is no mean over a whole stamp here: at 64 x 64 px it measures the sky.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.geometry import StampGeometry

APERTURE_RADIUS_PX = 8.0
"""Radius of the central aperture, 2.1 arcsec in DR10: the core of every host, and its arcs."""


def aperture_flux_nmgy(
    image: NDArray[Any],
    *,
    x_offset_px: float,
    y_offset_px: float,
    radius_px: float = APERTURE_RADIUS_PX,
) -> float:
    """Return the flux inside a circular aperture above the local sky.

    Parameters
    ----------
    image : ndarray, shape (size, size)
        nMgy/px.
    x_offset_px, y_offset_px : float
        Aperture centre minus stamp centre.
    radius_px : float
        Of the aperture; pixels count whole by their centre.

    Returns
    -------
    float
        Sum inside the aperture minus the number of its pixels times the sky: the
        median of all pixels farther than a quarter of the side from the centre.
        nMgy.
    """
    size = image.shape[-1]
    radius = StampGeometry(size, 1.0).radius_px(x_offset_px, y_offset_px)
    inside, outside = radius <= radius_px, radius > size / 4.0
    plane = np.asarray(image, dtype=np.float64)
    return float(plane[inside].sum() - inside.sum() * np.median(plane[outside]))


def aperture_mean_nmgy(image: NDArray[Any], *, x_offset_px: float, y_offset_px: float) -> float:
    """Return the mean surface brightness in the central aperture above the local sky, nMgy/px."""
    radius = StampGeometry(image.shape[-1], 1.0).radius_px(x_offset_px, y_offset_px)
    pixels = int((radius <= APERTURE_RADIUS_PX).sum())
    return aperture_flux_nmgy(image, x_offset_px=x_offset_px, y_offset_px=y_offset_px) / pixels
