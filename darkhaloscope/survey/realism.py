"""What a cutout of the sky looks like in numbers: noise, its correlation, profiles, colours, neighbours.

Plain functions of pixels, the same for the survey's cutouts and for those of
the mock sky, so that one can be held against the other. They need nothing but
the pixels, since the survey's viewer gives nothing else. Frames: arrays are
(y, x), y up; positions in pixels from the geometric centre of the cutout.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photutils.segmentation import deblend_sources, detect_sources
from photutils.utils.exceptions import NoDetectionsWarning
from scipy import ndimage

from darkhaloscope.errors import DataError, describe

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LAGS_PX = 3
"""Autocorrelation is measured at 1 ... LAGS_PX pixels."""

SKY_CLIP_SIGMA, SKY_GROW_PX = 3.0, 3
"""Source mask of the sky: pixels beyond 3 sigma, grown by 3 pixels."""

DETECTION_SIGMA, DETECTION_SMOOTH_PX, DETECTION_AREA_PX = 4.0, 1.5, 5
"""A source: 5 connected pixels above 4 sigma of the r plane smoothed by a Gaussian of 1.5 px."""

DEBLEND_LEVELS, DEBLEND_CONTRAST = 32, 0.005
"""Sources that touch are parted at these levels where each holds this share of their light (photutils)."""

APERTURE_ARCSEC = 2.0
"""Radius in which colours are measured."""

PROFILE_EDGES_ARCSEC = (0.0, 0.26, 0.52, 0.79, 1.05, 1.31, 1.83, 2.36, 3.14, 3.93, 4.72, 5.5)
"""Annuli of the surface-brightness profile."""

TOTAL_RADIUS_ARCSEC = 5.5
"""Half-light radii are of the light inside this radius."""

COMPACT_SNR = 30.0
"""Sources this bright show their width."""

_MAD_TO_SIGMA = 1.4826
_MIN_SKY_PX = 500
_SKY_ITERATIONS = 10
_R = 1


@dataclass(frozen=True)
class Looks:
    """One cutout in numbers.

    Parameters
    ----------
    sigma_nmgy : ndarray, shape (3,)
        Noise of a sky pixel in g, r, z.
    level_sigma : ndarray, shape (3,)
        Sky level left in the cutout over that noise.
    correlation : ndarray, shape (3, 2, LAGS_PX)
        Autocorrelation of the sky per band, along x and y, at 1 ... LAGS_PX pixels.
    profile_nmgy_arcsec2 : ndarray, shape (3, annuli)
        Mean surface brightness of the central galaxy in ``PROFILE_EDGES_ARCSEC``.
    half_light_arcsec : float
        Radius of half the light inside ``TOTAL_RADIUS_ARCSEC`` in r, seeing included.
    mag : ndarray, shape (3,)
        Magnitudes inside ``APERTURE_ARCSEC``; NaN where the flux is not positive.
    sources : int
        Sources detected in r, the central one included.
    narrowest_fwhm_arcsec : float
        Smallest FWHM in r of a source with S/N above ``COMPACT_SNR``: an upper
        limit of the seeing. NaN without such a source.
    sky_share : float
        Share of pixels without a source in r.
    """

    sigma_nmgy: FloatArray
    level_sigma: FloatArray
    correlation: FloatArray
    profile_nmgy_arcsec2: FloatArray
    half_light_arcsec: float
    mag: FloatArray
    sources: int
    narrowest_fwhm_arcsec: float
    sky_share: float


def measure_looks(cutout: NDArray[Any], *, pixel_scale_arcsec: float) -> Looks:
    """Measure one cutout.

    Parameters
    ----------
    cutout : ndarray, shape (3, size, size)
        g, r, z in nMgy/px, a galaxy at the centre.
    pixel_scale_arcsec : float

    Returns
    -------
    Looks

    Raises
    ------
    DataError
        If a pixel is not finite, or a plane has too little sky.
    """
    planes = np.asarray(cutout, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(planes).all(axis=(1, 2)))
    if bad.size:
        raise DataError(
            describe("Cutout is not finite", field="band", row=int(bad[0]), expected="finite pixels")
        )
    sky = [sky_pixels(plane) for plane in planes]
    level = np.array([np.median(plane[free]) for plane, free in zip(planes, sky, strict=True)])
    planes = planes - level[:, None, None]
    sigma = np.array([sky_sigma(plane, free) for plane, free in zip(planes, sky, strict=True)])
    labels = detect(planes[_R])
    middle = (planes.shape[-1] - 1) // 2
    others = (labels > 0) & (labels != labels[middle, middle])
    mine = ~ndimage.binary_dilation(others, iterations=2)
    profile = np.stack(
        [radial_profile(plane, mine, PROFILE_EDGES_ARCSEC, pixel_scale_arcsec) for plane in planes]
    )
    flux = np.array([growth(plane, mine, [APERTURE_ARCSEC], pixel_scale_arcsec)[0] for plane in planes])
    return Looks(
        sigma_nmgy=sigma,
        level_sigma=level / sigma,
        correlation=np.stack([autocorrelation(plane, free) for plane, free in zip(planes, sky, strict=True)]),
        profile_nmgy_arcsec2=profile,
        half_light_arcsec=half_light_radius(planes[_R], mine, pixel_scale_arcsec),
        mag=22.5 - 2.5 * np.log10(np.where(flux > 0.0, flux, np.nan)),
        sources=int(labels.max()),
        narrowest_fwhm_arcsec=narrowest_fwhm(planes[_R], labels, sky[_R], pixel_scale_arcsec),
        sky_share=float(sky[_R].mean()),
    )


def sky_pixels(plane: FloatArray) -> BoolArray:
    """Return which pixels are sky: not beyond 3 sigma of the others, nor within 3 px of one that is.

    Raises
    ------
    DataError
        If fewer than 500 pixels are left.
    """
    disc = np.hypot(*np.ogrid[-SKY_GROW_PX : SKY_GROW_PX + 1, -SKY_GROW_PX : SKY_GROW_PX + 1]) <= SKY_GROW_PX
    free = np.ones(plane.shape, dtype=bool)
    for _ in range(_SKY_ITERATIONS):
        middle = np.median(plane[free])
        bright = np.abs(plane - middle) > SKY_CLIP_SIGMA * sky_sigma(plane, free)
        before, free = free, ~ndimage.binary_dilation(bright, disc)
        if free.sum() < _MIN_SKY_PX:
            raise DataError(
                describe("Cutout has too little sky", expected=f"{_MIN_SKY_PX} pixels", got=int(free.sum()))
            )
        if (free == before).all():
            break
    return free


def sky_sigma(plane: FloatArray, sky: BoolArray) -> float:
    """Return 1.4826 times the median absolute deviation of the sky's pixels."""
    values = plane[sky]
    return float(_MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))


def autocorrelation(plane: FloatArray, sky: BoolArray) -> FloatArray:
    """Return the correlation of sky pixels along x and y, at 1 ... ``LAGS_PX`` pixels, shape (2, LAGS_PX).

    Pairs of which both are sky: mean product of the deviations over the variance.
    """
    deviation = np.where(sky, plane - plane[sky].mean(), 0.0)
    variance = float((deviation[sky] ** 2).mean())
    result = np.empty((2, LAGS_PX))
    for row, (values, free) in enumerate(((deviation, sky), (deviation.T, sky.T))):
        for lag in range(1, LAGS_PX + 1):
            both = free[:, lag:] & free[:, :-lag]
            result[row, lag - 1] = (values[:, lag:] * values[:, :-lag])[both].mean() / variance
    return result


def detect(plane: FloatArray) -> NDArray[np.int64]:
    """Return labels of the sources of a plane, 0 for sky, shape (y, x)."""
    smooth = ndimage.gaussian_filter(plane, DETECTION_SMOOTH_PX)
    free = sky_pixels(smooth)
    threshold = np.median(smooth[free]) + DETECTION_SIGMA * sky_sigma(smooth, free)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        found = detect_sources(smooth, threshold, n_pixels=DETECTION_AREA_PX)
    if found is None:
        return np.zeros(plane.shape, dtype=np.int64)
    parts = deblend_sources(
        smooth,
        found,
        n_pixels=DETECTION_AREA_PX,
        n_levels=DEBLEND_LEVELS,
        contrast=DEBLEND_CONTRAST,
        progress_bar=False,
    )
    return np.asarray(parts.data, dtype=np.int64)


def radius_arcsec(side_px: int, pixel_scale_arcsec: float) -> FloatArray:
    """Return the distance of each pixel from the geometric centre, shape (side, side)."""
    axis = (np.arange(side_px) - (side_px - 1) / 2.0) * pixel_scale_arcsec
    return np.asarray(np.hypot(axis[None, :], axis[:, None]))


def radial_profile(
    plane: FloatArray, use: BoolArray, edges_arcsec: Any, pixel_scale_arcsec: float
) -> FloatArray:
    """Return the mean surface brightness in annuli about the centre.

    Parameters
    ----------
    plane : ndarray, shape (y, x)
        nMgy/px.
    use : ndarray of bool, shape (y, x)
        Pixels without neighbours.
    edges_arcsec : array_like, shape (k + 1,)
    pixel_scale_arcsec : float

    Returns
    -------
    ndarray, shape (k,)
        nMgy/arcsec^2; NaN in an annulus without pixels.
    """
    ring = np.digitize(radius_arcsec(plane.shape[0], pixel_scale_arcsec), edges_arcsec) - 1
    inside = use & (ring >= 0) & (ring < len(edges_arcsec) - 1)
    count = np.bincount(ring[inside], minlength=len(edges_arcsec) - 1)
    light = np.bincount(ring[inside], plane[inside], minlength=len(edges_arcsec) - 1)
    mean = np.divide(light, count, out=np.full(len(count), np.nan), where=count > 0)
    return np.asarray(mean / pixel_scale_arcsec**2)


def growth(plane: FloatArray, use: BoolArray, radii_arcsec: Any, pixel_scale_arcsec: float) -> FloatArray:
    """Return the flux inside radii in nMgy; a masked pixel counts as the others of its distance do."""
    edges = np.arange(0.0, max(radii_arcsec) + pixel_scale_arcsec / 2.0, pixel_scale_arcsec / 2.0)
    mean = radial_profile(plane, use, edges, pixel_scale_arcsec)
    middle = (edges[1:] + edges[:-1]) / 2.0
    filled = np.isfinite(mean)
    mean = np.interp(middle, middle[filled], mean[filled])
    flux = np.concatenate([[0.0], np.cumsum(mean * np.pi * np.diff(edges**2))])
    return np.asarray(np.interp(radii_arcsec, edges, flux))


def half_light_radius(plane: FloatArray, use: BoolArray, pixel_scale_arcsec: float) -> float:
    """Return the radius of half the light inside ``TOTAL_RADIUS_ARCSEC``; NaN without light."""
    radii = np.linspace(0.0, TOTAL_RADIUS_ARCSEC, 200)
    flux = growth(plane, use, radii, pixel_scale_arcsec)
    if flux[-1] <= 0.0:
        return float("nan")
    return float(radii[np.argmax(flux >= flux[-1] / 2.0)])


def narrowest_fwhm(
    plane: FloatArray, labels: NDArray[np.int64], sky: BoolArray, pixel_scale_arcsec: float
) -> float:
    """Return the smallest FWHM of a bright source that touches no other, from its area above half its peak.

    FWHM = 2 sqrt(area / pi), the area found on a grid five times finer.
    """
    sigma = sky_sigma(plane, sky)
    widths = []
    for label, window in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = (slice(max(s.start - 4, 0), s.stop + 4) for s in window)
        cut, near = plane[rows, columns], labels[rows, columns]
        alone = ((near == 0) | (near == label)).all()
        if not alone or cut.max() < COMPACT_SNR * sigma or min(cut.shape) < 8:
            continue
        fine = ndimage.zoom(cut, 5, order=3)
        spots, _ = ndimage.label(fine > fine.max() / 2.0)
        area = (spots == spots[np.unravel_index(int(np.argmax(fine)), fine.shape)]).sum() / 25.0
        widths.append(2.0 * np.sqrt(area / np.pi) * pixel_scale_arcsec)
    return float(min(widths, default=np.nan))
