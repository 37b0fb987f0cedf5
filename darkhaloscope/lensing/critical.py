r"""Critical curves, caustics, magnification and images of an SIE with external shear.

The deflection of an isothermal lens does not depend on radius, so its Hessian
is :math:`2\kappa\,t t^T` with t the tangential unit vector: the lens' own shear equals
its convergence (Kormann, Schneider & Bartelmann 1994). With a shear matrix
:math:`\Gamma`, the Jacobian is :math:`A = I - \Gamma - 2\kappa\,t t^T` and everything
here has a closed form along a ray from the deflector; nothing is contoured on a grid.

All positions are in the frame of the stamp: arcsec from its centre, x along
columns, y along rows. Shear is centred on the deflector. How light is mapped is
in ``sie`` and ``shear``; other mass models are in ``mass``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing import shear, sie

FloatArray = NDArray[np.float64]

_ANGLES = 2048
_BISECTIONS = 60


class Caustics(NamedTuple):
    """Curves in the source plane across which the number of images changes.

    Attributes
    ----------
    tangential : ndarray, shape (n, 2)
        Image of the critical curve; inside it a source has two images more. Unit: arcsec.
    cut : ndarray, shape (n, 2)
        Image of an infinitesimal circle about the deflector: the place of the radial
        caustic, which a singular lens does not have. Inside it a source has one image
        more than outside. Unit: arcsec.
    """

    tangential: FloatArray
    cut: FloatArray


class Images(NamedTuple):
    """Images of a point source, outermost first.

    Attributes
    ----------
    x_arcsec, y_arcsec : ndarray, shape (n,)
        Position on the stamp.
    magnification : ndarray, shape (n,)
        Signed: negative where an image is mirrored.
    """

    x_arcsec: FloatArray
    y_arcsec: FloatArray
    magnification: FloatArray


def jacobian(
    x_arcsec: Any,
    y_arcsec: Any,
    *,
    theta_e_arcsec: Any,
    q: Any,
    phi_rad: Any,
    gamma1: Any = 0.0,
    gamma2: Any = 0.0,
    lens_x_arcsec: Any = 0.0,
    lens_y_arcsec: Any = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    r"""Return the derivatives of source position with respect to image position.

    .. math::
        A = \begin{pmatrix} 1-\gamma_1 & -\gamma_2\\ -\gamma_2 & 1+\gamma_1\end{pmatrix}
          - \frac{2\kappa}{r^2}\begin{pmatrix} y^2 & -xy\\ -xy & x^2\end{pmatrix}.

    Parameters
    ----------
    x_arcsec, y_arcsec : array_like
        Position on the stamp, not on the deflector, where A diverges. Unit: arcsec.
    theta_e_arcsec, q, phi_rad : array_like
        SIE, as in :func:`darkhaloscope.lensing.sie.deflection`.
    gamma1, gamma2 : array_like
        Shear.
    lens_x_arcsec, lens_y_arcsec : array_like
        Deflector relative to the stamp centre. Unit: arcsec.

    Returns
    -------
    a_xx, a_xy, a_yy : ndarray
        The symmetric Jacobian.
    """
    x, y = np.asarray(x_arcsec) - lens_x_arcsec, np.asarray(y_arcsec) - lens_y_arcsec
    kappa = sie.convergence(x, y, theta_e_arcsec=theta_e_arcsec, q=q, phi_rad=phi_rad)
    weight = 2.0 * kappa / (x * x + y * y)
    return (
        np.asarray(1.0 - gamma1 - weight * y * y),
        np.asarray(-gamma2 + weight * x * y),
        np.asarray(1.0 + gamma1 - weight * x * x),
    )


def magnification(
    x_arcsec: Any,
    y_arcsec: Any,
    *,
    theta_e_arcsec: Any,
    q: Any,
    phi_rad: Any,
    gamma1: Any = 0.0,
    gamma2: Any = 0.0,
    lens_x_arcsec: Any = 0.0,
    lens_y_arcsec: Any = 0.0,
) -> FloatArray:
    r"""Return the signed magnification of a point, 1 / det A.

    .. math:: \det A = 1 - \gamma^2 - 2\kappa\,(1 + t^T\Gamma t),\qquad
        t^T\Gamma t = -(\gamma_1\cos 2\vartheta + \gamma_2\sin 2\vartheta),

    with :math:`\vartheta` the angle of the position about the deflector.

    Parameters
    ----------
    x_arcsec, y_arcsec, theta_e_arcsec, q, phi_rad, gamma1, gamma2, lens_x_arcsec, lens_y_arcsec
        As in :func:`jacobian`.

    Returns
    -------
    ndarray
        Negative inside the critical curve, infinite on it, 0 on the deflector.
    """
    x, y = np.asarray(x_arcsec) - lens_x_arcsec, np.asarray(y_arcsec) - lens_y_arcsec
    with np.errstate(divide="ignore"):  # infinite convergence on the deflector, infinite mu on the curve
        kappa = sie.convergence(x, y, theta_e_arcsec=theta_e_arcsec, q=q, phi_rad=phi_rad)
        determinant = _shear_determinant(gamma1, gamma2) - 2.0 * kappa * _tangential_stretch(
            np.arctan2(y, x), gamma1, gamma2
        )
        return np.asarray(1.0 / determinant)


def critical_curve(
    *,
    theta_e_arcsec: float,
    q: float,
    phi_rad: float,
    gamma1: float = 0.0,
    gamma2: float = 0.0,
    lens_x_arcsec: float = 0.0,
    lens_y_arcsec: float = 0.0,
    points: int = 361,
) -> FloatArray:
    r"""Return the tangential critical curve.

    det A = 0 at :math:`r(\vartheta) = 2 K(\vartheta)(1 + t^T\Gamma t)/(1 - \gamma^2)` where
    :math:`\kappa = K(\vartheta)/r`; without shear this is the isodensity contour
    :math:`\kappa = 1/2`.

    Parameters
    ----------
    theta_e_arcsec, q, phi_rad, gamma1, gamma2, lens_x_arcsec, lens_y_arcsec
        As in :func:`jacobian`; scalars.
    points : int
        Points of the polyline.

    Returns
    -------
    ndarray, shape (points, 2)
        Closed: the last point is the first. Columns x, y. Unit: arcsec, on the stamp.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite.
    """
    _check(theta_e_arcsec, q, phi_rad, gamma1, gamma2, lens_x_arcsec, lens_y_arcsec)
    angle = _closed_turn(points)
    at_one = sie.convergence(
        np.cos(angle), np.sin(angle), theta_e_arcsec=theta_e_arcsec, q=q, phi_rad=phi_rad
    )
    stretch = _tangential_stretch(angle, gamma1, gamma2)
    radius = 2.0 * at_one * stretch / _shear_determinant(gamma1, gamma2)
    return np.stack([lens_x_arcsec + radius * np.cos(angle), lens_y_arcsec + radius * np.sin(angle)], axis=1)


def caustics(
    *,
    theta_e_arcsec: float,
    q: float,
    phi_rad: float,
    gamma1: float = 0.0,
    gamma2: float = 0.0,
    lens_x_arcsec: float = 0.0,
    lens_y_arcsec: float = 0.0,
    points: int = 361,
) -> Caustics:
    """Return the tangential caustic and the cut.

    The cut is minus the deflection in every direction (Kovner 1987); shear,
    which vanishes at the deflector, does not move it.

    Parameters
    ----------
    theta_e_arcsec, q, phi_rad, gamma1, gamma2, lens_x_arcsec, lens_y_arcsec, points
        As in :func:`critical_curve`.

    Returns
    -------
    Caustics
        Closed polylines, shape (points, 2), in the source plane with the origin at the
        stamp centre: a source stands at the deflector plus ``src_x_arcsec, src_y_arcsec``.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite.
    """
    lens = {"theta_e_arcsec": theta_e_arcsec, "q": q, "phi_rad": phi_rad}
    centre = np.array([lens_x_arcsec, lens_y_arcsec])
    critical = critical_curve(**lens, gamma1=gamma1, gamma2=gamma2, points=points)
    alpha = sie.deflection(critical[:, 0], critical[:, 1], **lens)
    alpha_shear = shear.deflection(critical[:, 0], critical[:, 1], gamma1=gamma1, gamma2=gamma2)
    tangential = critical - np.stack(alpha, axis=1) - np.stack(alpha_shear, axis=1)
    angle = _closed_turn(points)
    cut = -np.stack(sie.deflection(np.cos(angle), np.sin(angle), **lens), axis=1)
    return Caustics(tangential + centre, cut + centre)


def images(
    src_x_arcsec: float,
    src_y_arcsec: float,
    *,
    theta_e_arcsec: float,
    q: float,
    phi_rad: float,
    gamma1: float = 0.0,
    gamma2: float = 0.0,
    lens_x_arcsec: float = 0.0,
    lens_y_arcsec: float = 0.0,
) -> Images:
    r"""Return every image of a point source.

    With position :math:`r\,e(\vartheta)` the lens equation is
    :math:`r\,(I - \Gamma)e = s + \alpha(\vartheta)`. Its cross product with
    :math:`(I - \Gamma)e` is one equation in one angle; its dot product gives r.

    Parameters
    ----------
    src_x_arcsec, src_y_arcsec : float
        Source relative to the deflector, in the source plane. Unit: arcsec.
    theta_e_arcsec, q, phi_rad, gamma1, gamma2, lens_x_arcsec, lens_y_arcsec
        As in :func:`critical_curve`.

    Returns
    -------
    Images
        Two images nearer to each other than 0.2 deg as seen from the deflector, a
        source on a caustic, are found as none.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite, or the source is on the axis
        of a round lens without shear, where its image is a ring.
    """
    _check(theta_e_arcsec, q, phi_rad, gamma1, gamma2, lens_x_arcsec, lens_y_arcsec)
    lens = {"theta_e_arcsec": theta_e_arcsec, "q": q, "phi_rad": phi_rad}

    def cross_and_radius(angle: FloatArray) -> tuple[FloatArray, FloatArray]:
        e_x, e_y = np.cos(angle), np.sin(angle)
        shear_x, shear_y = shear.deflection(e_x, e_y, gamma1=gamma1, gamma2=gamma2)
        m_x, m_y = e_x - shear_x, e_y - shear_y
        alpha_x, alpha_y = sie.deflection(e_x, e_y, **lens)
        to_x, to_y = src_x_arcsec + alpha_x, src_y_arcsec + alpha_y
        radius = (m_x * to_x + m_y * to_y) / (m_x * m_x + m_y * m_y)
        return np.asarray(m_x * to_y - m_y * to_x), np.asarray(radius)

    # Half a step off the axes, where the roots of symmetric sources are.
    edges = np.asarray((np.arange(_ANGLES + 1) + 0.5) * (2.0 * np.pi / _ANGLES), dtype=np.float64)
    value, _ = cross_and_radius(edges)
    if np.abs(value).max() < 1e-12 * theta_e_arcsec:
        raise DataError(
            describe(
                "Image of a point source",
                field="src_x_arcsec",
                expected="a source off the axis of a round lens",
                got=(src_x_arcsec, src_y_arcsec),
                hint="its image is the Einstein ring: use critical_curve",
            )
        )
    changes = np.flatnonzero(np.signbit(value[:-1]) != np.signbit(value[1:]))
    low, high = edges[changes], edges[changes + 1]
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        is_low = np.signbit(cross_and_radius(middle)[0]) == np.signbit(value[changes])
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    angle = (low + high) / 2.0
    radius = cross_and_radius(angle)[1]
    order = np.argsort(-radius)
    angle, radius = angle[order][radius[order] > 0.0], radius[order][radius[order] > 0.0]
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    mu = magnification(x, y, **lens, gamma1=gamma1, gamma2=gamma2)
    return Images(x + lens_x_arcsec, y + lens_y_arcsec, mu)


def _closed_turn(points: int) -> FloatArray:
    angle = np.linspace(0.0, 2.0 * np.pi, points)
    angle[-1] = 0.0  # exactly closed
    return angle


def _shear_determinant(gamma1: Any, gamma2: Any) -> Any:
    return 1.0 - gamma1 * gamma1 - gamma2 * gamma2


def _tangential_stretch(angle_rad: Any, gamma1: Any, gamma2: Any) -> Any:
    """Return 1 + t^T Gamma t for the tangential direction at an angle about the deflector."""
    return 1.0 - gamma1 * np.cos(2.0 * angle_rad) - gamma2 * np.sin(2.0 * angle_rad)


def _check(
    theta_e_arcsec: float,
    q: float,
    phi_rad: float,
    gamma1: float,
    gamma2: float,
    lens_x_arcsec: float,
    lens_y_arcsec: float,
) -> None:
    gamma = float(shear.modulus(gamma1, gamma2))
    for field, value, good, expected in (
        ("theta_e_arcsec", theta_e_arcsec, 0.0 < theta_e_arcsec < np.inf, "a positive number"),
        ("q", q, sie.Q_MIN <= q <= 1.0, f"in [{sie.Q_MIN}, 1]"),
        ("phi_rad", phi_rad, np.isfinite(phi_rad), "finite"),
        ("gamma1, gamma2", (gamma1, gamma2), gamma < 1.0, "a shear of less than 1"),
        ("lens_x_arcsec", lens_x_arcsec, np.isfinite(lens_x_arcsec), "finite"),
        ("lens_y_arcsec", lens_y_arcsec, np.isfinite(lens_y_arcsec), "finite"),
    ):
        if not good:
            raise DataError(describe("Deflector", field=field, expected=expected, got=value))
