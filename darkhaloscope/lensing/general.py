"""The renderer for any mass and any PSF: slower than ``render``, same output and conventions.

Rays are shot through every cell of a box that holds the whole image; cells are
convolved by a Fourier transform, which any PSF with a transfer function allows.
Data sets are rendered by ``render``; this one answers what they leave out: other
slopes, substructure, measured PSFs. Models are in ``mass`` and ``psf_models``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, DataError, describe
from darkhaloscope.lensing.mass import Mass
from darkhaloscope.lensing.psf_models import Psf
from darkhaloscope.lensing.render import Rendered
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.scene import check_templates

FloatArray = NDArray[np.float64]

STANDARD = Sampling(2, 4)
"""64 rays per pixel: no worse than ``render`` at its standard quality."""

BOX_MAX_PX = 512
_SEARCH_ANGLES = 256
_SEARCH_STEP_PX = 0.5


def render_general(
    templates: NDArray[Any],
    *,
    masses: Sequence[Mass],
    psfs: Sequence[Sequence[Psf]],
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    src_x_arcsec: Any,
    src_y_arcsec: Any,
    src_rotation_rad: Any,
    src_flip: Any,
    flux_nmgy: Any,
    sampling: Sampling = STANDARD,
) -> Rendered:
    """Render sources behind any mass, through any PSF.

    Parameters
    ----------
    templates : array_like, shape (n, t, t)
        Share of the source's flux per template pixel; each sums to 1.
    masses : sequence of Mass, length n
        What stands before each source; ``Composite(())`` for nothing.
    psfs : sequence of n sequences of Psf, length bands
        PSF of each scene and band.
    template_scale_arcsec, size_px, pixel_scale_arcsec, src_rotation_rad, src_flip, flux_nmgy
        As in :func:`darkhaloscope.lensing.render.render_lensed`.
    src_x_arcsec, src_y_arcsec : array_like, shape (n,) or scalar
        Source relative to the stamp centre, in the source plane: a mass of several
        parts has no centre to count from. For one deflector add its place.
    sampling : Sampling
        Cells, and rays in every cell; they do not follow the source here.

    Returns
    -------
    Rendered
        As of ``render_lensed``.

    Raises
    ------
    DataError
        If a value is not finite, a template does not sum to 1, or the image reaches
        beyond a box of 512 px.
    ContractError
        If a shape or a length is wrong.
    """
    templates = np.asarray(templates, dtype=np.float64)
    check_templates(templates)
    n = templates.shape[0]
    flux = np.asarray(flux_nmgy, dtype=np.float64)
    bands = flux.shape[1] if flux.ndim == 2 else 0
    if len(masses) != n or flux.shape != (n, bands) or [len(row) for row in psfs] != [bands] * n:
        raise ContractError(
            describe(
                "Scenes",
                field="masses, psfs, flux_nmgy",
                expected=f"{n} masses, {n} rows of PSFs and shape ({n}, bands)",
                got=f"{len(masses)}, {len(psfs)} and {flux.shape}",
            )
        )
    place = {
        "src_x_arcsec": src_x_arcsec,
        "src_y_arcsec": src_y_arcsec,
        "src_rotation_rad": src_rotation_rad,
        "src_flip": src_flip,
    }
    columns = {name: np.broadcast_to(np.asarray(v, dtype=np.float64), n) for name, v in place.items()}
    for name, column in (*columns.items(), ("flux_nmgy", flux)):
        if not np.isfinite(column).all():
            raise DataError(describe("Scene parameter out of range", field=name, expected="finite"))

    image = np.empty((n, bands, size_px, size_px), np.float32)
    magnification = np.empty(n)
    for i in range(n):
        x, y, rotation, flip = (float(columns[name][i]) for name in place)
        extent_arcsec = (templates.shape[-1] / 2.0 + 1.0) * math.sqrt(2.0) * template_scale_arcsec
        reach = _reach_arcsec(masses[i], x, y, extent_arcsec, pixel_scale_arcsec)
        # As odd or even as the stamp, so that cells divide its pixels.
        box_px = 2 * math.ceil(reach / pixel_scale_arcsec) + size_px % 2
        cells = _shoot(
            templates[i],
            masses[i],
            (x, y, rotation, bool(flip)),
            template_scale_arcsec,
            box_px,
            pixel_scale_arcsec,
            sampling,
        )
        cell_area = (pixel_scale_arcsec / sampling.cells_per_px) ** 2
        magnification[i] = cells.sum() * cell_area
        for band, psf in enumerate(psfs[i]):
            unit = _convolve(cells, psf, box_px, size_px, pixel_scale_arcsec, sampling.cells_per_px)
            image[i, band] = flux[i, band] * unit
    return Rendered(image, magnification)


def _reach_arcsec(mass: Mass, x: float, y: float, extent_arcsec: float, pixel_scale_arcsec: float) -> float:
    """Return a radius about the stamp centre beyond which no ray meets the source.

    Looked for on circles half a pixel apart, out to the largest box. An image
    farther out than one that a 1/256 turn misses is that of a mass far from the
    stamp, which does not belong in it.
    """
    step = _SEARCH_STEP_PX * pixel_scale_arcsec
    radii = np.arange(1, round(BOX_MAX_PX / 2 / _SEARCH_STEP_PX) + 1) * step
    angles = np.arange(_SEARCH_ANGLES) * (2.0 * np.pi / _SEARCH_ANGLES)
    ray_x, ray_y = radii[:, None] * np.cos(angles), radii[:, None] * np.sin(angles)
    alpha_x, alpha_y = mass.deflection(ray_x, ray_y)
    to_x, to_y = ray_x - alpha_x, ray_y - alpha_y
    # Between two circles a ray can come nearer to the source by at most about a step.
    meets = np.flatnonzero((np.hypot(to_x - x, to_y - y) <= extent_arcsec + 2.0 * step).any(axis=1))
    outwards = (ray_x[-1] * to_x[-1] + ray_y[-1] * to_y[-1] > 0.0).all()
    if not outwards or (meets.size and meets[-1] == radii.size - 1):
        raise DataError(
            describe(
                "Lensed image is too large",
                expected=f"light within {BOX_MAX_PX} px",
                got=f"light at {radii[-1]:.0f} arcsec or beyond",
                hint="check the Einstein radius, the source position and the pixel scale",
            )
        )
    return float(radii[meets[-1]] + step) if meets.size else step


def _shoot(
    template: FloatArray,
    mass: Mass,
    source: tuple[float, float, float, bool],
    template_scale_arcsec: float,
    box_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
) -> FloatArray:
    """Return the surface brightness of a source of unit flux, averaged over cells. Unit: 1/arcsec^2."""
    from scipy.ndimage import map_coordinates

    x, y, rotation, flip = source
    n_cells, per_cell = box_px * sampling.cells_per_px, sampling.rays_per_cell
    count = n_cells * per_cell
    axis = (np.arange(count) + 0.5 - count / 2.0) * (box_px * pixel_scale_arcsec / count)
    ray_x, ray_y = np.meshgrid(axis, axis)
    alpha_x, alpha_y = mass.deflection(ray_x, ray_y)
    from_source_x, from_source_y = ray_x - alpha_x - x, ray_y - alpha_y - y
    cos, sin = math.cos(rotation), math.sin(rotation)
    along = (cos * from_source_x + sin * from_source_y) * (-1.0 if flip else 1.0)
    across = cos * from_source_y - sin * from_source_x
    middle = (template.shape[0] - 1) / 2.0
    # Bilinear, falling to 0 over one template pixel beyond the edge.
    brightness = map_coordinates(
        template,
        [across / template_scale_arcsec + middle, along / template_scale_arcsec + middle],
        order=1,
        mode="grid-constant",
        prefilter=False,
    )
    cells = brightness.reshape(n_cells, per_cell, n_cells, per_cell).mean(axis=(1, 3))
    return np.asarray(cells / template_scale_arcsec**2)


def _convolve(
    cells: FloatArray, psf: Psf, box_px: int, size_px: int, pixel_scale_arcsec: float, cells_per_px: int
) -> FloatArray:
    """Convolve cells with a PSF and integrate over survey pixels.

    The period holds box, stamp and PSF, so that no light wraps onto the stamp. Cell
    i is centred at (i + 1/2) / os - box / 2 and pixel o at o + 1/2 - size / 2; a
    phase moves one onto the other, exactly for odd and even sizes.

    Returns
    -------
    ndarray, shape (size, size)
        Flux per pixel of a source of unit flux.
    """
    from scipy.fft import next_fast_len

    extent_px = math.ceil(psf.extent_arcsec / pixel_scale_arcsec)
    least = max(math.ceil((box_px + size_px) / 2.0) + extent_px, box_px, size_px)
    period_px = next_fast_len(least, real=True)
    count = period_px * cells_per_px
    step_arcsec = pixel_scale_arcsec / cells_per_px
    frequency_x, frequency_y = np.fft.rfftfreq(count, step_arcsec), np.fft.fftfreq(count, step_arcsec)
    shift_arcsec = pixel_scale_arcsec * ((1.0 - size_px) / 2.0 - (1.0 / cells_per_px - box_px) / 2.0)

    def factor(frequency: NDArray[Any]) -> NDArray[Any]:
        pixel = np.ones_like(frequency) if psf.holds_pixel else np.sinc(frequency * pixel_scale_arcsec)
        phase = np.exp(2j * np.pi * frequency * shift_arcsec)
        return np.asarray(phase * pixel / np.sinc(frequency * step_arcsec))

    spectrum = np.fft.rfft2(cells, s=(count, count), axes=(0, 1))
    spectrum *= psf.transfer(frequency_x, frequency_y)
    spectrum *= np.outer(factor(frequency_y), factor(frequency_x))
    fine = np.fft.irfft2(spectrum, s=(count, count), axes=(0, 1))
    picked = fine[: size_px * cells_per_px : cells_per_px, : size_px * cells_per_px : cells_per_px]
    return np.asarray(picked * pixel_scale_arcsec**2)
