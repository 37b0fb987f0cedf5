"""Where things are on a stamp: the one definition of its centre.

Pixel coordinates are 0-based and integer at pixel centres, so a stamp of
``size`` pixels reaches from -0.5 to size - 0.5 and its geometric centre is
(size - 1) / 2, between two pixels when ``size`` is even.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe

FloatArray = NDArray[np.float64]

OUTER_RADIUS_FRACTION = 0.25
"""The outer region is r > this share of the stamp's side, so it scales with the stamp."""


@dataclass(frozen=True)
class StampGeometry:
    """A square stamp: its side and pixel scale, hence its centre and its axes.

    Parameters
    ----------
    size_px : int
        Side in pixels, odd or even.
    pixel_scale_arcsec : float
        Side of one pixel.

    Raises
    ------
    DataError
        If a value is not positive.
    """

    size_px: int
    pixel_scale_arcsec: float

    def __post_init__(self) -> None:
        if self.size_px < 1:
            raise DataError(describe("Stamp", field="size_px", expected="at least 1", got=self.size_px))
        if not (self.pixel_scale_arcsec > 0.0 and math.isfinite(self.pixel_scale_arcsec)):
            raise DataError(
                describe(
                    "Stamp",
                    field="pixel_scale_arcsec",
                    expected="a positive number",
                    got=self.pixel_scale_arcsec,
                )
            )

    @property
    def centre_px(self) -> float:
        """Pixel coordinate of the centre, the same along x and y."""
        return (self.size_px - 1) / 2.0

    @property
    def side_arcsec(self) -> float:
        """Side of the stamp."""
        return self.size_px * self.pixel_scale_arcsec

    def to_arcsec(self, pixel: Any) -> FloatArray:
        """Convert pixel coordinates along one axis to arcsec from the centre."""
        return (np.asarray(pixel, dtype=np.float64) - self.centre_px) * self.pixel_scale_arcsec

    def to_px(self, offset_arcsec: Any) -> FloatArray:
        """Convert offsets from the centre along one axis to pixel coordinates."""
        return np.asarray(offset_arcsec, dtype=np.float64) / self.pixel_scale_arcsec + self.centre_px

    def axis_arcsec(self) -> FloatArray:
        """Return the offsets of the pixel centres along one axis, shape (size_px,)."""
        return self.to_arcsec(np.arange(self.size_px))

    def radius_px(self, x_offset_px: float = 0.0, y_offset_px: float = 0.0) -> FloatArray:
        """Return the distance of every pixel centre from a point, shape (size_px, size_px).

        Parameters
        ----------
        x_offset_px, y_offset_px : float
            The point, relative to the stamp centre.
        """
        axis = np.arange(self.size_px) - self.centre_px
        return np.asarray(np.hypot(axis[None, :] - x_offset_px, axis[:, None] - y_offset_px))


@lru_cache(maxsize=16)
def outer_pixels(size_px: int) -> NDArray[np.intp]:
    """Return the flat indices of the pixels that measure a stamp's sky: r > side / 4."""
    radius_px = StampGeometry(size_px, 1.0).radius_px()
    return np.flatnonzero(radius_px.ravel() > OUTER_RADIUS_FRACTION * size_px)


class Window(NamedTuple):
    """A square window on a larger image and what is left over of its target.

    Attributes
    ----------
    x0, y0 : int
        First column and row of the window in the larger image; may be negative.
    x_offset_px, y_offset_px : float
        Target minus window centre, each in (-0.5, 0.5].
    """

    x0: int
    y0: int
    x_offset_px: float
    y_offset_px: float


def crop_about(x: float, y: float, size: int) -> Window:
    """Place a window of ``size`` pixels so that its centre is as near a target as pixels allow.

    Parameters
    ----------
    x, y : float
        Target in 0-based pixel coordinates of the larger image.
    size : int
        Side of the window.

    Returns
    -------
    Window
        The remainder is returned, never rounded away: it is the true offset of
        the target from the window centre.
    """
    corner_x, corner_y = x - (size - 1) / 2.0, y - (size - 1) / 2.0
    # A target midway between two windows takes the lower one, whatever the sign.
    x0, y0 = math.ceil(corner_x - 0.5), math.ceil(corner_y - 0.5)
    return Window(x0, y0, corner_x - x0, corner_y - y0)


def crop_stamp(
    image: NDArray[Any], x_offset_px: float, y_offset_px: float, size: int
) -> tuple[NDArray[Any], float, float]:
    """Crop a stamp out of a larger square stamp, about the same target.

    Parameters
    ----------
    image : ndarray, shape (..., H, H)
        Larger stamp; leading axes (bands) are kept.
    x_offset_px, y_offset_px : float
        Target minus centre of ``image``.
    size : int
        Side of the crop.

    Returns
    -------
    crop : ndarray, shape (..., size, size)
        A view of ``image``.
    x_offset_px, y_offset_px : float
        Target minus centre of the crop.

    Raises
    ------
    DataError
        If the crop would reach beyond the larger stamp.
    """
    height, width = image.shape[-2:]
    window = crop_about((width - 1) / 2.0 + x_offset_px, (height - 1) / 2.0 + y_offset_px, size)
    inside = 0 <= window.x0 <= width - size and 0 <= window.y0 <= height - size
    if not inside:
        raise DataError(
            describe(
                "Crop reaches beyond the stamp",
                expected=f"a window of {size} px inside {width} x {height} px",
                got=f"corner ({window.x0}, {window.y0})",
            )
        )
    crop = image[..., window.y0 : window.y0 + size, window.x0 : window.x0 + size]
    return crop, window.x_offset_px, window.y_offset_px
