"""PSFs as objects behind one interface: Moffat, Gaussian, measured image.

Each is what ``general`` renders with: a transfer function, whether the survey
pixel's window is already in it, and how far its light reaches. Formulas are in
``psf``; which PSF a data set has is not decided here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.psf import (
    MOFFAT_BETA,
    gaussian_transfer,
    moffat_radius_arcsec,
    moffat_scale_arcsec,
    moffat_transfer,
)

FloatArray = NDArray[np.float64]

_BETA_RANGE = (1.5, 100.0)
_WING_ENCLOSED = 0.9999
_WING_MAX_FWHM = 16.0
_OFF_CENTRE_MAX_PX = 1.0
_SIGNAL_SHARE_MIN = 0.5


class Psf(Protocol):
    """What a renderer asks of a PSF."""

    @property
    def holds_pixel(self) -> bool:
        """Whether the survey pixel's window is part of it, so that the renderer applies none."""
        ...

    @property
    def extent_arcsec(self) -> float:
        """Radius of the light that a renderer keeps from wrapping around."""
        ...

    def transfer(self, frequency_x: Any, frequency_y: Any) -> NDArray[Any]:
        """Return the transfer function on a grid of frequencies.

        Parameters
        ----------
        frequency_x : array_like, shape (nx,)
            Unit: cycles/arcsec.
        frequency_y : array_like, shape (ny,)
            Unit: cycles/arcsec.

        Returns
        -------
        ndarray, shape (ny, nx)
            Real or complex; 1 at frequency 0. Light is not shifted.
        """
        ...


@dataclass(frozen=True)
class MoffatPsf:
    """Round Moffat.

    Parameters
    ----------
    fwhm_arcsec : float
        Width before the pixel window.
    beta : float
        Index in [1.5, 100]; 3.5 is the data sets', 4.765 a Kolmogorov atmosphere's, 100 all but Gaussian.

    Raises
    ------
    DataError
        If a parameter is out of range.
    """

    fwhm_arcsec: float
    beta: float = MOFFAT_BETA
    holds_pixel: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        _require_positive("Moffat PSF", "fwhm_arcsec", self.fwhm_arcsec)
        low, high = _BETA_RANGE
        if not low <= self.beta <= high:
            raise DataError(
                describe("Moffat PSF", field="beta", expected=f"in [{low}, {high}]", got=self.beta)
            )

    @property
    def extent_arcsec(self) -> float:
        """Radius of 99.99 % of the flux, or 16 FWHM where wings reach farther."""
        radius = float(moffat_radius_arcsec(_WING_ENCLOSED, self.fwhm_arcsec, self.beta))
        return min(radius, _WING_MAX_FWHM * self.fwhm_arcsec)

    def transfer(self, frequency_x: Any, frequency_y: Any) -> FloatArray:
        """See :class:`Psf`."""
        a = float(moffat_scale_arcsec(self.fwhm_arcsec, self.beta))
        return moffat_transfer(a * _wavenumber(frequency_x, frequency_y), self.beta)


@dataclass(frozen=True)
class GaussianPsf:
    """Round Gaussian.

    Parameters
    ----------
    fwhm_arcsec : float
        Width before the pixel window.

    Raises
    ------
    DataError
        If it is not positive.
    """

    fwhm_arcsec: float
    holds_pixel: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        _require_positive("Gaussian PSF", "fwhm_arcsec", self.fwhm_arcsec)

    @property
    def extent_arcsec(self) -> float:
        """Radius of 99.99 % of the flux."""
        sigma = self.fwhm_arcsec / math.sqrt(8.0 * math.log(2.0))
        return sigma * math.sqrt(-2.0 * math.log(1.0 - _WING_ENCLOSED))

    def transfer(self, frequency_x: Any, frequency_y: Any) -> FloatArray:
        """See :class:`Psf`."""
        return gaussian_transfer(_wavenumber(frequency_x, frequency_y), self.fwhm_arcsec)


@dataclass(frozen=True, eq=False)
class MeasuredPsf:
    """PSF known as an image; made by :meth:`of`.

    Parameters
    ----------
    image : ndarray, shape (n, n)
        Sum 1.
    pixel_scale_arcsec : float
        Side of its own pixels.
    holds_pixel : bool
        Whether the survey pixel's window is part of it.
    centroid_x_px, centroid_y_px : float
        Where its flux is centred, relative to the middle of the image, (n - 1) / 2.
    """

    image: FloatArray
    pixel_scale_arcsec: float
    holds_pixel: bool
    centroid_x_px: float
    centroid_y_px: float

    @classmethod
    def of(cls, image: Any, pixel_scale_arcsec: float, *, holds_pixel: bool) -> Self:
        """Check and normalise a measured PSF.

        Parameters
        ----------
        image : array_like, shape (n, n)
            Star image without background, any flux; n odd or even. Light is centred
            on its centroid, so a star on pixel n / 2 of an even stamp shifts nothing.
        pixel_scale_arcsec : float
            Side of its pixels, the survey's or finer.
        holds_pixel : bool
            True for an image of a star on survey pixels, as PSF models are served;
            False for the light before it meets the pixel.

        Raises
        ------
        DataError
            If the image is not square, not finite, has no positive sum, is mostly noise,
            or is centred more than a pixel from its middle.
        """
        values = np.asarray(image, dtype=np.float64)
        _require_positive("Measured PSF", "pixel_scale_arcsec", pixel_scale_arcsec)

        def refuse(field: str, expected: str, got: Any, hint: str | None = None) -> DataError:
            return DataError(describe("Measured PSF", field=field, expected=expected, got=got, hint=hint))

        if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
            raise refuse("shape", "square", values.shape)
        if not np.isfinite(values).all():
            raise refuse("image", "finite", f"{int((~np.isfinite(values)).sum())} pixels that are not")
        total = float(values.sum())
        if total <= 0.0:
            raise refuse(
                "sum", "positive", total, "the background was subtracted twice, or the star is missing"
            )
        share = total / float(np.abs(values).sum())
        if share < _SIGNAL_SHARE_MIN:
            raise refuse(
                "sum / sum of moduli",
                f"at least {_SIGNAL_SHARE_MIN}",
                share,
                "crop the noise around the star",
            )
        axis = np.arange(values.shape[0]) - (values.shape[0] - 1) / 2.0
        normalised = values / total
        x, y = float(normalised.sum(axis=0) @ axis), float(normalised.sum(axis=1) @ axis)
        if math.hypot(x, y) > _OFF_CENTRE_MAX_PX:
            raise refuse(
                "centroid", f"within {_OFF_CENTRE_MAX_PX:g} px of the middle", (round(x, 3), round(y, 3))
            )
        return cls(normalised, float(pixel_scale_arcsec), holds_pixel, x, y)

    @property
    def extent_arcsec(self) -> float:
        """Half the diagonal of the image."""
        return float(self.image.shape[0] * self.pixel_scale_arcsec / math.sqrt(2.0))

    def transfer(self, frequency_x: Any, frequency_y: Any) -> NDArray[np.complex128]:
        """See :class:`Psf`.

        The transform of the samples about their centroid; 0 beyond their Nyquist frequency.
        """
        middle = (self.image.shape[0] - 1) / 2.0
        index = np.arange(self.image.shape[0])

        def waves(frequency: Any, centroid_px: float) -> NDArray[np.complex128]:
            cycles_per_px = np.asarray(frequency, dtype=np.float64) * self.pixel_scale_arcsec
            phase = np.outer(cycles_per_px, index - middle - centroid_px)
            return np.exp(-2j * np.pi * phase) * (np.abs(cycles_per_px) <= 0.5)[:, None]

        along_y, along_x = waves(frequency_y, self.centroid_y_px), waves(frequency_x, self.centroid_x_px)
        return along_y @ self.image @ along_x.T


def _wavenumber(frequency_x: Any, frequency_y: Any) -> FloatArray:
    """Return the modulus of the wave vector on a grid, rad/arcsec."""
    x, y = np.asarray(frequency_x, dtype=np.float64), np.asarray(frequency_y, dtype=np.float64)
    return 2.0 * np.pi * np.hypot(x[None, :], y[:, None])


def _require_positive(what: str, name: str, value: float) -> None:
    if not (value > 0.0 and math.isfinite(value)):
        raise DataError(describe(what, field=name, expected="a positive number", got=value))
