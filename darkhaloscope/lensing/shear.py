"""External shear, centred on the deflector.

lenstronomy's ``SHEAR`` has the same components but is centred on (0, 0) unless
told otherwise; here the deflection vanishes at the deflector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def deflection(x_arcsec: Any, y_arcsec: Any, *, gamma1: Any, gamma2: Any) -> tuple[FloatArray, FloatArray]:
    """Return the deflection of a constant shear.

    alpha = (gamma1 x + gamma2 y, gamma2 x - gamma1 y).

    Parameters
    ----------
    x_arcsec, y_arcsec : array_like
        Position relative to the deflector. Unit: arcsec.
    gamma1, gamma2 : array_like
        Shear components; positive gamma1 stretches images along x.

    Returns
    -------
    alpha_x, alpha_y : ndarray
        Unit: arcsec.
    """
    x, y = np.asarray(x_arcsec, dtype=np.float64), np.asarray(y_arcsec, dtype=np.float64)
    return np.asarray(gamma1 * x + gamma2 * y), np.asarray(gamma2 * x - gamma1 * y)


def modulus(gamma1: Any, gamma2: Any) -> FloatArray:
    """Return sqrt(gamma1^2 + gamma2^2)."""
    return np.asarray(np.hypot(gamma1, gamma2))
