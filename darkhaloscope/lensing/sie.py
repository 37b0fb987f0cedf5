"""Singular isothermal ellipsoid: deflection, convergence, and its parametrisation.

Convergence (Kormann, Schneider & Bartelmann 1994, eq. 21, in the normalisation
of lenstronomy's ``SIE``): kappa = (theta_E / 2) / sqrt(q x^2 + y^2 / q), with x
along the major axis. theta_E is the circularised (intermediate-axis) Einstein
radius; the normalisation on the major axis differs from it by sqrt(q).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Q_MIN = 0.2
"""Smallest axis ratio the room supports."""


def ellipticity_from_axis_ratio(q: Any, phi_rad: Any) -> tuple[FloatArray, FloatArray]:
    """Return (e1, e2) with modulus (1 - q) / (1 + q) and position angle ``phi_rad``."""
    q, phi_rad = np.asarray(q, dtype=np.float64), np.asarray(phi_rad, dtype=np.float64)
    modulus = (1.0 - q) / (1.0 + q)
    return modulus * np.cos(2.0 * phi_rad), modulus * np.sin(2.0 * phi_rad)


def axis_ratio_from_ellipticity(e1: Any, e2: Any) -> tuple[FloatArray, FloatArray]:
    """Return (q, phi_rad), phi in (-pi/2, pi/2], of an ellipticity with modulus (1 - q) / (1 + q)."""
    modulus = np.hypot(e1, e2)
    return np.asarray((1.0 - modulus) / (1.0 + modulus)), np.asarray(np.arctan2(e2, e1) / 2.0)


def to_lens_frame(x_arcsec: Any, y_arcsec: Any, phi_rad: Any) -> tuple[FloatArray, FloatArray]:
    """Rotate positions so that the major axis at ``phi_rad`` becomes the x axis."""
    cos, sin = np.cos(phi_rad), np.sin(phi_rad)
    return cos * x_arcsec + sin * y_arcsec, cos * y_arcsec - sin * x_arcsec


def from_lens_frame(x_arcsec: Any, y_arcsec: Any, phi_rad: Any) -> tuple[FloatArray, FloatArray]:
    """Undo :func:`to_lens_frame`."""
    cos, sin = np.cos(phi_rad), np.sin(phi_rad)
    return cos * x_arcsec - sin * y_arcsec, sin * x_arcsec + cos * y_arcsec


def arctan_over_argument(square: Any) -> FloatArray:
    """Return atan(t) / t for t = sqrt(square), 1 at 0."""
    root = np.sqrt(np.maximum(square, 1e-300))
    return np.asarray(np.arctan(root) / root)


def arctanh_over_argument(square: Any) -> FloatArray:
    """Return atanh(t) / t for t = sqrt(square), 1 at 0."""
    root = np.sqrt(np.maximum(square, 1e-300))
    return np.asarray(np.arctanh(root) / root)


def deflection(
    x_arcsec: Any, y_arcsec: Any, *, theta_e_arcsec: Any, q: Any, phi_rad: Any
) -> tuple[FloatArray, FloatArray]:
    r"""Return the deflection angle of an SIE at the origin.

    With :math:`b = \theta_E\sqrt q`, :math:`f = \sqrt{1 - q^2}`,
    :math:`\psi = \sqrt{q^2x^2 + y^2}` and :math:`r = \sqrt{x^2 + y^2}` in the frame of
    the major axis, the textbook form (Keeton 2001, eq. 3.25, core radius 0) is
    :math:`\alpha_x = (b/f)\,\mathrm{atan}(fx/\psi)`,
    :math:`\alpha_y = (b/f)\,\mathrm{atanh}(fy/\psi)`. Half-angle identities bound both
    arguments by sqrt((1 - q) / (1 + q)):

    .. math::
        \alpha_x = 2b\,u\,\frac{\mathrm{atan}(fu)}{fu},\ u = \frac{x}{\psi + r};\qquad
        \alpha_y = 2b\,v\,\frac{\mathrm{atanh}(fv)}{fv},\ v = \frac{y}{\psi + qr}.

    No division by f is left, so q = 1 is exact.

    Parameters
    ----------
    x_arcsec, y_arcsec : array_like
        Position relative to the deflector. Unit: arcsec.
    theta_e_arcsec : array_like
        Einstein radius on the intermediate axis. Unit: arcsec.
    q : array_like
        Axis ratio, minor over major, in (0, 1].
    phi_rad : array_like
        Position angle of the major axis from +x towards +y. Unit: rad.

    Returns
    -------
    alpha_x, alpha_y : ndarray
        Deflection; source position = position - deflection. Unit: arcsec. Zero at the centre.
    """
    x, y = to_lens_frame(x_arcsec, y_arcsec, phi_rad)
    q = np.asarray(q, dtype=np.float64)
    radius = np.hypot(x, y)
    psi = np.hypot(q * x, y)
    tiny = 1e-300
    u = x / (psi + radius + tiny)
    v = y / (psi + q * radius + tiny)
    f_squared = 1.0 - q * q
    b = np.asarray(theta_e_arcsec) * np.sqrt(q)
    alpha_x = 2.0 * b * u * arctan_over_argument(f_squared * u * u)
    alpha_y = 2.0 * b * v * arctanh_over_argument(f_squared * v * v)
    return from_lens_frame(alpha_x, alpha_y, phi_rad)


def maximum_deflection(*, theta_e_arcsec: Any, q: Any) -> FloatArray:
    """Return the largest modulus of the deflection.

    The deflection of an isothermal lens does not depend on radius. Along the
    axes its modulus is (b/f) atan(f/q) and (b/f) atanh(f), and in no direction
    is it larger than the greater of the two. Unit: arcsec.
    """
    q = np.asarray(q, dtype=np.float64)
    argument = (1.0 - q) / (1.0 + q)
    b = np.asarray(theta_e_arcsec) * np.sqrt(q)
    along = np.maximum(arctan_over_argument(argument), arctanh_over_argument(argument))
    return np.asarray(2.0 * b / (1.0 + q) * along)


def convergence(x_arcsec: Any, y_arcsec: Any, *, theta_e_arcsec: Any, q: Any, phi_rad: Any) -> FloatArray:
    """Return the surface mass density in units of the critical one; arguments as in :func:`deflection`."""
    x, y = to_lens_frame(x_arcsec, y_arcsec, phi_rad)
    return np.asarray(np.asarray(theta_e_arcsec) / 2.0 / np.sqrt(q * x * x + y * y / q))
