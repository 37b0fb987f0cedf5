"""Images of galaxies with structure: clumpy spirals, rings, mergers, edge-on discs.

Each function returns components of unit flux on a square grid, so that every
component can have its own colour. Frames: x to the right, y up, the centre at
the grid's geometric centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

COMPONENTS = ("core", "disc", "clumps")
"""Order of the components: old, intermediate and young stars."""


def grid(size: int, scale_arcsec: float) -> tuple[FloatArray, FloatArray]:
    """Return x and y in arcsec of the pixels of a centred grid."""
    axis = (np.arange(size) - (size - 1) / 2.0) * scale_arcsec
    x, y = np.meshgrid(axis, axis)
    return x, y


def normalised(image: FloatArray) -> FloatArray:
    """Return an image scaled to unit sum."""
    return np.asarray(image / image.sum())


def elliptical_radius(
    x: FloatArray, y: FloatArray, q: float, angle_rad: float
) -> tuple[FloatArray, FloatArray]:
    """Return the radius along the major axis and the azimuth in the plane of a tilted disc."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    along, across = x * cos + y * sin, (y * cos - x * sin) / q
    return np.hypot(along, across), np.arctan2(across, along)


def _clumps(
    rng: np.random.Generator,
    x: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    count: int,
    sigma_arcsec: float,
) -> FloatArray:
    """Scatter Gaussian knots where ``weight`` is high, with a steep luminosity function."""
    flat = np.cumsum(weight.ravel())
    places = np.searchsorted(flat, rng.uniform(0.0, flat[-1], count))
    image = np.zeros_like(x)
    for place, flux, width in zip(
        places, rng.pareto(1.5, count) + 0.3, sigma_arcsec * rng.uniform(0.6, 1.5, count), strict=True
    ):
        distance2 = (x - x.ravel()[place]) ** 2 + (y - y.ravel()[place]) ** 2
        image += flux / width**2 * np.exp(-0.5 * distance2 / width**2)
    return image


def spiral(
    rng: np.random.Generator,
    x: FloatArray,
    y: FloatArray,
    *,
    radius_arcsec: float,
    q: float,
    angle_rad: float,
) -> FloatArray:
    """Return a clumpy spiral.

    An exponential disc with two to four logarithmic arms (8 to 30 degrees of
    pitch), star-forming knots along the arms, and a small bulge.

    Parameters
    ----------
    radius_arcsec : float
        Half-light radius of the disc.
    q, angle_rad : float
        Apparent axis ratio and direction of the major axis.

    Returns
    -------
    ndarray, shape (3, ny, nx)
        ``COMPONENTS``, each of unit flux.
    """
    r, azimuth = elliptical_radius(x, y, q, angle_rad)
    length = radius_arcsec / 1.678
    arms, pitch, start = rng.integers(2, 5), np.deg2rad(rng.uniform(8.0, 30.0)), rng.uniform(0.0, 2.0 * np.pi)
    winding = np.log(np.maximum(r, 0.05 * length) / length) / np.tan(pitch)
    wave = 0.5 * (1.0 + np.cos(arms * (azimuth - winding * rng.choice([-1, 1]) - start)))
    disc = np.exp(-r / length)
    contrast = rng.uniform(0.6, 0.95)
    armed = disc * (1.0 - contrast + contrast * wave**2)
    knots = _clumps(
        rng, x, y, armed * wave**3 * (r < 4.0 * length), int(rng.integers(6, 20)), 0.12 * radius_arcsec
    )
    core = np.exp(-0.5 * (r / (0.25 * radius_arcsec)) ** 2)
    return np.stack([normalised(core), normalised(armed), normalised(knots)])


def ring(
    rng: np.random.Generator,
    x: FloatArray,
    y: FloatArray,
    *,
    radius_arcsec: float,
    q: float,
    angle_rad: float,
) -> FloatArray:
    """Return a ring galaxy: a red core, a faint disc and a clumpy blue ring.

    Parameters
    ----------
    radius_arcsec : float
        Radius of the ring.
    """
    r, azimuth = elliptical_radius(x, y, q, angle_rad)
    width = rng.uniform(0.12, 0.22) * radius_arcsec
    band = np.exp(-0.5 * ((r - radius_arcsec) / width) ** 2)
    uneven = 1.0 + 0.35 * np.cos(azimuth - rng.uniform(0.0, 2.0 * np.pi))
    knots = _clumps(rng, x, y, band, int(rng.integers(6, 14)), 0.8 * width)
    light = normalised(band * uneven) + 0.35 * normalised(knots)
    size = rng.uniform(0.35, 0.6)
    core = np.exp(-7.67 * ((np.hypot(r, 0.05) / size) ** 0.25 - 1.0))
    disc = np.exp(-r / (0.6 * radius_arcsec))
    return np.stack([normalised(core), normalised(disc), normalised(light)])


def merger(
    rng: np.random.Generator,
    x: FloatArray,
    y: FloatArray,
    *,
    radius_arcsec: float,
    q: float,
    angle_rad: float,
) -> FloatArray:
    """Return two nuclei in a common envelope with a curved tidal tail.

    Parameters
    ----------
    radius_arcsec : float
        Half the separation of the nuclei.
    """
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    nuclei = np.zeros_like(x)
    for sign, flux in ((1.0, 1.0), (-1.0, rng.uniform(0.3, 0.9))):
        dx, dy = x - sign * radius_arcsec * cos, y - sign * radius_arcsec * sin
        r, _ = elliptical_radius(dx, dy, rng.uniform(0.6, 1.0), rng.uniform(0.0, np.pi))
        size = rng.uniform(0.3, 0.6)
        nuclei += flux * normalised(np.exp(-3.67 * (np.sqrt(np.hypot(r, 0.05) / size) - 1.0)))
    r, azimuth = elliptical_radius(x, y, max(q, 0.6), angle_rad)
    envelope = np.exp(-r / (1.2 * radius_arcsec + 0.3))
    # The tail leaves one nucleus and opens outwards over a third of a turn.
    swept = (azimuth - angle_rad) % (2.0 * np.pi)
    path = radius_arcsec * (1.1 + 0.7 * swept)
    tail = np.exp(-0.5 * ((np.hypot(x, y) - path) / 0.35) ** 2) * (swept < rng.uniform(1.6, 2.6))
    return np.stack([normalised(nuclei), normalised(envelope), normalised(tail + 1e-9)])


def edge_on(
    rng: np.random.Generator,
    x: FloatArray,
    y: FloatArray,
    *,
    radius_arcsec: float,
    q: float,
    angle_rad: float,
) -> FloatArray:
    """Return a disc seen from the side: exponential along, sech^2 across, with a bulge and knots.

    Parameters
    ----------
    radius_arcsec : float
        Half-light length of the disc.
    q : float
        Thickness over length.
    """
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    along, across = x * cos + y * sin, y * cos - x * sin
    length, height = radius_arcsec / 1.678, q * radius_arcsec
    disc = np.exp(-np.abs(along) / length) / np.cosh(across / height) ** 2
    core = np.exp(-0.5 * (along**2 + (across / 0.8) ** 2) / (0.22 * radius_arcsec) ** 2)
    knots = _clumps(rng, x, y, disc, int(rng.integers(4, 10)), 0.15)
    return np.stack([normalised(core), normalised(disc), normalised(knots)])
