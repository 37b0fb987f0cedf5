"""From a galaxy's stamp to a source template: background, segmentation, window.

Pure functions on one image; detection, deblending and clipping are photutils'
and astropy's. Nothing is ever clipped at zero: noise inside the segmentation
keeps its sign. Pixels outside it are exactly zero, and between the two the
light is tapered, so a template holds the galaxy's light, no pedestal and no
step. Shape parameters are measured in ``morphology``.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from astropy.stats import sigma_clip
from numpy.typing import NDArray
from photutils.segmentation import SegmentationImage, deblend_sources, detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
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

DETECTION_MIN_PX = 12
"""Connected pixels of a detection: the area of the HST PSF's core."""

NEIGHBOUR_PEAK_SIGMA = 5.0
"""Detections apart from the galaxy with a fainter peak in the smoothed image are the sky's own
fluctuations or the galaxy's outskirts; masking them would bite holes into both."""

DEBLEND_LEVELS, DEBLEND_CONTRAST = 16, 0.05
"""photutils' multi-threshold deblending: a piece needs 5 % of the parent's flux. At its default of
0.1 % spirals fall apart into their knots."""

CLUMP_RADIUS_HLR = 1.5
"""A deblended piece that peaks within this many half-light radii of the centre is part of the galaxy
(an arm, a knot, a bar's end); one farther out is a neighbour that touches it."""

RING_RADIUS_HLR = 4.5
"""The sky ring begins here: an exponential disc has 0.4 % of its light outside."""

RING_MIN_PX = 400
"""A ring with fewer pixels does not measure the sky better than the catalogue does."""

GROWTH_LIMIT = 0.8
"""The segmentation grows by at most this fraction of its equivalent radius."""

TAPER_PX = 4
"""Width of the window's edge: one PSF, the shortest scale on which templates hold light."""


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


class Segment(NamedTuple):
    """Which pixels of a stamp belong to the galaxy and which to others.

    Parameters
    ----------
    galaxy : ndarray of bool, shape (ny, nx)
        All False if there is no galaxy at the centre.
    neighbours : ndarray of bool, shape (ny, nx)
        Other detections, grown by two pixels.
    support : ndarray of bool, shape (ny, nx)
        The galaxy and ``TAPER_PX`` of dark sky around it: where a template may be other than zero.
    blended_flux_fraction : float
        Flux of the pieces that were deblended from the galaxy, over the galaxy's own.
    """

    galaxy: BoolArray
    neighbours: BoolArray
    support: BoolArray
    blended_flux_fraction: float


class Cutout(NamedTuple):
    """A template and how much of the galaxy it holds.

    Parameters
    ----------
    image : ndarray of float32, shape (size, size)
        Sums to 1.
    flux_fraction : float
        Flux in the tapered box over the segment's; above 1 where noise in the taper adds up.
    """

    image: NDArray[np.float32]
    flux_fraction: float


def ring_background(
    image: FloatArray,
    *,
    hlr_px: float,
    noise_mean: float,
    noise_variance: float,
    exclude: BoolArray | None = None,
) -> Background:
    """Measure the sky in the ring outside the galaxy.

    The ring is every pixel beyond ``RING_RADIUS_HLR`` half-light radii of the
    stamp's centre, less ``exclude``, clipped at 3 sigma about the median. If the
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
    exclude : ndarray of bool, shape (ny, nx), optional
        Pixels of detected objects.

    Returns
    -------
    Background
    """
    beyond = _radius_px(image.shape, _centre(image.shape)) > RING_RADIUS_HLR * hlr_px
    ring = image[beyond if exclude is None else beyond & ~exclude]
    if len(ring) >= RING_MIN_PX:
        ring = sigma_clip(ring, sigma=3.0, cenfunc="median", stdfunc="mad_std", masked=False)
    if len(ring) < RING_MIN_PX:
        return Background(noise_mean, float(np.sqrt(noise_variance)), 0)
    sigma = 1.4826 * np.median(np.abs(ring - np.median(ring)))
    return Background(float(ring.mean()), float(sigma), len(ring))


def segment(image: FloatArray, *, sigma: float, hlr_px: float) -> Segment:
    """Tell the galaxy at the centre of a sky-subtracted stamp from its neighbours.

    The detection that lies nearest to the stamp's centre is deblended; its
    pieces near the centre are the galaxy, all else are neighbours. The
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
    Segment
        Without a galaxy if nothing is detected within a quarter of the stamp's
        side of its centre.
    """
    width_px = float(np.clip(DETECTION_SIGMA_HLR * hlr_px, *DETECTION_SIGMA_RANGE_PX))
    smooth = ndimage.gaussian_filter(image, width_px, mode="reflect")
    smooth_sigma = smoothed_sigma(sigma, width_px)
    dark = np.zeros(image.shape, dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        detected = detect_sources(smooth, DETECTION_THRESHOLD * smooth_sigma, n_pixels=DETECTION_MIN_PX)
    if detected is None:
        return Segment(dark, dark, dark, 0.0)
    radius = _radius_px(image.shape, _centre(image.shape))
    nearest = int(np.argmin(np.where(detected.data > 0, radius, np.inf)))
    if radius.flat[nearest] > min(image.shape) / 4.0:
        return Segment(dark, detected.data > 0, dark, 0.0)
    label = int(detected.data.flat[nearest])
    parent = detected.data == label
    galaxy = _without_blends(smooth, detected, label, hlr_px)
    blended = parent & ~galaxy
    others = [
        index
        for index, peak in zip(
            detected.labels,
            ndimage.maximum(smooth, detected.data, detected.labels),
            strict=True,
        )
        if index != label and peak > NEIGHBOUR_PEAK_SIGMA * smooth_sigma
    ]
    neighbours = np.isin(detected.data, others) | blended
    neighbours = ndimage.binary_dilation(neighbours, iterations=2) & ~galaxy
    blended_fraction = float(smooth[blended].sum() / smooth[galaxy].sum())
    galaxy = ndimage.binary_fill_holes(galaxy) & ~neighbours
    galaxy = _grow(image, galaxy, neighbours, sigma)
    support = (ndimage.distance_transform_edt(~galaxy) <= TAPER_PX) & ~neighbours
    return Segment(galaxy, neighbours, support, blended_fraction)


def taper(mask: BoolArray) -> FloatArray:
    """Return a window that is 0 outside a mask and rises to 1 over ``TAPER_PX`` pixels inside it.

    A raised cosine of the distance to the nearest pixel outside; the border of
    the image counts as outside.

    Parameters
    ----------
    mask : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray of float64, shape (ny, nx)
    """
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rise = np.minimum(distance / (TAPER_PX + 1.0), 1.0)
    return np.asarray(np.where(mask, 0.5 - 0.5 * np.cos(np.pi * rise), 0.0), dtype=np.float64)


def centroid_px(image: FloatArray, mask: BoolArray) -> tuple[float, float]:
    """Return the flux-weighted centre (x, y) of the masked light, in pixels.

    The smoothed image is weighted, clipped at zero for this one purpose: a
    centroid with negative weights is unbounded.
    """
    weight = np.where(mask, np.maximum(ndimage.gaussian_filter(image, CENTROID_SIGMA_PX), 0.0), 0.0)
    y, x = np.indices(image.shape)
    total = weight.sum()
    return float((weight * x).sum() / total), float((weight * y).sum() / total)


def cut_template(image: FloatArray, found: Segment, centre: tuple[float, float], size: int) -> Cutout:
    """Cut the box about the galaxy, taper it at the support's edge and normalise it to unit sum.

    The box moves by whole pixels, so the centroid lies within half a pixel of
    the box's centre ((size - 1) / 2) and no pixel is interpolated.

    Parameters
    ----------
    image : ndarray of float64, shape (ny, nx)
        Sky-subtracted stamp.
    found : Segment
        The galaxy's pixels.
    centre : (x, y)
        Centroid in pixels.
    size : int
        Side of the box in pixels.

    Returns
    -------
    Cutout
        ``image`` is all NaN if the box holds no positive flux.
    """
    x0, y0 = (int(np.rint(value - (size - 1) / 2.0)) for value in centre)
    box = _box(image, x0, y0, size) * taper(_box(found.support, x0, y0, size) > 0)
    kept, total = float(box.sum()), float(image[found.galaxy].sum())
    if kept <= 0.0 or total <= 0.0:
        return Cutout(np.full((size, size), np.nan, dtype=np.float32), float("nan"))
    return Cutout((box / kept).astype(np.float32), kept / total)


def smoothed_sigma(sigma: float, width_px: float) -> float:
    """Return the noise of an image smoothed by a Gaussian, for sky correlated as drizzled ACS sky is.

    White noise smoothed by a Gaussian of s pixels keeps 1 / (2 s sqrt(pi)) of
    its standard deviation. Drizzling correlates neighbours (lag one 0.48 on
    the COSMOS stamps, a Gaussian of 0.62 px), which raises that by the ratio
    of the widths before and after.
    """
    drizzle_px = 0.62
    return float(sigma * drizzle_px / np.hypot(drizzle_px, width_px))


def _centre(shape: tuple[int, ...]) -> tuple[float, float]:
    return (shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0


def _radius_px(shape: tuple[int, ...], centre: tuple[float, float]) -> FloatArray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(x - centre[0], y - centre[1]), dtype=np.float64)


def _box(image: NDArray[Any], x0: int, y0: int, size: int) -> FloatArray:
    """Return the square with its lower left pixel at (x0, y0), zero where it leaves the image."""
    box = np.zeros((size, size))
    ny, nx = image.shape
    ys, xs = slice(max(y0, 0), min(y0 + size, ny)), slice(max(x0, 0), min(x0 + size, nx))
    box[ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0] = image[ys, xs]
    return box


def _without_blends(smooth: FloatArray, detected: SegmentationImage, label: int, hlr_px: float) -> BoolArray:
    """Return the pixels of a detection less the pieces that belong to others."""
    parent: BoolArray = detected.data == label
    pieces = deblend_sources(
        smooth,
        detected,
        n_pixels=DETECTION_MIN_PX,
        labels=label,
        n_levels=DEBLEND_LEVELS,
        contrast=DEBLEND_CONTRAST,
        relabel=False,
        progress_bar=False,
    ).data
    names = np.unique(pieces[parent])
    if len(names) == 1:
        return parent
    x0, y0 = _centre(smooth.shape)
    peaks = np.array(ndimage.maximum_position(smooth, pieces, names))
    away = np.hypot(peaks[:, 1] - x0, peaks[:, 0] - y0)
    own = names[(away <= CLUMP_RADIUS_HLR * hlr_px) | (away == away.min())]
    return np.asarray(np.isin(pieces, own) & parent)


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
