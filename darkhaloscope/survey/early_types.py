"""Colours of early-type galaxies against redshift, in the survey's bands.

What follows from a galaxy's colours is in ``stamps.lens_hosts``; the mock sky
gives its galaxies redshifts by the same track.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRACK_Z = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.3)
TRACK_G_R_MAG = (0.75, 1.00, 1.37, 1.56, 1.77, 1.80, 1.78, 1.78, 1.78, 1.75, 1.75, 1.75)
TRACK_R_Z_MAG = (0.60, 0.70, 0.78, 0.86, 0.96, 1.14, 1.34, 1.55, 1.81, 1.95, 2.05, 2.25)
"""Colours (AB, corrected for Galactic dust) of early-type lens galaxies against redshift: medians in bins of
0.1 of 403 galaxies with spectra among the known lenses of Stein et al. (2022, ApJ 932, 107), in Legacy
Surveys photometry; below 0.2 and above 0.8 from their photometric redshifts, extrapolated beyond 1."""


def redshift_of_r_z(r_z_mag: ArrayLike) -> NDArray[np.float64]:
    """Return the redshift at which the track has an r - z, between its ends.

    Parameters
    ----------
    r_z_mag : array_like, shape (n,)
        AB, corrected for Galactic dust.
    """
    return np.interp(np.asarray(r_z_mag, dtype=np.float64), TRACK_R_Z_MAG, TRACK_Z)
