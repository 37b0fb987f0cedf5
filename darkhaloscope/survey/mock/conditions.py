"""Observing conditions of a brick: seeing, depth, exposures, sky, reddening, masks.

Maps are built from steps along the edges of dithered detectors, as those of a
real stack are: constant inside patches and cheap to evaluate at a position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.schema import BANDS
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, MockBrick

FloatArray = NDArray[np.float64]

SEEING_R_QUANTILES_ARCSEC = ((0.0, 0.25, 0.5, 0.75, 1.0), (1.00, 1.218, 1.301, 1.411, 1.600))
"""Median r seeing of DR10 bricks; the lower end is cut where fewer than one brick in a hundred lies."""

DEPTH_R_QUANTILES_MAG = ((0.0, 0.25, 0.5, 0.75, 1.0), (23.60, 24.21, 24.46, 25.07, 25.90))
"""5-sigma r depth of DR10 bricks with good seeing; the upper end is cut at the deep fields."""

SEEING_RATIO = {"g": (1.12, 0.05), "r": (1.0, 0.0), "z": (0.99, 0.05)}
"""Mean and scatter of the seeing over that in r: g is the worst band of the survey."""

DEPTH_OFFSET_MAG = {"g": (0.55, 0.15), "r": (0.0, 0.0), "z": (-0.85, 0.15)}
"""Mean and scatter of the depth minus that in r, from the survey's planned and measured depths."""

SKY_MAG_ARCSEC2 = {"g": (22.0, 0.15), "r": (20.9, 0.2), "z": (18.9, 0.25)}
"""Mean and scatter of the night sky's surface brightness at the site."""

RESAMPLING_SHIFT_PX = {"x": (0.25, 0.48), "y": (0.33, 0.50)}
"""Range of the shift by which the noise of a stack is resampled (Lanczos-3), along x and y.

It gives the autocorrelation of the sky of real cutouts, 0.1 to 0.26 at one
pixel, negative at two, positive again at three; stronger along y than along x.
"""

RESAMPLING_SCATTER_PX = 0.03
"""Scatter of the shift between the bands of a brick, whose correlations are alike."""

RESIDUAL_SKY_SIGMA = (0.0, 0.2)
"""Range of the sky level left in a stack, over the noise of a pixel; positive in every real cutout."""

FWHM_TO_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_SEEING_STEP_ARCSEC = 1.0 / 1024.0
_DETECTOR_EDGES = 9


@dataclass(frozen=True)
class BandConditions:
    """One band of one brick.

    Parameters
    ----------
    seeing_x, seeing_y : ndarray, shape (size,)
        FWHM in arcsec is ``seeing_x[x] + seeing_y[y]``.
    nexp_x, nexp_y : ndarray of int, shape (size,)
        Exposures are ``nexp_x[x] + nexp_y[y]``.
    invvar_per_exposure : float
        Inverse variance that one exposure gives a pixel, 1/nMgy^2.
    sky_nmgy : float
        Sky level removed, nMgy per pixel.
    residual_nmgy : float
        Sky level left in the stack, nMgy per pixel.
    shift_px : (float, float)
        Shift along x and y by which the noise was resampled, 0 to 0.5.
    psf_e : (float, float)
        Shear of the PSF.
    """

    seeing_x: FloatArray
    seeing_y: FloatArray
    nexp_x: NDArray[np.int64]
    nexp_y: NDArray[np.int64]
    invvar_per_exposure: float
    sky_nmgy: float
    residual_nmgy: float
    shift_px: tuple[float, float]
    psf_e: tuple[float, float]

    def seeing_at(self, x_px: FloatArray, y_px: FloatArray) -> FloatArray:
        """Return the FWHM in arcsec at pixel positions, clamped to the stack."""
        ix, iy = self._pixel(x_px, y_px)
        return _seeing(self.seeing_x[ix], self.seeing_y[iy]).astype(np.float64)

    def nexp_at(self, x_px: FloatArray, y_px: FloatArray) -> NDArray[np.int64]:
        """Return the exposures at pixel positions."""
        ix, iy = self._pixel(x_px, y_px)
        return np.asarray(self.nexp_x[ix] + self.nexp_y[iy])

    def psfdepth_at(self, x_px: FloatArray, y_px: FloatArray) -> FloatArray:
        """Return the point-source inverse variance in 1/nMgy^2 at pixel positions."""
        exposures = self.nexp_at(x_px, y_px).astype(np.float64)
        return psfdepth_ivar(self.invvar_per_exposure * exposures, self.seeing_at(x_px, y_px))

    def seeing_map(self) -> NDArray[np.float32]:
        """Return the FWHM map in arcsec, shape (size, size)."""
        return _seeing(self.seeing_x[None, :], self.seeing_y[:, None])

    def nexp_map(self) -> NDArray[np.int16]:
        """Return the exposure map, shape (size, size)."""
        return (self.nexp_y[:, None] + self.nexp_x[None, :]).astype(np.int16)

    def nexp_histogram(self) -> NDArray[np.int64]:
        """Return how many pixels have 0, 1, 2 ... exposures."""
        return np.convolve(
            np.bincount(self.nexp_x - self._nexp_low), np.bincount(self.nexp_y + self._nexp_low)
        )

    @property
    def _nexp_low(self) -> int:
        """Amount that makes ``nexp_y`` non-negative when added; it is taken off ``nexp_x``."""
        return max(0, -int(self.nexp_y.min()))

    def _pixel(self, x_px: FloatArray, y_px: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        last = len(self.seeing_x) - 1
        ix = np.clip(np.rint(x_px), 0, last).astype(np.int64)
        iy = np.clip(np.rint(y_px), 0, last).astype(np.int64)
        return ix, iy


@dataclass(frozen=True)
class Conditions:
    """All bands of one brick and its reddening ``ebv`` in mag."""

    bands: dict[str, BandConditions]
    ebv: float


def psfdepth_ivar(invvar: FloatArray, fwhm_arcsec: FloatArray) -> FloatArray:
    """Return the inverse variance of a point source's flux: invvar / N_eff, N_eff = 4 pi sigma^2."""
    sigma_px = fwhm_arcsec / (FWHM_TO_SIGMA * PIXEL_SCALE_ARCSEC)
    return np.asarray(invvar / (4.0 * np.pi * sigma_px**2))


def depth_mag(psfdepth: FloatArray) -> FloatArray:
    """Return the 5-sigma AB magnitude of a point-source inverse variance in 1/nMgy^2."""
    return np.asarray(22.5 - 2.5 * np.log10(5.0 / np.sqrt(psfdepth)))


def draw_conditions(config: MockSkyConfig, brick: MockBrick) -> Conditions:
    """Draw the conditions of a brick from the survey's distributions."""

    def unit(stream: str) -> float:
        return float(streams.uniform(config.seed, f"mock/conditions/{stream}", [brick.key])[0])

    def gauss(stream: str) -> float:
        return float(streams.normal(config.seed, f"mock/conditions/{stream}", [brick.key])[0])

    def shift(axis: str, band: str) -> float:
        low, high = RESAMPLING_SHIFT_PX[axis]
        common = low + (high - low) * unit(f"shift_{axis}")
        return float(np.clip(common + RESAMPLING_SCATTER_PX * gauss(f"shift_{axis}/{band}"), 0.0, 0.5))

    seeing_r = float(np.interp(unit("seeing"), *SEEING_R_QUANTILES_ARCSEC))
    depth_r = float(np.interp(unit("depth"), *DEPTH_R_QUANTILES_MAG))
    bands = {}
    for band in BANDS:
        mean, scatter = SEEING_RATIO[band]
        fwhm = float(np.clip(seeing_r * (mean + scatter * gauss(f"seeing/{band}")), 0.85, 1.9))
        offset, spread = DEPTH_OFFSET_MAG[band]
        depth = depth_r + offset + spread * gauss(f"depth/{band}")
        sky_mean, sky_scatter = SKY_MAG_ARCSEC2[band]
        sky_mag = sky_mean + sky_scatter * gauss(f"sky/{band}")
        rng = streams.generator(config.seed, f"mock/conditions/maps/{band}", brick.key)
        bands[band] = _band(
            rng,
            size=config.brick_px,
            fwhm_arcsec=fwhm,
            depth=depth,
            sky_nmgy=float(10.0 ** (0.4 * (22.5 - sky_mag)) * PIXEL_SCALE_ARCSEC**2),
            residual_sigma=float(np.interp(unit(f"residual/{band}"), (0.0, 1.0), RESIDUAL_SKY_SIGMA)),
            shift_px=(shift("x", band), shift("y", band)),
        )
    ebv = float(np.clip(0.035 * np.exp(0.5 * gauss("ebv")), 0.005, 0.12))
    return Conditions(bands, ebv)


def _band(
    rng: np.random.Generator,
    *,
    size: int,
    fwhm_arcsec: float,
    depth: float,
    sky_nmgy: float,
    residual_sigma: float,
    shift_px: tuple[float, float],
) -> BandConditions:
    seeing_x, seeing_y = (_patches(rng, size, 0.5 * fwhm_arcsec) for _ in range(2))
    nexp = int(rng.integers(3, 9))
    nexp_x = np.full(size, nexp, dtype=np.int64)
    nexp_y = np.zeros(size, dtype=np.int64)
    for axis in (nexp_x, nexp_y):
        for edge in rng.integers(0, size, 2):
            axis[edge:] += rng.choice([-1, 1])
    nexp_x += max(0, 1 - int(nexp_x.min() + nexp_y.min()))
    middle = size // 2
    median_nexp = int(nexp_x[middle] + nexp_y[middle])
    sigma_px = fwhm_arcsec / (FWHM_TO_SIGMA * PIXEL_SCALE_ARCSEC)
    flux_sigma = 10.0 ** (0.4 * (22.5 - depth)) / 5.0
    invvar = 4.0 * np.pi * sigma_px**2 / flux_sigma**2
    return BandConditions(
        seeing_x,
        seeing_y,
        nexp_x,
        nexp_y,
        float(invvar / median_nexp),
        sky_nmgy,
        residual_sigma / float(np.sqrt(invvar)),
        shift_px,
        (float(rng.normal(0.0, 0.015)), float(rng.normal(0.0, 0.015))),
    )


def _patches(rng: np.random.Generator, size: int, level: float) -> FloatArray:
    """Return a slope over the brick, constant between the edges of dithered detectors."""
    edges = np.sort(rng.integers(0, size, _DETECTOR_EDGES))
    slope = rng.normal(0.0, 0.03)
    patch = np.searchsorted(edges, np.arange(size), side="right")
    middle = (np.append(edges, size) + np.insert(edges, 0, 0)) / size - 1.0
    return np.asarray(level * (1.0 + slope * middle + rng.normal(0.0, 0.008, len(middle)))[patch])


def _seeing(along_x: FloatArray, along_y: FloatArray) -> NDArray[np.float32]:
    """Add, and round to a binary fraction, so that the lossless map compresses as real patchy ones do."""
    step = np.float32(_SEEING_STEP_ARCSEC)
    fwhm = along_x.astype(np.float32) / step + along_y.astype(np.float32) / step
    return np.asarray(np.rint(fwhm, out=fwhm) * step)
