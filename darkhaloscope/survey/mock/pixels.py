"""The pixels of one brick: light, noise, inverse variance, seeing, masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import gamma, gammaincinv

from darkhaloscope import streams
from darkhaloscope.schema import BANDS
from darkhaloscope.survey.mock import known as known_objects
from darkhaloscope.survey.mock.conditions import BandConditions, Conditions, draw_conditions
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, MockBrick
from darkhaloscope.survey.mock.lenses import LENS_STAMP_PX
from darkhaloscope.survey.mock.masks import maskbits
from darkhaloscope.survey.mock.population import SOURCE_DTYPE, Sources, background_sources, profiles_of, slots
from darkhaloscope.survey.mock.profiles import (
    MOFFAT_BETA,
    POINT,
    SERSIC_INDICES,
    convolve_cells,
    render_profiles,
)

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]

STAMP_SIZES = (32, 48, 64, 96, 128, 192, 256, 384, 512)
EDGE_SIGMA = 0.1
"""A stamp ends where its object is fainter than this share of the noise of a pixel."""

_BAD_COLUMN_RATE = 1.0
_GAP_PROBABILITY = 0.12


@dataclass
class BrickPixels:
    """One brick.

    Parameters
    ----------
    image, invvar, psfsize : ndarray of float32, shape (3, size, size)
        nMgy per pixel, 1/nMgy^2, arcsec; bands g, r, z.
    maskbits : ndarray of int32, shape (size, size)
    sources : structured array of ``SOURCE_DTYPE``
        Objects of the primary box, known objects and arcs included.
    conditions : Conditions
    truth : list of dict
        One per known object of the brick.
    """

    image: Image
    invvar: Image
    psfsize: Image
    maskbits: NDArray[np.int32]
    sources: Sources
    conditions: Conditions
    truth: list[dict[str, Any]]


def brick_sources(
    config: MockSkyConfig, brick: MockBrick, objects: list[known_objects.KnownObject]
) -> tuple[Sources, Sources]:
    """Return the known objects and all others of a brick's primary box."""
    places = slots(config, brick)
    known = [known_objects.catalogue_source(config, o, places[o.slot]) for o in objects]
    # Hosts start at a fixed slot, so the sky of a neighbour does not depend on what is known in it.
    reserved = len(places) - config.hosts_per_brick
    return (
        np.concatenate(known) if known else np.zeros(0, dtype=SOURCE_DTYPE),
        background_sources(config, brick, places[reserved:]),
    )


def make_brick(
    config: MockSkyConfig,
    brick: MockBrick,
    objects: dict[int, list[known_objects.KnownObject]],
    nan_pixels: int = 0,
) -> BrickPixels:
    """Render a brick.

    Parameters
    ----------
    config : MockSkyConfig
    brick : MockBrick
    objects : dict
        Known objects by brick id; those of neighbouring bricks are drawn
        where their light reaches this stack.
    nan_pixels : int
        NaN pixels planted in the r image: half of them beside the first host,
        the others anywhere.
    """
    conditions = draw_conditions(config, brick)
    size = config.brick_px
    wcs = brick.wcs(size)
    light = np.zeros((len(BANDS), size, size), dtype=np.float32)
    own_known, own_rest = brick_sources(config, brick, objects.get(brick.brickid, []))
    truth: list[dict[str, Any]] = []
    arcs: list[Sources] = []
    plain = [own_rest]
    for other in [brick, *brick.neighbours()]:
        listed = objects.get(other.brickid, [])
        own = other.brickid == brick.brickid
        known, rest = (own_known, own_rest) if own else brick_sources(config, other, listed)
        if not own:
            plain.append(rest)
        for row, entry in enumerate(listed):
            source = known[row : row + 1]
            if entry.kind not in known_objects.LOOKALIKES:
                plain.append(source)
            x, y = wcs.all_world2pix(source["ra"], source["dec"], 0)
            if not own and not _reaches(x, y, size, LENS_STAMP_PX)[0]:
                continue
            facts, arc = _add_drawn(config, entry, source, light, conditions, float(x[0]), float(y[0]))
            if own:
                truth.append({**facts, "brickname": brick.name})
                arcs += [arc] if arc is not None else []
    everything = np.concatenate(plain)
    x, y = wcs.all_world2pix(everything["ra"], everything["dec"], 0)
    _add_profiles(light, everything, x, y, conditions)
    invvar = _invvar(config, brick, conditions)
    masks = maskbits(brick, config, everything, x, y, light, invvar)
    image = _observe(config, brick, light, invvar, conditions)
    if nan_pixels:
        host = own_rest[own_rest["kind"] == "host"][:1]
        at_x, at_y = wcs.all_world2pix(host["ra"], host["dec"], 0)
        _plant_nans(config, brick, image[1], nan_pixels, at_x, at_y)
    for arc in arcs:
        arc["ra"], arc["dec"] = wcs.all_pix2world(arc["ra"], arc["dec"], 0)
    return BrickPixels(
        image=image,
        invvar=invvar,
        psfsize=np.stack([conditions.bands[b].seeing_map() for b in BANDS]),
        maskbits=masks,
        sources=np.concatenate([own_known, own_rest, *arcs]),
        conditions=conditions,
        truth=truth,
    )


def _reaches(x: FloatArray, y: FloatArray, size: int, stamp: int) -> NDArray[np.bool_]:
    half = stamp / 2
    return np.asarray((x > -half) & (x < size + half) & (y > -half) & (y < size + half))


def _add_drawn(
    config: MockSkyConfig,
    entry: known_objects.KnownObject,
    source: Sources,
    light: Image,
    conditions: Conditions,
    x: float,
    y: float,
) -> tuple[dict[str, Any], Sources | None]:
    """Add a known object's own light to the stack; return its truth and its arc's catalogue row.

    The arc row holds pixel coordinates in place of RA and Dec.
    """
    facts: dict[str, Any] = {
        "id": entry.identity,
        "kind": entry.kind,
        "discovery": entry.discovery,
        "ra": float(source["ra"][0]),
        "dec": float(source["dec"][0]),
        "host_mag_r": float(22.5 - 2.5 * np.log10(source["flux"][0, 1])),
    }
    drawn = known_objects.drawn_light(config, entry, source)
    if drawn is None:
        return facts, None
    facts.update(drawn.truth)
    stamp_px = LENS_STAMP_PX
    bands = [conditions.bands[b] for b in BANDS]
    at = (np.array([x]), np.array([y]))
    left, bottom = round(x - (stamp_px - 1) / 2), round(y - (stamp_px - 1) / 2)
    stamp = convolve_cells(
        drawn.cells_nmgy,
        x_offset_px=x - left - (stamp_px - 1) / 2,
        y_offset_px=y - bottom - (stamp_px - 1) / 2,
        fwhm_arcsec=np.array([b.seeing_at(*at)[0] for b in bands]),
        psf_e=np.array([b.psf_e for b in bands]),
    )
    arc = None
    if drawn.snr_r is not None:
        r = stamp[1]
        footprint = r > known_objects.FOOTPRINT_FRACTION * r.max()
        invvar_r = bands[1].invvar_per_exposure * bands[1].nexp_at(*at)[0]
        scale = drawn.snr_r * np.sqrt(footprint.sum() / invvar_r) / r[footprint].sum()
        stamp *= np.float32(scale)
        flux = stamp.sum(axis=(1, 2), dtype=np.float64)
        facts["arc_snr_footprint_r"] = drawn.snr_r
        facts["arc_mag_r"] = float(22.5 - 2.5 * np.log10(flux[1]))
        facts["src_mag_r"] = float(facts["arc_mag_r"] + 2.5 * np.log10(facts["magnification"]))
        arc = _arc_row(r, flux, drawn.snr_r, facts["theta_e_arcsec"], left, bottom)
    _paste(light, stamp[:, None], np.array([left]), np.array([bottom]))
    return facts, arc


def _arc_row(
    stamp_r: Image, flux: FloatArray, snr: float, theta_e_arcsec: float, left: int, bottom: int
) -> Sources | None:
    """Return the catalogue row of an arc bright and wide enough to be deblended from its host."""
    if snr < 25.0 or theta_e_arcsec < 1.2:
        return None
    iy, ix = np.unravel_index(int(np.argmax(stamp_r)), stamp_r.shape)
    row = np.zeros(1, dtype=SOURCE_DTYPE)
    row["ra"], row["dec"], row["kind"], row["type"] = left + ix, bottom + iy, "arc", "REX"
    row["flux"], row["flux_w1"] = 0.5 * flux, 0.3 * flux[2]
    row["index_id"], row["radius"], row["q"] = SERSIC_INDICES.index(1.0), 0.6, 1.0
    return row


def _paste(light: Image, stamps: Image, left: NDArray[np.integer], bottom: NDArray[np.integer]) -> None:
    """Add stamps (b, n, s, s) to the stack (b, size, size), cutting what lies outside."""
    size, side = light.shape[-1], stamps.shape[-1]
    for i, (x0, y0) in enumerate(zip(left.tolist(), bottom.tolist(), strict=True)):
        xa, xb, ya, yb = max(x0, 0), min(x0 + side, size), max(y0, 0), min(y0 + side, size)
        if xa < xb and ya < yb:
            light[:, ya:yb, xa:xb] += stamps[:, i, ya - y0 : yb - y0, xa - x0 : xb - x0]


def _add_profiles(
    light: Image, sources: Sources, x: FloatArray, y: FloatArray, conditions: Conditions
) -> None:
    bands = [conditions.bands[b] for b in BANDS]
    sigma = np.array([1.0 / np.sqrt(b.invvar_per_exposure * np.median(b.nexp_x)) for b in bands])
    side = stamp_sizes(sources, sigma, max(float(b.seeing_x.max() + b.seeing_y.max()) for b in bands))
    psf_e = np.array([b.psf_e for b in bands])
    for size in np.unique(side):
        rows = np.flatnonzero((side == size) & _reaches(x, y, light.shape[-1], int(size)))
        if not rows.size:
            continue
        left = np.rint(x[rows] - (size - 1) / 2).astype(np.int64)
        bottom = np.rint(y[rows] - (size - 1) / 2).astype(np.int64)
        stamps = render_profiles(
            profiles_of(sources[rows]),
            size=int(size),
            x_offset_px=x[rows] - left - (size - 1) / 2,
            y_offset_px=y[rows] - bottom - (size - 1) / 2,
            fwhm_arcsec=np.column_stack([b.seeing_at(x[rows], y[rows]) for b in bands]),
            flux_nmgy=sources["flux"][rows],
            psf_e=psf_e,
        )
        _paste(light, stamps, left, bottom)


def stamp_sizes(sources: Sources, sigma_nmgy: FloatArray, fwhm_arcsec: float) -> NDArray[np.int64]:
    """Return the smallest stamp side per source beyond which its light is below ``EDGE_SIGMA``.

    Parameters
    ----------
    sources : structured array, n rows
    sigma_nmgy : ndarray, shape (3,)
        Noise per pixel.
    fwhm_arcsec : float
        Seeing, for the wings of the PSF.
    """
    brightest = (sources["flux"] / sigma_nmgy).max(axis=1) * PIXEL_SCALE_ARCSEC**2
    index = np.asarray(SERSIC_INDICES)[sources["index_id"].astype(int)]
    n = np.where(index == POINT, 1.0, index)
    b = gammaincinv(2.0 * n, 0.5)
    radius = np.where(index == POINT, 1e-3, np.maximum(sources["radius"], 1e-3))
    norm = b ** (2.0 * n) / (2.0 * np.pi * n * radius**2 * sources["q"] * gamma(2.0 * n))
    width = fwhm_arcsec / (2.0 * np.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0))
    chosen = np.full(len(sources), STAMP_SIZES[-1], dtype=np.int64)
    for size in reversed(STAMP_SIZES):
        far = (size / 2 - 2) * PIXEL_SCALE_ARCSEC
        galaxy = norm * np.exp(-b * (far / radius) ** (1.0 / n))
        wing = (MOFFAT_BETA - 1.0) / (np.pi * width**2) * (1.0 + (far / width) ** 2) ** -MOFFAT_BETA
        chosen[brightest * (galaxy + wing) < EDGE_SIGMA] = size
    return chosen


def _invvar(config: MockSkyConfig, brick: MockBrick, conditions: Conditions) -> Image:
    """Return inverse variance maps: exposures, pixels lost in one of them, dead columns, gaps."""
    size = config.brick_px
    maps = np.empty((len(BANDS), size, size), dtype=np.float32)
    for plane, band in enumerate(BANDS):
        rng = streams.generator(config.seed, f"mock/invvar/{band}", brick.key)
        nexp = conditions.bands[band].nexp_map().astype(np.float32)
        hit = rng.integers(0, size * size, int(0.003 * size * size))
        lost = nexp.reshape(-1)[hit]
        nexp.reshape(-1)[hit] = np.where(lost > 1.0, lost - 1.0, lost)
        for _ in range(int(rng.poisson(_BAD_COLUMN_RATE))):
            column = int(rng.integers(0, size))
            nexp[:, column : column + int(rng.integers(1, 3))] = 0.0
        if rng.uniform() < _GAP_PROBABILITY:
            start = int(rng.integers(0, size))
            nexp[start : start + int(rng.integers(12, 40)), :] = 0.0
        maps[plane] = nexp * np.float32(conditions.bands[band].invvar_per_exposure)
    return maps


def _observe(
    config: MockSkyConfig, brick: MockBrick, light: Image, invvar: Image, conditions: Conditions
) -> Image:
    """Add sky and photon noise, correlated as resampled stacks are, and blank uncovered pixels."""
    for plane, band in enumerate(BANDS):
        facts: BandConditions = conditions.bands[band]
        rng = streams.generator(config.seed, f"mock/noise/{band}", brick.key)
        noise = correlated_noise(rng, light.shape[-1], facts.shift_px)
        covered = invvar[plane] > 0.0
        variance = np.divide(1.0, invvar[plane], out=np.zeros_like(invvar[plane]), where=covered)
        # Sky-limited exposures: var = sky / gain, so a photon of light adds var / sky per nMgy.
        variance *= 1.0 + np.maximum(light[plane], 0.0) / np.float32(facts.sky_nmgy)
        light[plane] += noise * np.sqrt(variance) + np.float32(facts.residual_nmgy)
        light[plane][~covered] = 0.0
    return light


def _plant_nans(
    config: MockSkyConfig, brick: MockBrick, plane: Image, count: int, x: FloatArray, y: FloatArray
) -> None:
    """Set a short column beside the given object, and single pixels elsewhere, to NaN."""
    rng = streams.generator(config.seed, "mock/nan", brick.key)
    anywhere = count
    if len(x):
        anywhere = count - count // 2
        top = int(y[0]) + count // 2
        plane[int(y[0]) : top, int(x[0]) + 8] = np.nan
    plane.reshape(-1)[rng.integers(0, plane.size, anywhere)] = np.nan


def lanczos_taps(shift_px: float) -> FloatArray:
    """Return the seven weights of a Lanczos-3 resampling by a shift, whose sum is 1."""
    x = np.arange(-3, 4) - shift_px
    weights = np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)
    return np.asarray(weights / weights.sum())


def correlated_noise(rng: np.random.Generator, size: int, shift_px: tuple[float, float]) -> Image:
    """Return unit-variance Gaussian noise as a stack has it that was resampled by shifts along x and y.

    White noise interpolated with Lanczos-3 keeps the covariance of its weights,
    sum_k w_k w_(k + lag), along each axis.
    """
    noise = rng.standard_normal((size + 6, size + 6), dtype=np.float32)
    for axis, shift in ((1, shift_px[0]), (0, shift_px[1])):
        taps = lanczos_taps(shift)
        noise = correlate1d(noise, taps / np.sqrt((taps**2).sum()), axis=axis, output=np.float32)
    return np.ascontiguousarray(noise[3:-3, 3:-3])
