r"""Elliptical power law: deflection and convergence of any slope.

Convergence, in the normalisation of lenstronomy's ``EPL`` (x along the major
axis): :math:`\kappa = \frac{3-\gamma}{2}\left(\theta_E / \sqrt{q x^2 + y^2/q}\right)^{\gamma-1}`.
Slope gamma = 2 is the SIE of ``sie``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.sie import from_lens_frame, to_lens_frame

FloatArray = NDArray[np.float64]

SLOPE_RANGE = (1.2, 2.8)
"""Three-dimensional logarithmic slopes the room supports; 2 is isothermal."""

_SERIES_TOLERANCE = 1e-15


def deflection(
    x_arcsec: Any, y_arcsec: Any, *, theta_e_arcsec: float, q: float, phi_rad: float, slope: float
) -> tuple[FloatArray, FloatArray]:
    r"""Return the deflection angle of an elliptical power law at the origin.

    Tessore & Metcalf 2015, eq. 13, with their b here :math:`\theta_E\sqrt q`,
    :math:`t = \gamma - 1`, and the elliptical radius and angle
    :math:`R\,e^{i\varphi} = q x + i y`:

    .. math::
        \alpha_x + i\alpha_y = \frac{2b}{1+q}\left(\frac bR\right)^{t-1}\sum_{n\ge 0}\Omega_n,\qquad
        \Omega_0 = e^{i\varphi},\quad
        \Omega_n = -f\,\frac{2n - (2-t)}{2n + (2-t)}\,e^{2i\varphi}\,\Omega_{n-1},\quad
        f = \frac{1-q}{1+q}

    (their eqs. 23 to 29). Terms shrink at least as f^n: 85 of them at q = 0.2.

    Parameters
    ----------
    x_arcsec, y_arcsec : array_like
        Position relative to the deflector. Unit: arcsec.
    theta_e_arcsec : float
        Einstein radius on the intermediate axis. Unit: arcsec.
    q : float
        Axis ratio, minor over major, in (0, 1].
    phi_rad : float
        Position angle of the major axis from +x towards +y. Unit: rad.
    slope : float
        Three-dimensional slope gamma, in (1, 3).

    Returns
    -------
    alpha_x, alpha_y : ndarray
        Unit: arcsec. Zero at the centre, where the deflection has no direction.
    """
    x, y = to_lens_frame(x_arcsec, y_arcsec, phi_rad)
    t = slope - 1.0
    b = theta_e_arcsec * math.sqrt(q)
    f = (1.0 - q) / (1.0 + q)
    z = q * np.asarray(x) + 1j * np.asarray(y)
    radius = np.abs(z)
    safe = np.where(radius > 0.0, radius, 1.0)
    direction = z / safe
    term, total, turn = direction, direction.copy(), -f * direction**2
    n_terms = math.ceil(math.log(_SERIES_TOLERANCE) / math.log(f)) if f > 0.0 else 0
    for n in range(1, n_terms + 1):
        term = term * turn * ((2.0 * n - 2.0 + t) / (2.0 * n + 2.0 - t))
        total += term
    alpha = 2.0 * b / (1.0 + q) * (b / safe) ** (t - 1.0) * total
    return from_lens_frame(alpha.real, alpha.imag, phi_rad)


def convergence(
    x_arcsec: Any, y_arcsec: Any, *, theta_e_arcsec: float, q: float, phi_rad: float, slope: float
) -> FloatArray:
    """Return the surface mass density in units of the critical one; arguments as in :func:`deflection`."""
    x, y = to_lens_frame(x_arcsec, y_arcsec, phi_rad)
    radius = np.sqrt(q * x * x + y * y / q)
    return np.asarray((3.0 - slope) / 2.0 * (theta_e_arcsec / radius) ** (slope - 1.0))
