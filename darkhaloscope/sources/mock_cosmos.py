"""A mock COSMOS sample in GalSim's RealGalaxyCatalog layout, for runs without the real one.

Spirals with clumpy arms, Sersic galaxies and irregulars, seen by an HST-like
PSF with correlated noise, are written as FITS stamps and the two catalogue
tables, so the builder and reader of the real sample read them. Only the
population and the images are made here; the profiles are crude on purpose, for
nothing downstream may depend on how these galaxies were drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage, signal

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.sources.bankfile import TEMPLATE_SCALE_ARCSEC
from darkhaloscope.sources.morphology import half_light_radius_px
from darkhaloscope.sources.selection import ACS_F814W_ZEROPOINT_MAG
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

MAG_RANGE = (20.5, 23.5)
COUNT_SLOPE = 0.30
"""F814W limits, and d log10 N / d mag near the slope of faint galaxy counts in I."""

LOG_HLR_AT_22, LOG_HLR_SLOPE, LOG_HLR_SCATTER = -0.35, -0.13, 0.18
"""log10 of the half-light radius in arcsec: value at F814W = 22, change per magnitude, scatter.
The ten galaxies of the real 23.5 sample at hand have mean -0.39 at 22.3 mag and scatter 0.18 about this
line; too few to measure the slope, which is assumed."""

LOG_Z_AT_22, LOG_Z_SLOPE, LOG_Z_SCATTER = -0.22, 0.09, 0.20
"""The same for log10 of the photometric redshift; the ten have mean -0.19 at 22.3 mag, scatter 0.22."""

NOISE_SIGMA = 0.0027
NOISE_CORRELATION_PX = 0.62
"""Standard deviation of one sky pixel in counts/s, and the Gaussian width that gives neighbouring
pixels a correlation of 0.48: both measured on the real stamps."""

PSF_FWHM_ARCSEC = (0.10, 0.12)
PSF_BETA = 3.0
PSF_PX = 41

STAMPS_PER_FILE = 100
FIRST_IDENT = 900_001
DEFECT_FRACTION = 0.05
DEFECTS = ("star", "faint", "giant", "nan", "repeat")

_KINDS = ("spiral", "sersic", "irregular")
_KIND_EDGES = (0.55, 0.80)


class _Truth(NamedTuple):
    """What one galaxy is, drawn from its identity."""

    kind: str
    defect: str
    mag: float
    hlr_arcsec: float
    z_phot: float
    psf_fwhm_arcsec: float


def write_mock_cosmos(directory: str | Path, n_galaxies: int, seed: int) -> dict[str, Any]:
    """Write a mock sample.

    Parameters
    ----------
    directory : path
        Created; files of an earlier mock are replaced.
    n_galaxies : int
        Galaxies, of which about 5 % have a defect that the builder must find:
        a star, a source lost in noise, one larger than the template, a NaN
        pixel, a repeated stamp.
    seed : int
        Every galaxy is a function of (seed, identifier).

    Returns
    -------
    dict
        ``n_galaxies`` and the number of galaxies by kind and defect.

    Raises
    ------
    ConfigError
        If ``n_galaxies`` is not positive.
    StorageError
        If the disk is full.
    """
    if n_galaxies < 1:
        raise ConfigError(describe("Number of mock galaxies", expected="at least 1", got=n_galaxies))
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    previous: NDArray[np.float32] | None = None
    for number in range(-(-n_galaxies // STAMPS_PER_FILE)):
        stamps, psfs = [], []
        gal_name = f"real_galaxy_images_mock_n{number + 1}.fits"
        psf_name = f"real_galaxy_PSF_images_mock_n{number + 1}.fits"
        first = number * STAMPS_PER_FILE
        for index in range(first, min(first + STAMPS_PER_FILE, n_galaxies)):
            ident = FIRST_IDENT + index
            truth = _draw(seed, ident)
            stamp, psf, flux, flux_radius_px = _render(seed, ident, truth)
            if truth.defect == "repeat" and previous is not None:
                stamp = previous
            previous = stamp
            stamps.append(stamp)
            psfs.append(psf)
            hdu = index - first
            row = _row(seed, ident, truth, flux, flux_radius_px, float(stamp.sum()))
            rows.append({**row, "GAL_FILENAME": gal_name, "PSF_FILENAME": psf_name, "GAL_HDU": hdu})
            for name in (truth.kind, truth.defect):
                counts[name] = counts.get(name, 0) + bool(name)
        _write_images(directory / gal_name, stamps)
        _write_images(directory / psf_name, psfs)
    _write_tables(directory, rows)
    return {"n_galaxies": n_galaxies, "counts": dict(sorted((k, v) for k, v in counts.items() if k))}


def _draw(seed: int, ident: int) -> _Truth:
    random = generator(seed, "mock_cosmos_truth", str(ident))
    low, high = MAG_RANGE
    step = 10.0 ** (COUNT_SLOPE * (high - low)) - 1.0
    mag = low + np.log10(1.0 + step * random.random()) / COUNT_SLOPE
    log_hlr = LOG_HLR_AT_22 + LOG_HLR_SLOPE * (mag - 22.0) + LOG_HLR_SCATTER * random.standard_normal()
    log_z = LOG_Z_AT_22 + LOG_Z_SLOPE * (mag - 22.0) + LOG_Z_SCATTER * random.standard_normal()
    kind = _KINDS[int(np.searchsorted(_KIND_EDGES, random.random()))]
    fwhm = random.uniform(*PSF_FWHM_ARCSEC)
    which = random.random() / DEFECT_FRACTION
    defect = DEFECTS[int(which * len(DEFECTS))] if which < 1.0 else ""
    hlr = float(np.clip(10.0**log_hlr, 0.12, 0.9))
    if defect == "faint":
        mag = 27.5
    elif defect == "giant":
        hlr = 1.3
    return _Truth(kind, defect, float(mag), hlr, float(10.0**log_z), float(fwhm))


def _render(
    seed: int, ident: int, truth: _Truth
) -> tuple[NDArray[np.float32], NDArray[np.float32], float, float]:
    """Return stamp, PSF, total flux in counts/s and the stamp's half-light radius in pixels.

    SExtractor's radius, too, is that of the light within an aperture, not of a
    profile's wings out to infinity.
    """
    random = generator(seed, "mock_cosmos_pixels", str(ident))
    hlr_px = truth.hlr_arcsec / TEMPLATE_SCALE_ARCSEC
    side = max(41, int(np.ceil(random.uniform(7.0, 9.0) * hlr_px)))
    shape = (side, side + int(random.integers(0, 2)))
    psf = _moffat(PSF_PX, truth.psf_fwhm_arcsec / TEMPLATE_SCALE_ARCSEC)
    canvas = np.zeros((shape[0] + PSF_PX, shape[1] + PSF_PX))
    if truth.defect == "star":
        canvas[canvas.shape[0] // 2, canvas.shape[1] // 2] = 1.0
    else:
        canvas = _PROFILES[truth.kind]((canvas.shape[0], canvas.shape[1]), hlr_px, random)
    seen = signal.fftconvolve(canvas / canvas.sum(), psf, mode="same")
    edge = PSF_PX // 2
    light = seen[edge : edge + shape[0], edge : edge + shape[1]]
    y, x = np.indices(light.shape)
    centre = float((light * x).sum() / light.sum()), float((light * y).sum() / light.sum())
    flux = 10.0 ** (0.4 * (ACS_F814W_ZEROPOINT_MAG - truth.mag))
    noise = ndimage.gaussian_filter(random.standard_normal(shape), NOISE_CORRELATION_PX, mode="wrap")
    stamp = flux * light + NOISE_SIGMA * noise / noise.std()
    if truth.defect == "nan":
        stamp[shape[0] // 3, shape[1] // 3] = np.nan
    return stamp.astype(np.float32), psf.astype(np.float32), float(flux), half_light_radius_px(light, centre)


def _spiral(shape: tuple[int, int], hlr_px: float, random: np.random.Generator) -> FloatArray:
    """Exponential disc, small bulge, and a logarithmic spiral of star-forming clumps."""
    q, angle = random.uniform(0.35, 1.0), random.uniform(0.0, np.pi)
    disc_scale = hlr_px / 1.678
    u, v = _disc_frame(shape, q, angle)
    disc = np.exp(-np.hypot(u, v) / disc_scale)
    bulge = _sersic(np.hypot(u, v * np.sqrt(q)), 0.25 * hlr_px, 2.5)
    winding, phase, arms = random.uniform(2.0, 4.0), random.uniform(0.0, 2.0 * np.pi), 2
    theta = np.arctan2(v, u) - winding * np.log(np.hypot(u, v) / disc_scale + 0.3)
    disc *= 1.0 + 0.8 * np.cos(arms * theta + phase)
    clumps = np.zeros(shape)
    for _ in range(int(random.integers(6, 16))):
        radius = disc_scale * random.gamma(2.0, 0.8)
        along = (2.0 * np.pi * random.integers(0, arms) - phase) / arms
        spot = along + winding * np.log(radius / disc_scale + 0.3) + random.normal(0.0, 0.15)
        width = random.uniform(0.7, 2.0)
        distance2 = (u - radius * np.cos(spot)) ** 2 + (v - radius * np.sin(spot)) ** 2
        clumps += random.lognormal(0.0, 0.7) / width**2 * np.exp(-distance2 / (2.0 * width**2))
    share_bulge, share_clumps = random.uniform(0.02, 0.2), random.uniform(0.08, 0.3)
    return _mix((1.0 - share_bulge - share_clumps, disc), (share_bulge, bulge), (share_clumps, clumps))


def _sersic_galaxy(shape: tuple[int, int], hlr_px: float, random: np.random.Generator) -> FloatArray:
    """One elliptical Sersic profile."""
    q, angle, n = random.uniform(0.4, 1.0), random.uniform(0.0, np.pi), random.uniform(1.0, 4.0)
    u, v = _disc_frame(shape, q, angle)
    return _sersic(np.hypot(u, v) * np.sqrt(q), hlr_px, n)


def _irregular(shape: tuple[int, int], hlr_px: float, random: np.random.Generator) -> FloatArray:
    """Faint envelope and a few bright knots off its centre."""
    q, angle = random.uniform(0.4, 0.9), random.uniform(0.0, np.pi)
    u, v = _disc_frame(shape, q, angle)
    envelope = _sersic(np.hypot(u, v) * np.sqrt(q), hlr_px, 0.8)
    knots = np.zeros(shape)
    for _ in range(int(random.integers(3, 9))):
        du, dv = random.normal(0.0, 0.6 * hlr_px, size=2)
        width = random.uniform(0.8, 0.3 * hlr_px + 0.8)
        distance2 = (u - du) ** 2 + (v - dv) ** 2
        knots += random.lognormal(0.0, 0.6) / width**2 * np.exp(-distance2 / (2.0 * width**2))
    share = random.uniform(0.2, 0.6)
    return _mix((1.0 - share, envelope), (share, knots))


_PROFILES = {"spiral": _spiral, "sersic": _sersic_galaxy, "irregular": _irregular}


def _disc_frame(shape: tuple[int, int], q: float, angle: float) -> tuple[FloatArray, FloatArray]:
    """Return coordinates in the plane of an inclined disc, in pixels, major axis along u."""
    y, x = np.indices(shape, dtype=np.float64)
    y -= (shape[0] - 1) / 2.0
    x -= (shape[1] - 1) / 2.0
    return x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / q


def _sersic(radius_px: FloatArray, hlr_px: float, n: float) -> FloatArray:
    """Sersic profile, softened by half a pixel; b from Ciotti & Bertin (1999)."""
    b = 2.0 * n - 1.0 / 3.0 + 4.0 / (405.0 * n)
    return np.asarray(np.exp(-b * (np.hypot(radius_px, 0.5) / hlr_px) ** (1.0 / n)), dtype=np.float64)


def _mix(*parts: tuple[float, FloatArray]) -> FloatArray:
    """Add images that carry the given shares of the total flux."""
    return np.asarray(sum(share * image / image.sum() for share, image in parts), dtype=np.float64)


def _moffat(size: int, fwhm_px: float) -> FloatArray:
    alpha = fwhm_px / (2.0 * np.sqrt(2.0 ** (1.0 / PSF_BETA) - 1.0))
    axis = np.arange(size) - (size - 1) / 2.0
    psf = (1.0 + (axis[:, None] ** 2 + axis**2) / alpha**2) ** -PSF_BETA
    return np.asarray(psf / psf.sum(), dtype=np.float64)


def _row(
    seed: int, ident: int, truth: _Truth, flux: float, flux_radius_px: float, stamp_flux: float
) -> dict[str, Any]:
    random = generator(seed, "mock_cosmos_catalogue", str(ident))
    return {
        "IDENT": ident,
        "RA": 149.5 + 1.2 * random.random(),
        "DEC": 1.6 + 1.2 * random.random(),
        "MAG": truth.mag + 0.02 * random.standard_normal(),
        "flux_radius": flux_radius_px * (1.0 + 0.02 * random.standard_normal()),
        "zphot": truth.z_phot,
        "hlr": flux_radius_px * TEMPLATE_SCALE_ARCSEC,
        "flux": flux,
        "stamp_flux": stamp_flux,
    }


def _write_images(path: Path, images: list[NDArray[np.float32]]) -> None:
    hdus = [fits.PrimaryHDU(images[0]), *(fits.ImageHDU(image) for image in images[1:])]
    _write_fits(path, hdus)


def _write_tables(directory: Path, rows: list[dict[str, Any]]) -> None:
    """Write the main table and its companion with the columns that sizes, fluxes and stamps need."""
    n = len(rows)

    def column(name: str) -> list[Any]:
        return [row[name] for row in rows]

    main = [
        fits.Column("IDENT", "J", array=column("IDENT")),
        fits.Column("RA", "D", array=column("RA")),
        fits.Column("DEC", "D", array=column("DEC")),
        fits.Column("MAG", "D", array=column("MAG")),
        fits.Column("BAND", "5A", array=["F814W"] * n),
        fits.Column("WEIGHT", "D", array=np.ones(n)),
        fits.Column("GAL_FILENAME", "36A", array=column("GAL_FILENAME")),
        fits.Column("PSF_FILENAME", "40A", array=column("PSF_FILENAME")),
        fits.Column("GAL_HDU", "J", array=column("GAL_HDU")),
        fits.Column("PSF_HDU", "J", array=column("GAL_HDU")),
        fits.Column("PIXEL_SCALE", "D", array=np.full(n, TEMPLATE_SCALE_ARCSEC)),
        fits.Column("NOISE_MEAN", "D", array=np.zeros(n)),
        fits.Column("NOISE_VARIANCE", "D", array=np.full(n, NOISE_SIGMA**2)),
        fits.Column("stamp_flux", "D", array=np.nan_to_num(column("stamp_flux"))),
    ]
    hlr = np.zeros((n, 3))
    hlr[:, 0] = column("hlr")
    flux = np.zeros((n, 4))
    flux[:, 0] = column("flux")
    companion = [
        fits.Column("IDENT", "J", array=column("IDENT")),
        fits.Column("mag_auto", "D", array=column("MAG")),
        fits.Column("flux_radius", "D", array=column("flux_radius")),
        fits.Column("zphot", "D", array=column("zphot")),
        fits.Column("hlr", "3D", array=hlr),
        fits.Column("flux", "4D", array=flux),
    ]
    for name, columns in (("mock", main), ("mock_fits", companion)):
        table = fits.BinTableHDU.from_columns(columns)
        _write_fits(directory / f"real_galaxy_catalog_{name}.fits", [fits.PrimaryHDU(), table])


def _write_fits(path: Path, hdus: list[Any]) -> None:
    with atomic_path(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, output_verify="exception")
