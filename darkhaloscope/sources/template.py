"""From a galaxy's stamp to a source template: background, segmentation, size.

Pure functions on one image. Nothing is ever clipped at zero: noise inside the
segmentation keeps its sign and pixels outside it are exactly zero, so a
template holds the galaxy's light and no pedestal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

DETECTION_SIGMA_HLR, DETECTION_SIGMA_RANGE_PX = 0.25, (1.5, 4.0)
"""Gaussian smoothing before detection as a share of the half-light radius, and its limits in pixels.
The lower limit is the width of the HST PSF at 0.03 arcsec/px; a narrow filter on a large faint galaxy
cuts a ragged mask that follows the noise."""

CENTROID_SIGMA_PX = 1.5
"""Gaussian smoothing before the centroid."""

DETECTION_THRESHOLD = 2.0
"""Detection threshold in standard deviations of the smoothed sky."""

RING_RADIUS_HLR = 4.5
"""The sky ring begins here: an exponential disc has 0.4 % of its light outside."""

RING_MIN_PX = 400
"""A ring with fewer pixels does not measure the sky better than the catalogue does."""

GROWTH_LIMIT = 0.8
"""The segmentation grows by at most this fraction of its equivalent radius."""


class Background(NamedTuple):
    """Sky of a stamp.

    Parameters
    ----------
    level : float
        Mean, image units per pixel.
    sigma : float
        Robust standard deviation of one pixel.
    n_px : int
        Ring pixels used; 0 if the catalogue's value was taken.
    """

    level: float
    sigma: float
    n_px: int


class Cutout(NamedTuple):
    """A template and how much of the galaxy it holds.

    Parameters
    ----------
    image : ndarray of float32, shape (size, size)
        Sums to 1.
    flux_fraction : float
        Share of the segment's flux inside the box.
    """

    image: NDArray[np.float32]
    flux_fraction: float


def ring_background(
    image: FloatArray, *, hlr_px: float, noise_mean: float, noise_variance: float
) -> Background:
    """Measure the sky in the ring outside the galaxy.

    The ring is every pixel beyond ``RING_RADIUS_HLR`` half-light radii of the
    stamp's centre, neighbours clipped at 3 sigma about the median. If the
    galaxy fills its stamp there is no such ring and the catalogue's sky, which
    was measured on the parent image, is taken.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Stamp, image units per pixel.
    hlr_px : float
        Catalogued half-light radius.
    noise_mean, noise_variance : float
        Catalogued mean and variance of one sky pixel.

    Returns
    -------
    Background
    """
    ring = image[_radius_px(image.shape, _centre(image.shape)) > RING_RADIUS_HLR * hlr_px]
    for _ in range(5):
        if len(ring) < RING_MIN_PX:
            return Background(noise_mean, float(np.sqrt(noise_variance)), 0)
        middle = np.median(ring)
        sigma = 1.4826 * np.median(np.abs(ring - middle))
        kept = ring[np.abs(ring - middle) <= 3.0 * sigma]
        if len(kept) == len(ring):
            break
        ring = kept
    return Background(float(ring.mean()), float(sigma), len(ring))


def segment(image: FloatArray, *, sigma: float, hlr_px: float) -> BoolArray:
    """Return the mask of the galaxy at the centre of a sky-subtracted stamp.

    Connected pixels above the threshold in the smoothed image that lie nearest
    to the stamp's centre are the galaxy; other detections are neighbours. The
    galaxy's mask then grows, ring by ring and around the neighbours, for as
    long as the next ring still holds light: the growth curve is flat where it
    stops.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Sky-subtracted stamp.
    sigma : float
        Standard deviation of one sky pixel.
    hlr_px : float
        Catalogued half-light radius; sets the smoothing.

    Returns
    -------
    ndarray of bool, shape (ny, nx)
        All False if nothing is detected within a quarter of the stamp's side
        of its centre.
    """
    width_px = float(np.clip(DETECTION_SIGMA_HLR * hlr_px, *DETECTION_SIGMA_RANGE_PX))
    smooth = ndimage.gaussian_filter(image, width_px, mode="reflect")
    threshold = DETECTION_THRESHOLD * _smoothed_sigma(sigma, width_px)
    labels, count = ndimage.label(smooth > threshold, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros(image.shape, dtype=bool)
    radius = _radius_px(image.shape, _centre(image.shape))
    nearest = np.argmin(np.where(labels > 0, radius, np.inf))
    if radius.flat[nearest] > min(image.shape) / 4.0:
        return np.zeros(image.shape, dtype=bool)
    galaxy = labels == labels.flat[nearest]
    neighbours = ndimage.binary_dilation((labels > 0) & ~galaxy, iterations=2) & ~galaxy
    galaxy = ndimage.binary_fill_holes(galaxy) & ~neighbours
    return _grow(image, galaxy, neighbours, sigma)


def centroid_px(image: FloatArray, mask: BoolArray) -> tuple[float, float]:
    """Return the flux-weighted centre (x, y) of the masked light, in pixels.

    The smoothed image is weighted, clipped at zero for this one purpose: a
    centroid with negative weights is unbounded.
    """
    weight = np.where(mask, np.maximum(ndimage.gaussian_filter(image, CENTROID_SIGMA_PX), 0.0), 0.0)
    y, x = np.indices(image.shape)
    total = weight.sum()
    return float((weight * x).sum() / total), float((weight * y).sum() / total)


def half_light_radius_px(image: FloatArray, centre: tuple[float, float]) -> float:
    """Return the radius of the circle about ``centre`` that holds half the flux.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Masked, sky-subtracted light; its sum is the total flux.
    centre : (x, y)
        In pixels.

    Returns
    -------
    float
        In pixels, interpolated on the growth curve with pixels split into
        3 x 3; NaN if the total flux is not positive.
    """
    fine = np.repeat(np.repeat(image, _SPLIT, axis=0), _SPLIT, axis=1) / _SPLIT**2
    centre_fine = tuple((value + 0.5) * _SPLIT - 0.5 for value in centre)
    radius = _radius_px(fine.shape, (centre_fine[0], centre_fine[1])) / _SPLIT
    bins = np.rint(radius * _BINS_PER_PX).astype(np.int64).ravel()
    growth = np.cumsum(np.bincount(bins, weights=fine.ravel()))
    if growth[-1] <= 0.0:
        return float("nan")
    reached = int(np.argmax(growth >= 0.5 * growth[-1]))
    before = growth[reached - 1] if reached else 0.0
    fraction = (0.5 * growth[-1] - before) / (growth[reached] - before)
    return float((reached - 0.5 + fraction) / _BINS_PER_PX)


def cut_template(image: FloatArray, centre: tuple[float, float], size: int) -> Cutout:
    """Cut the box about the galaxy and normalise it to unit sum.

    The box moves by whole pixels, so the centroid lies within half a pixel of
    the box's centre ((size - 1) / 2) and no pixel is interpolated.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Masked, sky-subtracted light.
    centre : (x, y)
        Centroid in pixels.
    size : int
        Side of the box in pixels.

    Returns
    -------
    Cutout
        ``image`` is all NaN if the box holds no positive flux.
    """
    box = np.zeros((size, size))
    x0, y0 = (int(np.rint(value - (size - 1) / 2.0)) for value in centre)
    ny, nx = image.shape
    ys, xs = slice(max(y0, 0), min(y0 + size, ny)), slice(max(x0, 0), min(x0 + size, nx))
    box[ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0] = image[ys, xs]
    inside, total = float(box.sum()), float(image.sum())
    if inside <= 0.0 or total <= 0.0:
        return Cutout(np.full((size, size), np.nan, dtype=np.float32), float("nan"))
    return Cutout((box / inside).astype(np.float32), inside / total)


_SPLIT = 3
_BINS_PER_PX = 4


def _centre(shape: tuple[int, ...]) -> tuple[float, float]:
    return (shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0


def _radius_px(shape: tuple[int, ...], centre: tuple[float, float]) -> FloatArray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(x - centre[0], y - centre[1]), dtype=np.float64)


def _smoothed_sigma(sigma: float, width_px: float) -> float:
    """Return the noise of the smoothed image for noise correlated as drizzled ACS sky is.

    White noise smoothed by a Gaussian of s pixels keeps 1 / (2 s sqrt(pi)) of
    its standard deviation. Drizzling correlates neighbours (lag one 0.48 on
    the COSMOS stamps, a Gaussian of 0.62 px), which raises that by the ratio
    of the widths before and after.
    """
    drizzle_px = 0.62
    return float(sigma * drizzle_px / np.hypot(drizzle_px, width_px))


def _grow(image: FloatArray, galaxy: BoolArray, neighbours: BoolArray, sigma: float) -> BoolArray:
    """Grow a mask by rings of one pixel while the next ring's mean is significant."""
    distance = ndimage.distance_transform_edt(~galaxy)
    limit = max(3, int(np.ceil(GROWTH_LIMIT * np.sqrt(galaxy.sum() / np.pi))))
    ring = np.ceil(distance).astype(np.int64)
    free = (ring > 0) & (ring <= limit) & ~neighbours
    count = np.bincount(ring[free], minlength=limit + 1)
    light = np.bincount(ring[free], weights=image[free], minlength=limit + 1)
    # the mean of n correlated pixels is about twice as noisy as that of n independent ones
    error = 2.0 * sigma * np.sqrt(np.maximum(count, 1))
    dark = np.flatnonzero((light <= error)[1:])
    reach = int(dark[0]) if len(dark) else limit
    grown: BoolArray = galaxy | (free & (ring <= reach))
    return grown
