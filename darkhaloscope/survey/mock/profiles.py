"""Light profiles seen through the atmosphere, exact in the Fourier domain.

A galaxy is a Sersic profile, a star a point; both are multiplied by the
transfer functions of a Moffat PSF and of the pixel and transformed back, one
small FFT per object and band. Images on half-pixel cells (lenses, spirals) go
through the same transfer function. Frames: x to the right, y up; angles from
+x towards +y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.optimize import nnls
from scipy.special import gammaincinv

from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]

POINT = 0.0
"""Sersic index that stands for a point source."""

SERSIC_INDICES = (POINT, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Indices a profile may have: each needs one table."""

MOFFAT_BETA = 3.5
OVERSAMPLING = 2
"""Cells per pixel side of cell images."""

_LOG2_K_MIN, _LOG2_K_MAX, _K_STEPS = -10.0, 12.0, 1024
_BATCH_CELLS = 1 << 21


@cache
def sersic_mixture(index: float) -> tuple[FloatArray, FloatArray]:
    """Return a Sersic profile as a mixture of Gaussians.

    Sersic profiles with index above 0.5 are completely monotonic in r^2, hence
    mixtures of Gaussians; the survey's own catalogue models are such mixtures
    (Hogg & Lang 2013, PASP 125, 719). The weights are fitted to the flux per
    logarithmic radius by non-negative least squares.

    Parameters
    ----------
    index : float
        Sersic index, at least 0.5.

    Returns
    -------
    (weight, sigma) : ndarrays, shape (m,)
        Weights sum to 1; sigma in half-light radii.
    """
    b = float(gammaincinv(2.0 * index, 0.5))
    log_far = min(np.log10((20.0 / b) ** index), 1.8)
    radius = np.logspace(-3.0, log_far, 400)
    profile = np.exp(-b * (radius ** (1.0 / index) - 1.0))
    sigma = np.logspace(-2.6, log_far - 0.2, 30)
    gaussians = np.exp(-0.5 * (radius[:, None] / sigma) ** 2)
    # r^1.5 lies between flux (r^2) and amplitude (r), so the core is fitted as well as the wings.
    columns = gaussians * radius[:, None] ** 1.5
    norm = np.sqrt((columns**2).sum(axis=0))
    amplitude, _ = nnls(columns / norm, profile * radius**1.5, maxiter=3000)
    weight = amplitude / norm * sigma**2
    used = weight > 0.0
    return weight[used] / weight.sum(), sigma[used]


@lru_cache(maxsize=1)
def _sersic_tables() -> Image:
    """Return the transforms of all profiles on a grid of log2(k r_e), shape (n, steps)."""
    k = np.exp2(np.linspace(_LOG2_K_MIN, _LOG2_K_MAX, _K_STEPS))
    rows = [np.ones(_K_STEPS)]
    for index in SERSIC_INDICES[1:]:
        weight, sigma = sersic_mixture(index)
        rows.append((np.exp(-0.5 * (k[:, None] * sigma) ** 2) * weight).sum(axis=1))
    return np.asarray(rows, dtype=np.float32)


def sersic_transform(index_id: NDArray[np.integer], k_times_radius: Image) -> Image:
    """Return the transform of unit-flux profiles.

    Parameters
    ----------
    index_id : ndarray of int, shape broadcastable to ``k_times_radius``
        Places in ``SERSIC_INDICES``.
    k_times_radius : ndarray
        Angular wavenumber times half-light radius, in the frame where the
        profile is round.

    Returns
    -------
    ndarray of float32
    """
    table = _sersic_tables()
    place = np.log2(np.maximum(k_times_radius, np.float32(2.0**_LOG2_K_MIN)))
    place -= np.float32(_LOG2_K_MIN)
    place *= np.float32((_K_STEPS - 1) / (_LOG2_K_MAX - _LOG2_K_MIN))
    np.minimum(place, np.float32(_K_STEPS - 1.001), out=place)
    low = place.astype(np.int32)
    place -= low
    flat = table.reshape(-1)
    low += (np.asarray(index_id) * _K_STEPS).astype(np.int32)
    below = flat[low]
    low += 1
    above = flat[low]
    above -= below
    above *= place
    above += below
    return above


def moffat_transform(
    k: NDArray[np.floating], fwhm_arcsec: NDArray[np.floating] | float
) -> NDArray[np.floating]:
    """Return the transfer function of a Moffat profile with beta = 3.5.

    exp(-x) (1 + x + x^2 / 3) with x = k a, a = FWHM / (2 sqrt(2^(1/beta) - 1)).

    Parameters
    ----------
    k : ndarray
        Angular wavenumber, rad/arcsec.
    fwhm_arcsec : float or ndarray
        Before the pixel window.
    """
    x = k * (fwhm_arcsec / (2.0 * np.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0)))
    transform: NDArray[np.floating] = np.exp(-x) * (1.0 + x * (1.0 + x / 3.0))
    return transform


@dataclass(frozen=True)
class Frequencies:
    """The half-plane of spatial frequencies of an even stamp, in cycles per pixel."""

    size: int

    @property
    def x(self) -> Image:
        """Frequencies along x, shape (size // 2 + 1,)."""
        return np.asarray(fft.rfftfreq(self.size), dtype=np.float32)

    @property
    def y(self) -> Image:
        """Frequencies along y, shape (size,)."""
        return np.asarray(fft.fftfreq(self.size), dtype=np.float32)

    def phase(self, x_px: FloatArray, y_px: FloatArray) -> NDArray[np.complex64]:
        """Return the phases that put objects at (x, y), shape (n, size, size // 2 + 1)."""
        along_x = np.exp(-2j * np.pi * self.x[None, :] * x_px[:, None]).astype(np.complex64)
        along_y = np.exp(-2j * np.pi * self.y[None, :] * y_px[:, None]).astype(np.complex64)
        return np.asarray(along_y[:, :, None] * along_x[:, None, :])


@lru_cache(maxsize=16)
def _wavenumbers(size: int) -> tuple[Image, Image, Image]:
    """Return kx, ky in rad/arcsec (broadcastable) and the pixel window of a stamp."""
    f = Frequencies(size)
    scale = np.float32(2.0 * np.pi / PIXEL_SCALE_ARCSEC)
    window = (np.sinc(f.y)[:, None] * np.sinc(f.x)[None, :]).astype(np.float32)
    return f.x[None, :] * scale, f.y[:, None] * scale, window


def psf_transform(size: int, fwhm_arcsec: FloatArray, e1: float, e2: float) -> Image:
    """Return transfer functions of PSF and pixel, shape (n, size, size // 2 + 1).

    Parameters
    ----------
    size : int
        Stamp side in pixels.
    fwhm_arcsec : ndarray, shape (n,)
        Moffat FWHM.
    e1, e2 : float
        Small shear of the PSF's iso-contours.
    """
    kx, ky, window = _wavenumbers(size)
    k = np.hypot(
        kx * np.float32(1.0 + e1) + ky * np.float32(e2), kx * np.float32(e2) + ky * np.float32(1.0 - e1)
    )
    return (moffat_transform(k[None], fwhm_arcsec.astype(np.float32)[:, None, None]) * window).astype(
        np.float32
    )


@dataclass(frozen=True)
class Profiles:
    """Columns of profiles, all of length n.

    Parameters
    ----------
    index_id : ndarray of int
        Places in ``SERSIC_INDICES``.
    radius_arcsec : ndarray
        Half-light radius along the major axis.
    q : ndarray
        Axis ratio.
    angle_rad : ndarray
        Direction of the major axis from +x towards +y.
    """

    index_id: NDArray[np.integer]
    radius_arcsec: FloatArray
    q: FloatArray
    angle_rad: FloatArray

    def __len__(self) -> int:
        return len(self.index_id)

    def take(self, rows: NDArray[np.integer]) -> Profiles:
        """Return the given rows."""
        return Profiles(self.index_id[rows], self.radius_arcsec[rows], self.q[rows], self.angle_rad[rows])


def render_profiles(
    profiles: Profiles,
    *,
    size: int,
    x_offset_px: FloatArray,
    y_offset_px: FloatArray,
    fwhm_arcsec: FloatArray,
    flux_nmgy: FloatArray,
    psf_e: FloatArray,
) -> Image:
    """Render profiles through the PSF of each band.

    Parameters
    ----------
    profiles : Profiles, n rows
    size : int
        Even stamp side in pixels; light outside wraps around.
    x_offset_px, y_offset_px : ndarray, shape (n,)
        Object minus geometric centre of the stamp.
    fwhm_arcsec, flux_nmgy : ndarray, shape (n, b)
    psf_e : ndarray, shape (b, 2)
        Shear of the PSF per band.

    Returns
    -------
    ndarray of float32, shape (b, n, size, size)
        Nanomaggies per pixel.
    """
    n, bands = fwhm_arcsec.shape
    out = np.empty((bands, n, size, size), dtype=np.float32)
    step = max(1, _BATCH_CELLS // (size * (size // 2 + 1)))
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        shape = _profile_spectrum(profiles.take(rows), size)
        centre = (size - 1) / 2.0
        spectrum = shape * Frequencies(size).phase(centre + x_offset_px[rows], centre + y_offset_px[rows])
        for band in range(bands):
            transfer = psf_transform(size, fwhm_arcsec[rows, band], *psf_e[band])
            transfer *= flux_nmgy[rows, band].astype(np.float32)[:, None, None]
            out[band, rows] = fft.irfft2(spectrum * transfer, s=(size, size))
    return out


def _profile_spectrum(profiles: Profiles, size: int) -> Image:
    kx, ky, _ = _wavenumbers(size)
    cos = np.cos(profiles.angle_rad).astype(np.float32)[:, None, None]
    sin = np.sin(profiles.angle_rad).astype(np.float32)[:, None, None]
    major = profiles.radius_arcsec.astype(np.float32)[:, None, None]
    minor = (profiles.radius_arcsec * profiles.q).astype(np.float32)[:, None, None]
    along = (kx * cos + ky * sin) * major
    across = (ky * cos - kx * sin) * minor
    return sersic_transform(profiles.index_id[:, None, None], np.hypot(along, across))


def convolve_cells(
    cells_nmgy: NDArray[np.floating],
    *,
    x_offset_px: float,
    y_offset_px: float,
    fwhm_arcsec: FloatArray,
    psf_e: FloatArray,
) -> Image:
    """Convolve flux on half-pixel cells and sample it on pixels.

    Parameters
    ----------
    cells_nmgy : ndarray, shape (b, 2 size, 2 size)
        Flux per cell and band, centred on the grid's geometric centre.
    x_offset_px, y_offset_px : float
        Where that centre lies from the stamp's geometric centre.
    fwhm_arcsec : ndarray, shape (b,)
    psf_e : ndarray, shape (b, 2)

    Returns
    -------
    ndarray of float32, shape (b, size, size)
        Nanomaggies per pixel. The cell average is replaced by the pixel
        average exactly: sinc(f) / sinc(f / 2).
    """
    bands, wide, _ = cells_nmgy.shape
    size = wide // OVERSAMPLING
    half = size // 2
    spectrum = fft.rfft2(cells_nmgy.astype(np.float32))
    rows = np.concatenate([np.arange(half), np.arange(wide - half, wide)])
    spectrum = spectrum[:, rows, : half + 1]
    f = Frequencies(size)
    cell_window = np.sinc(f.y / OVERSAMPLING)[:, None] * np.sinc(f.x / OVERSAMPLING)[None, :]
    # Cell 0 lies a quarter pixel before pixel 0's centre.
    shift = f.phase(np.array([x_offset_px - 0.25]), np.array([y_offset_px - 0.25]))[0]
    out = np.empty((bands, size, size), dtype=np.float32)
    for band in range(bands):
        transfer = psf_transform(size, fwhm_arcsec[band : band + 1], *psf_e[band])[0]
        out[band] = fft.irfft2(spectrum[band] * shift * (transfer / cell_window), s=(size, size))
    return out


def aperture_fraction(profiles: Profiles, *, radius_arcsec: float, fwhm_arcsec: FloatArray) -> FloatArray:
    """Return the share of light inside a circular aperture behind a Moffat PSF.

    The integral of the circularised transform, R int F(k) J1(k R) dk.

    Parameters
    ----------
    profiles : Profiles, n rows
    radius_arcsec : float
    fwhm_arcsec : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
    """
    from scipy.special import j1

    k = np.linspace(0.0, 16.0, 400)[1:]
    radius = profiles.radius_arcsec * np.sqrt(profiles.q)
    transform = sersic_transform(profiles.index_id[:, None], (k[None] * radius[:, None]).astype(np.float32))
    transform = transform * moffat_transform(k[None], fwhm_arcsec[:, None])
    weights = radius_arcsec * j1(k * radius_arcsec) * (k[1] - k[0])
    return np.asarray((transform * weights).sum(axis=1), dtype=np.float64)
