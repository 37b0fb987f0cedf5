"""Colours of galaxies against redshift: four templates through the survey's bands.

Numbers only. They are written by ``python -m docs.make_colour_tracks`` from
the spectra E, Sbc, Scd and Im of Coleman, Wu & Weedman (1980, ApJS 43, 393),
extended by Bolzonella, Miralles & Pello (2000) and distributed with GalSim,
the DECam throughputs of Abbott et al. (2018, ApJS 239, 18), and the mean
intergalactic absorption of Madau (1995, ApJ 441, 18). What galaxies are of which
type is decided in ``colours``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

TEMPLATES = ("E", "Sbc", "Scd", "Im")
"""From old to young."""

REDSHIFT_STEP = 0.1

G_R_MAG = (
    (
        0.79, 0.98, 1.30, 1.64, 1.90, 1.86, 1.81, 1.88, 2.02, 2.35, 2.51, 2.48, 2.21, 1.82, 1.49, 1.17,
        0.95, 0.83, 0.81, 0.83, 0.82, 0.79, 0.72, 0.64, 0.57, 0.49, 0.43, 0.38, 0.35, 0.33, 0.34, 0.38,
        0.45, 0.55, 0.68, 0.84, 0.93, 1.01, 1.09, 1.20, 1.33,
    ),
    (
        0.51, 0.59, 0.77, 0.99, 1.24, 1.40, 1.43, 1.37, 1.21, 1.04, 0.89, 0.75, 0.65, 0.60, 0.56, 0.53,
        0.51, 0.49, 0.47, 0.45, 0.42, 0.38, 0.33, 0.30, 0.28, 0.25, 0.22, 0.21, 0.22, 0.26, 0.32, 0.42,
        0.55, 0.70, 0.88, 1.07, 1.16, 1.26, 1.36, 1.48, 1.62,
    ),
    (
        0.38, 0.47, 0.65, 0.84, 1.02, 1.10, 1.04, 0.95, 0.82, 0.70, 0.58, 0.49, 0.39, 0.31, 0.25, 0.22,
        0.20, 0.20, 0.21, 0.22, 0.23, 0.22, 0.21, 0.21, 0.21, 0.21, 0.19, 0.19, 0.22, 0.26, 0.32, 0.42,
        0.54, 0.70, 0.88, 1.07, 1.16, 1.26, 1.36, 1.47, 1.62,
    ),
    (
        0.20, 0.23, 0.41, 0.56, 0.70, 0.75, 0.70, 0.60, 0.47, 0.34, 0.22, 0.17, 0.15, 0.13, 0.14, 0.15,
        0.16, 0.19, 0.21, 0.24, 0.26, 0.27, 0.28, 0.29, 0.31, 0.32, 0.32, 0.33, 0.34, 0.35, 0.39, 0.45,
        0.54, 0.67, 0.84, 1.02, 1.10, 1.18, 1.27, 1.39, 1.54,
    ),
)  # fmt: skip
"""g - r (AB) of each template at z = 0, 0.1, ... 4."""

R_Z_MAG = (
    (
        0.64, 0.67, 0.76, 0.87, 1.01, 1.24, 1.56, 1.81, 2.09, 2.16, 2.26, 2.31, 2.36, 2.45, 2.59, 2.70,
        2.90, 3.02, 2.93, 2.78, 2.60, 2.38, 2.13, 1.93, 1.69, 1.44, 1.22, 1.06, 0.97, 0.96, 0.97, 0.99,
        0.98, 0.95, 0.90, 0.83, 0.74, 0.69, 0.66, 0.64, 0.63,
    ),
    (
        0.65, 0.63, 0.61, 0.61, 0.64, 0.72, 0.89, 1.06, 1.28, 1.48, 1.63, 1.73, 1.75, 1.69, 1.58, 1.45,
        1.31, 1.17, 1.06, 0.94, 0.84, 0.77, 0.73, 0.70, 0.67, 0.65, 0.64, 0.63, 0.61, 0.58, 0.55, 0.51,
        0.47, 0.43, 0.40, 0.36, 0.33, 0.32, 0.34, 0.37, 0.40,
    ),
    (
        0.34, 0.38, 0.39, 0.42, 0.47, 0.59, 0.73, 0.89, 1.08, 1.22, 1.29, 1.30, 1.28, 1.23, 1.12, 0.99,
        0.88, 0.76, 0.68, 0.60, 0.52, 0.44, 0.38, 0.33, 0.29, 0.27, 0.26, 0.27, 0.27, 0.27, 0.27, 0.27,
        0.25, 0.25, 0.24, 0.23, 0.22, 0.23, 0.27, 0.32, 0.37,
    ),
    (
        0.44, 0.41, 0.32, 0.27, 0.24, 0.34, 0.39, 0.54, 0.73, 0.83, 0.89, 0.85, 0.83, 0.80, 0.69, 0.56,
        0.46, 0.31, 0.26, 0.22, 0.19, 0.17, 0.17, 0.17, 0.18, 0.19, 0.21, 0.23, 0.25, 0.27, 0.29, 0.32,
        0.33, 0.33, 0.33, 0.33, 0.32, 0.36, 0.40, 0.45, 0.50,
    ),
)  # fmt: skip
"""r - z (AB) of each template."""

K_Z_TO_R_MAG = (
    -0.640, -0.556, -0.510, -0.477, -0.412, -0.342, -0.267, -0.143, -0.061, 0.040, 0.180, 0.396, 0.686,
    1.023, 1.269, 1.551,
)  # fmt: skip
"""m_z - M_r - distance modulus of the template E at z = 0, 0.1, ... 1.5: the K-correction from
observed z to r in the rest frame (Hogg et al. 2002, astro-ph/0210394, eq. 8), best known near z = 0.45,
where the two bands coincide."""

_GRID = REDSHIFT_STEP * np.arange(len(G_R_MAG[0]))


def template_colours(template: ArrayLike, z: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return g - r and r - z of templates at redshifts.

    Parameters
    ----------
    template : array_like of int, shape (n,)
        Index into ``TEMPLATES``.
    z : array_like, shape (n,)
        Redshift; above 4, where the table ends, the colours are those of 4.

    Returns
    -------
    tuple of ndarray, shape (n,)
        AB magnitudes, interpolated linearly.
    """
    template, z = np.broadcast_arrays(np.asarray(template), np.asarray(z, dtype=np.float64))
    g_r, r_z = np.empty(z.shape), np.empty(z.shape)
    for index in range(len(TEMPLATES)):
        mine = template == index
        g_r[mine] = np.interp(z[mine], _GRID, G_R_MAG[index])
        r_z[mine] = np.interp(z[mine], _GRID, R_Z_MAG[index])
    return g_r, r_z


def k_correction_z_to_r(z: ArrayLike) -> FloatArray:
    """Return the K-correction of an old galaxy from observed z to rest-frame r, z < 1.5."""
    grid = REDSHIFT_STEP * np.arange(len(K_Z_TO_R_MAG))
    return np.asarray(np.interp(np.asarray(z, dtype=np.float64), grid, K_Z_TO_R_MAG))
