"""Mass models behind one interface: where they are, and how they deflect.

Each is a thin frozen object over a pure function (``sie``, ``epl``, ``shear``,
:func:`point_mass_deflection`), checked when it is made. Positions are in the frame
of the stamp: arcsec from its centre. What a deflector does to light is in
``general``; the batched SIE with shear of the data sets is in ``render``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing import epl, shear, sie

FloatArray = NDArray[np.float64]


class Mass(Protocol):
    """Something that deflects light."""

    def deflection(self, x_arcsec: Any, y_arcsec: Any) -> tuple[FloatArray, FloatArray]:
        """Return the deflection (arcsec) at positions on the stamp; source = position - deflection."""
        ...


def point_mass_deflection(
    x_arcsec: Any, y_arcsec: Any, *, theta_e_arcsec: float
) -> tuple[FloatArray, FloatArray]:
    r"""Return the deflection of a point mass at the origin.

    :math:`\alpha = \theta_E^2\,\theta / |\theta|^2` (the Schwarzschild lens of Schneider, Ehlers & Falco
    1992, ch. 8).

    Parameters
    ----------
    x_arcsec, y_arcsec : array_like
        Position relative to the mass. Unit: arcsec.
    theta_e_arcsec : float
        Einstein radius; its square is proportional to the mass. Unit: arcsec.

    Returns
    -------
    alpha_x, alpha_y : ndarray
        Unit: arcsec. Zero at the mass, from where no light comes.
    """
    x, y = np.asarray(x_arcsec, dtype=np.float64), np.asarray(y_arcsec, dtype=np.float64)
    squared = x * x + y * y
    factor = theta_e_arcsec**2 / np.where(squared > 0.0, squared, 1.0)
    return np.asarray(factor * x), np.asarray(factor * y)


@dataclass(frozen=True)
class Sie:
    """Singular isothermal ellipsoid.

    Parameters
    ----------
    theta_e_arcsec : float
        Einstein radius on the intermediate axis.
    q : float
        Axis ratio in [0.2, 1].
    phi_rad : float
        Position angle of the major axis from +x towards +y.
    x_arcsec, y_arcsec : float
        Place on the stamp.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite.
    """

    theta_e_arcsec: float
    q: float = 1.0
    phi_rad: float = 0.0
    x_arcsec: float = 0.0
    y_arcsec: float = 0.0

    def __post_init__(self) -> None:
        _require(self, theta_e_arcsec=_not_negative, q=_axis_ratio)

    def deflection(self, x_arcsec: Any, y_arcsec: Any) -> tuple[FloatArray, FloatArray]:
        """See :class:`Mass`."""
        return sie.deflection(
            np.asarray(x_arcsec) - self.x_arcsec,
            np.asarray(y_arcsec) - self.y_arcsec,
            theta_e_arcsec=self.theta_e_arcsec,
            q=self.q,
            phi_rad=self.phi_rad,
        )


@dataclass(frozen=True)
class PowerLaw:
    """Elliptical power law.

    Parameters
    ----------
    theta_e_arcsec, q, phi_rad, x_arcsec, y_arcsec : float
        As for :class:`Sie`.
    slope : float
        Three-dimensional slope in [1.2, 2.8]; 2 is the SIE.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite.
    """

    theta_e_arcsec: float
    q: float = 1.0
    phi_rad: float = 0.0
    slope: float = 2.0
    x_arcsec: float = 0.0
    y_arcsec: float = 0.0

    def __post_init__(self) -> None:
        _require(self, theta_e_arcsec=_not_negative, q=_axis_ratio, slope=_slope)

    def deflection(self, x_arcsec: Any, y_arcsec: Any) -> tuple[FloatArray, FloatArray]:
        """See :class:`Mass`."""
        return epl.deflection(
            np.asarray(x_arcsec) - self.x_arcsec,
            np.asarray(y_arcsec) - self.y_arcsec,
            theta_e_arcsec=self.theta_e_arcsec,
            q=self.q,
            phi_rad=self.phi_rad,
            slope=self.slope,
        )


@dataclass(frozen=True)
class PointMass:
    """Point mass: a dark subhalo, or a compact companion.

    Parameters
    ----------
    theta_e_arcsec : float
        Einstein radius.
    x_arcsec, y_arcsec : float
        Place on the stamp.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite.
    """

    theta_e_arcsec: float
    x_arcsec: float = 0.0
    y_arcsec: float = 0.0

    def __post_init__(self) -> None:
        _require(self, theta_e_arcsec=_not_negative)

    def deflection(self, x_arcsec: Any, y_arcsec: Any) -> tuple[FloatArray, FloatArray]:
        """See :class:`Mass`."""
        return point_mass_deflection(
            np.asarray(x_arcsec) - self.x_arcsec,
            np.asarray(y_arcsec) - self.y_arcsec,
            theta_e_arcsec=self.theta_e_arcsec,
        )


@dataclass(frozen=True)
class Shear:
    """External shear, without deflection at its centre.

    Parameters
    ----------
    gamma1, gamma2 : float
        Components; modulus below 1.
    x_arcsec, y_arcsec : float
        Centre on the stamp: the deflector's, to agree with the data sets.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite.
    """

    gamma1: float
    gamma2: float
    x_arcsec: float = 0.0
    y_arcsec: float = 0.0

    def __post_init__(self) -> None:
        _require(self)
        if not shear.modulus(self.gamma1, self.gamma2) < 1.0:
            got = (self.gamma1, self.gamma2)
            raise DataError(describe("Shear", field="gamma1, gamma2", expected="a modulus below 1", got=got))

    def deflection(self, x_arcsec: Any, y_arcsec: Any) -> tuple[FloatArray, FloatArray]:
        """See :class:`Mass`."""
        return shear.deflection(
            np.asarray(x_arcsec) - self.x_arcsec,
            np.asarray(y_arcsec) - self.y_arcsec,
            gamma1=self.gamma1,
            gamma2=self.gamma2,
        )


@dataclass(frozen=True)
class Composite:
    """Several masses in one plane: deflections add. Without parts it deflects nothing."""

    parts: tuple[Mass, ...]

    def deflection(self, x_arcsec: Any, y_arcsec: Any) -> tuple[FloatArray, FloatArray]:
        """See :class:`Mass`."""
        shape = np.broadcast_shapes(np.shape(x_arcsec), np.shape(y_arcsec))
        alpha_x, alpha_y = np.zeros(shape), np.zeros(shape)
        for part in self.parts:
            part_x, part_y = part.deflection(x_arcsec, y_arcsec)
            alpha_x, alpha_y = alpha_x + part_x, alpha_y + part_y
        return alpha_x, alpha_y


_Rule = tuple[Callable[[float], bool], str]

_not_negative: _Rule = (lambda value: value >= 0.0, "at least 0")
_axis_ratio: _Rule = (lambda value: sie.Q_MIN <= value <= 1.0, f"in [{sie.Q_MIN}, 1]")
_slope: _Rule = (
    lambda value: epl.SLOPE_RANGE[0] <= value <= epl.SLOPE_RANGE[1],
    f"in [{epl.SLOPE_RANGE[0]}, {epl.SLOPE_RANGE[1]}]",
)


def _require(mass: Any, **rules: _Rule) -> None:
    """Check that every field is finite and meets its rule."""
    for field in fields(mass):
        value = getattr(mass, field.name)
        good, expected = rules.get(field.name, (lambda _: True, "finite"))
        if not (math.isfinite(value) and good(value)):
            raise DataError(describe(type(mass).__name__, field=field.name, expected=expected, got=value))
