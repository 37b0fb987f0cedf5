"""The galaxies and stars of a brick: positions, magnitudes, colours, types, shapes.

The distribution of luminous red galaxies is that of 6,563 DR10 galaxies of the
cut r - z > 0.4, z - W1 > 0.8, z < 20.4 with TYPE other than PSF (44 bricks of
the DR10 sweeps); its quantiles, type shares and rank correlations were
measured there and are recorded below. All else is drawn from number counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from darkhaloscope import streams
from darkhaloscope.survey.mock.config import SLOT_PX, MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, MockBrick
from darkhaloscope.survey.mock.profiles import SERSIC_INDICES, Profiles

FloatArray = NDArray[np.float64]

LRG_Z_QUANTILES_MAG = (
    (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0),
    (17.05, 18.45, 19.08, 19.52, 19.93, 20.20, 20.32, 20.38, 20.40),
)
LRG_TYPES = ("DEV", "SER", "REX", "EXP")
LRG_TYPE_EDGES_MAG = (18.5, 19.0, 19.5, 20.0)
LRG_TYPE_SHARES = (
    (0.123, 0.748, 0.065, 0.064),
    (0.266, 0.591, 0.070, 0.073),
    (0.317, 0.458, 0.144, 0.081),
    (0.359, 0.291, 0.228, 0.122),
    (0.361, 0.148, 0.323, 0.168),
)
"""Shares of ``LRG_TYPES`` in bins of z magnitude."""

COLOUR_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
LRG_COLOURS_MAG = {
    "DEV": (
        (0.66, 1.17, 1.54, 1.83, 1.99, 2.11, 2.47),
        (0.77, 1.08, 1.22, 1.38, 1.58, 1.82, 2.22),
        (0.81, 0.89, 1.00, 1.18, 1.42, 1.64, 2.10),
    ),
    "SER": (
        (0.68, 1.05, 1.33, 1.65, 1.88, 1.99, 2.19),
        (0.56, 0.91, 1.05, 1.20, 1.38, 1.57, 1.95),
        (0.81, 0.85, 0.92, 1.07, 1.28, 1.48, 1.93),
    ),
    "REX": (
        (0.46, 0.84, 1.16, 1.58, 1.88, 2.02, 2.24),
        (0.46, 0.79, 0.96, 1.14, 1.33, 1.53, 2.04),
        (0.81, 0.86, 0.96, 1.14, 1.36, 1.65, 2.51),
    ),
    "EXP": (
        (0.44, 0.79, 1.09, 1.42, 1.65, 1.86, 2.18),
        (0.43, 0.72, 0.93, 1.09, 1.26, 1.46, 2.06),
        (0.81, 0.87, 0.99, 1.17, 1.45, 1.70, 2.86),
    ),
}
"""Quantiles of g - r, r - z and z - W1 by type."""

LRG_COLOUR_CORRELATION = np.array([[1.0, 0.52, 0.04], [0.52, 1.0, 0.45], [0.04, 0.45, 1.0]])
"""Rank correlation of g - r, r - z and z - W1, averaged over types."""

FIELD_R_RANGE_MAG = (18.5, 25.0)
FIELD_COUNT_SLOPE = 0.36
"""Galaxy counts rise as 10^(0.36 m) in r."""

COMPANIONS = 1.2
"""Mean number of satellites within 14 arcsec of a red galaxy."""

SOURCE_DTYPE = np.dtype(
    [
        ("ra", "f8"),
        ("dec", "f8"),
        ("type", "U4"),
        ("flux", "f8", 3),
        ("flux_w1", "f8"),
        ("index_id", "i8"),
        ("radius", "f8"),
        ("q", "f8"),
        ("angle", "f8"),
        ("kind", "U8"),
    ]
)
"""One object: fluxes in g, r, z in nMgy, radius in arcsec along the major axis, angle from +x."""

Sources = NDArray[np.void]


@dataclass(frozen=True)
class Slot:
    """A place of the placement grid: position in degrees."""

    ra: float
    dec: float


def nmgy(mag: FloatArray) -> FloatArray:
    """Return the flux in nanomaggies of an AB magnitude."""
    return np.asarray(10.0 ** (0.4 * (22.5 - mag)))


def profiles_of(sources: Sources) -> Profiles:
    """Return the profile columns of sources."""
    return Profiles(sources["index_id"], sources["radius"], sources["q"], sources["angle"])


def slots(config: MockSkyConfig, brick: MockBrick) -> FloatArray:
    """Return jittered places for hosts and known objects, in keyed order.

    No two places of a brick are closer than half the pitch, and none is closer
    to the border of the primary box than a quarter of it.

    Returns
    -------
    ndarray, shape (n, 2)
        RA and Dec in degrees.
    """
    ra1, ra2, dec1, dec2 = brick.bounds_deg
    pitch_deg = SLOT_PX * PIXEL_SCALE_ARCSEC / 3600.0
    shrink = np.cos(np.deg2rad(brick.dec))
    n_ra, n_dec = int((ra2 - ra1) * shrink / pitch_deg), int((dec2 - dec1) / pitch_deg)
    rng = streams.generator(config.seed, "mock/slots", brick.key)
    col, row = np.meshgrid(np.arange(n_ra), np.arange(n_dec))
    jitter = rng.uniform(0.25, 0.75, (2, n_dec, n_ra))
    ra = ra1 + (col + jitter[0]) * (ra2 - ra1) / n_ra
    dec = dec1 + (row + jitter[1]) * (dec2 - dec1) / n_dec
    places = np.column_stack([ra.ravel(), dec.ravel()])
    return np.asarray(places[rng.permutation(len(places))])


def draw_lrg_photometry(rng: np.random.Generator, n: int) -> tuple[NDArray[np.str_], FloatArray]:
    """Draw types and magnitudes of luminous red galaxies.

    Parameters
    ----------
    rng : Generator
    n : int

    Returns
    -------
    (type, mag) : ndarrays, shapes (n,) and (4, n)
        Magnitudes in g, r, z, W1.
    """
    uniform = rng.uniform(size=(2, n))
    z = np.interp(uniform[0], *LRG_Z_QUANTILES_MAG)
    shares = np.cumsum(np.asarray(LRG_TYPE_SHARES), axis=1)[np.digitize(z, LRG_TYPE_EDGES_MAG)]
    shares[:, -1] = 1.0
    kinds = np.asarray(LRG_TYPES)[(uniform[1][:, None] > shares).sum(axis=1)]
    normal = np.linalg.cholesky(LRG_COLOUR_CORRELATION) @ rng.standard_normal((3, n))
    rank = ndtr(normal)
    colours = np.empty((3, n))
    for kind in LRG_TYPES:
        rows = kinds == kind
        for axis in range(3):
            colours[axis, rows] = np.interp(rank[axis, rows], COLOUR_QUANTILES, LRG_COLOURS_MAG[kind][axis])
    r = z + colours[1]
    return kinds, np.asarray([r + colours[0], r, z, z - colours[2]])


def draw_shapes(
    rng: np.random.Generator, kinds: NDArray[np.str_], z_mag: FloatArray
) -> dict[str, FloatArray]:
    """Draw radius, axis ratio, angle and Sersic index of red galaxies by catalogue type.

    The half-light radius follows the magnitude-size relation of early types,
    about 1 arcsec at z = 19.5 mag with 0.15 dex of scatter.
    """
    n = len(kinds)
    scale = {"DEV": 1.0, "SER": 1.05, "EXP": 0.9, "REX": 0.5}
    factor = np.array([scale[kind] for kind in kinds]) if n else np.empty(0)
    radius = factor * 10.0 ** (-0.14 * (z_mag - 19.5) + rng.normal(0.0, 0.15, n))
    low = np.where(kinds == "EXP", 0.3, 0.55)
    q = np.where(kinds == "REX", 1.0, rng.uniform(low, 1.0, n))
    free = rng.choice([1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0], n)
    index = np.select([kinds == "DEV", kinds == "SER"], [np.full(n, 4.0), free], 1.0)
    return {
        "radius": np.clip(radius, 0.15, 6.0),
        "q": q,
        "angle": rng.uniform(0.0, np.pi, n),
        "index_id": index_ids(index),
    }


def index_ids(index: FloatArray) -> FloatArray:
    """Return the places of Sersic indices in ``SERSIC_INDICES``."""
    return np.searchsorted(SERSIC_INDICES, index).astype(np.float64)


def background_sources(config: MockSkyConfig, brick: MockBrick, places: FloatArray) -> Sources:
    """Return all objects of a brick's primary box but the known ones.

    Parameters
    ----------
    places : ndarray, shape (n, 2)
        Slots for the hosts, after those given to known objects.

    Returns
    -------
    structured array of ``SOURCE_DTYPE``
        Hosts, their companions, field galaxies and stars.
    """
    rng = streams.generator(config.seed, "mock/sources", brick.key)
    hosts = _hosts(rng, places[: config.hosts_per_brick])
    return np.concatenate(
        [hosts, _companions(rng, hosts), _field(rng, config, brick), _stars(rng, config, brick)]
    )


def _empty(n: int, kind: str) -> Sources:
    rows = np.zeros(n, dtype=SOURCE_DTYPE)
    rows["kind"] = kind
    rows["q"] = 1.0
    return rows


def _hosts(rng: np.random.Generator, places: FloatArray) -> Sources:
    rows = _empty(len(places), "host")
    rows["ra"], rows["dec"] = places.T
    rows["type"], mag = draw_lrg_photometry(rng, len(rows))
    rows["flux"] = nmgy(mag[:3]).T
    rows["flux_w1"] = nmgy(mag[3])
    for name, values in draw_shapes(rng, rows["type"], mag[2]).items():
        rows[name] = values
    return rows


def _companions(rng: np.random.Generator, hosts: Sources) -> Sources:
    """Return satellites: red galaxies cluster, and a blue one may be seen in projection."""
    owner = np.repeat(np.arange(len(hosts)), rng.poisson(COMPANIONS, len(hosts)))
    n = len(owner)
    rows = _empty(n, "near")
    separation = 2.0 * 7.0 ** rng.uniform(size=n) / 3600.0
    azimuth = rng.uniform(0.0, 2.0 * np.pi, n)
    dec = hosts["dec"][owner]
    rows["dec"] = dec + separation * np.sin(azimuth)
    rows["ra"] = hosts["ra"][owner] - separation * np.cos(azimuth) / np.cos(np.deg2rad(dec))
    red = rng.uniform(size=n) < 0.65
    z = 22.5 - 2.5 * np.log10(hosts["flux"][owner, 2]) + rng.uniform(0.8, 3.5, n)
    host_gr = -2.5 * np.log10(hosts["flux"][owner, 0] / hosts["flux"][owner, 1])
    host_rz = -2.5 * np.log10(hosts["flux"][owner, 1] / hosts["flux"][owner, 2])
    rz = np.where(red, host_rz - 0.05 + rng.normal(0.0, 0.08, n), rng.normal(0.4, 0.2, n))
    gr = np.where(red, host_gr - 0.05 + rng.normal(0.0, 0.1, n), rng.normal(0.5, 0.25, n))
    rows["type"] = np.where(red, "REX", "EXP")
    _set_photometry(rows, z + rz, gr, rz, np.where(red, 1.0, 0.3))
    _set_small_shapes(rng, rows, np.where(red, 2.5, 1.0), 10.0 ** (-0.35 - 0.06 * (z - 21.5)))
    return rows


def _field(rng: np.random.Generator, config: MockSkyConfig, brick: MockBrick) -> Sources:
    n = int(rng.poisson(config.field_per_arcmin2 * brick.area_deg2 * 3600.0))
    rows = _empty(n, "field")
    _scatter(rng, rows, brick)
    low, high = FIELD_R_RANGE_MAG
    r = _count_magnitudes(rng.uniform(size=n), low, high, FIELD_COUNT_SLOPE)
    red = rng.uniform(size=n) < 0.2
    rz = np.where(red, rng.normal(1.0, 0.25, n), rng.normal(0.4, 0.25, n))
    gr = np.where(red, rng.normal(1.5, 0.3, n), rng.normal(0.55, 0.3, n))
    rows["type"] = np.where(red, "REX", "EXP")
    _set_photometry(rows, r, gr, rz, np.where(red, 0.9, 0.2) + rng.normal(0.0, 0.3, n))
    _set_small_shapes(rng, rows, np.where(red, 2.5, 1.0), 10.0 ** (-0.22 - 0.09 * (r - 22.0)))
    return rows


def _stars(rng: np.random.Generator, config: MockSkyConfig, brick: MockBrick) -> Sources:
    n = int(rng.poisson(config.stars_per_arcmin2 * brick.area_deg2 * 3600.0))
    rows = _empty(n, "star")
    _scatter(rng, rows, brick)
    r = _count_magnitudes(rng.uniform(size=n), 12.5, 23.0, 0.2)
    rows["type"] = "PSF"
    gr = np.clip(rng.normal(0.9, 0.4, n), 0.2, 1.6)
    _set_photometry(rows, r, gr, 0.1 + 0.6 * (gr - 0.2) + rng.normal(0.0, 0.1, n), np.full(n, -0.6))
    return rows


def _count_magnitudes(uniform: FloatArray, low: float, high: float, slope: float) -> FloatArray:
    """Draw magnitudes whose counts rise as 10^(slope m)."""
    span = 10.0 ** (slope * (high - low)) - 1.0
    return np.asarray(low + np.log10(1.0 + uniform * span) / slope)


def _scatter(rng: np.random.Generator, rows: Sources, brick: MockBrick) -> None:
    ra1, ra2, dec1, dec2 = brick.bounds_deg
    rows["ra"] = rng.uniform(ra1, ra2, len(rows))
    rows["dec"] = rng.uniform(dec1, dec2, len(rows))


def _set_photometry(rows: Sources, r: FloatArray, gr: FloatArray, rz: FloatArray, zw: FloatArray) -> None:
    rows["flux"] = nmgy(np.column_stack([r + gr, r, r - rz]))
    rows["flux_w1"] = nmgy(r - rz - zw)


def _set_small_shapes(
    rng: np.random.Generator, rows: Sources, index: FloatArray, radius_arcsec: FloatArray
) -> None:
    n = len(rows)
    rows["index_id"] = index_ids(index)
    rows["radius"] = np.clip(radius_arcsec * 10.0 ** rng.normal(0.0, 0.2, n), 0.1, 4.0)
    rows["q"] = np.where(rows["type"] == "REX", 1.0, rng.uniform(0.35, 1.0, n))
    rows["angle"] = rng.uniform(0.0, np.pi, n)
