"""How far positions are from the nearest known object."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from darkhaloscope.survey.healpix import unit_vectors


def nearest_arcsec(
    ra_deg: ArrayLike, dec_deg: ArrayLike, known_ra_deg: ArrayLike, known_dec_deg: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the separation from the nearest known object, and which it is.

    Parameters
    ----------
    ra_deg, dec_deg : array_like, shape (n,)
        Positions, ICRS.
    known_ra_deg, known_dec_deg : array_like, shape (m,)
        Known objects, ICRS; m may be 0.

    Returns
    -------
    separation_arcsec : ndarray, shape (n,)
        On the sphere; infinite if there is no known object.
    index : ndarray of int, shape (n,)
        Of the known object; -1 if there is none.
    """
    ra, known = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(known_ra_deg, float))
    if known.size == 0 or ra.size == 0:
        return np.full(ra.size, np.inf), np.full(ra.size, -1, dtype=np.int64)
    tree = cKDTree(unit_vectors(known, np.atleast_1d(np.asarray(known_dec_deg, float))))
    distance, index = tree.query(unit_vectors(ra, np.atleast_1d(np.asarray(dec_deg, float))))
    separation = np.degrees(2.0 * np.arcsin(np.minimum(distance / 2.0, 1.0))) * 3600.0
    return separation, index.astype(np.int64)
