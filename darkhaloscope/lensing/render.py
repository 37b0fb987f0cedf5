"""The renderer: a source galaxy behind a deflector, on survey pixels, in every band.

Rays are shot once per scene through a grid of half-pixel cells, only where they
can meet the source; the cells are convolved per band with the PSF and integrated
over pixels (``convolution``). The image of a scene depends on that scene alone:
not on its batch, its place in it, the number of threads or processes.

The result is the noiseless expectation in nMgy per pixel. Noise is in ``noise``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # ships no types

from darkhaloscope.errors import ConfigError, DataError, describe
from darkhaloscope.lensing.convolution import Basis, GridSpec, basis, transfer_table
from darkhaloscope.lensing.psf import moffat_scale_arcsec
from darkhaloscope.lensing.scene import (
    Scenes,
    check_templates,
    require_sampled,
    scene_constants,
    unlensed_scene,
)

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

_CHUNK = 16  # scenes at a time: buffers stay in the processor's cache
_BOX_STEP_PX = 16
_BOX_MIN_PX = 32
_BOX_MAX_PX = 512
_ALIAS_PX = 28  # nearest alias of any light, for seeing up to _WIDE_FWHM_PX
_WIDE_FWHM_PX = 6.5
_SHARP_FWHM_PX = 3.0

# One caller at a time inside: the number of BLAS threads is a setting of the process.
_ONE_RENDER = threading.RLock()


class Sampling(NamedTuple):
    """How finely light is sampled.

    Attributes
    ----------
    cells_per_px : int
        Cells along one side of a survey pixel.
    rays_per_cell : int
        Rays along one side of a cell.
    """

    cells_per_px: int
    rays_per_cell: int


LENSED: Mapping[str, Sampling] = MappingProxyType(
    {"draft": Sampling(2, 1), "standard": Sampling(2, 2), "fine": Sampling(2, 4)}
)
"""Sampling of lensed sources at each quality level."""

UNLENSED: Mapping[str, Sampling] = MappingProxyType(
    {"draft": Sampling(2, 2), "standard": Sampling(2, 4), "fine": Sampling(2, 8)}
)
"""Unlensed galaxies are smaller than their images and need more rays."""

QUALITIES = tuple(LENSED)


def sampling_of(quality: str | Sampling, levels: Mapping[str, Sampling]) -> Sampling:
    """Return the sampling a quality level stands for in ``levels``; a sampling stands for itself."""
    if isinstance(quality, Sampling):
        return quality
    if quality not in levels:
        raise ConfigError(
            describe("Renderer", field="quality", expected=f"one of {', '.join(levels)}", got=quality)
        )
    return levels[quality]


class Rendered(NamedTuple):
    """A batch of rendered scenes.

    Attributes
    ----------
    image : ndarray of float32, shape (n, bands, size, size)
        Unit: nMgy/px. Axes (y, x).
    magnification : ndarray of float64, shape (n,)
        Flux of the whole image, before PSF and stamp edges, over flux of the source.
    """

    image: Float32Array
    magnification: FloatArray


def render_lensed(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    theta_e_arcsec: Any,
    lens_q: Any,
    lens_phi_rad: Any,
    gamma1: Any,
    gamma2: Any,
    lens_x_arcsec: Any,
    lens_y_arcsec: Any,
    src_x_arcsec: Any,
    src_y_arcsec: Any,
    src_rotation_rad: Any,
    src_flip: Any,
    psf_fwhm_arcsec: Any,
    flux_nmgy: Any,
    quality: str | Sampling = "standard",
) -> Rendered:
    """Render lensed sources.

    Parameters
    ----------
    templates : array_like, shape (n, t, t)
        Share of the source's flux per template pixel; each sums to 1.
    template_scale_arcsec : float
        Side of a template pixel.
    size_px : int
        Side of the output, odd or even.
    pixel_scale_arcsec : float
        Side of an output pixel.
    theta_e_arcsec, lens_q, lens_phi_rad : array_like, shape (n,) or scalar
        SIE: Einstein radius (intermediate axis), axis ratio in [0.2, 1],
        position angle of the major axis from +x towards +y.
    gamma1, gamma2 : array_like, shape (n,) or scalar
        External shear, centred on the deflector, at most 0.5.
    lens_x_arcsec, lens_y_arcsec : array_like, shape (n,) or scalar
        Deflector relative to the stamp centre.
    src_x_arcsec, src_y_arcsec : array_like, shape (n,) or scalar
        Source relative to the deflector, in the source plane.
    src_rotation_rad : array_like, shape (n,) or scalar
        Angle of the template's x axis from +x towards +y.
    src_flip : array_like of bool, shape (n,) or scalar
        Whether the template is mirrored in its x before it is rotated.
    psf_fwhm_arcsec : array_like, shape (n, bands)
        Moffat FWHM in [0.4, 4] arcsec.
    flux_nmgy : array_like, shape (n, bands)
        Unlensed flux.
    quality : {"draft", "standard", "fine"} or Sampling
        A level of :data:`LENSED`, or rays and cells outright.

    Returns
    -------
    Rendered
        Images and magnifications. ``magnification`` is 0 where no ray meets the source.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite, or a template does not sum to 1.
    ContractError
        If a shape is wrong.
    ConfigError
        If there is no such quality level.
    """
    templates = np.asarray(templates)
    check_templates(templates)
    scenes = Scenes.of(
        templates.shape[0],
        theta_e_arcsec=theta_e_arcsec,
        lens_q=lens_q,
        lens_phi_rad=lens_phi_rad,
        gamma1=gamma1,
        gamma2=gamma2,
        lens_x_arcsec=lens_x_arcsec,
        lens_y_arcsec=lens_y_arcsec,
        src_x_arcsec=src_x_arcsec,
        src_y_arcsec=src_y_arcsec,
        src_rotation_rad=src_rotation_rad,
        src_flip=src_flip,
        psf_fwhm_arcsec=psf_fwhm_arcsec,
        flux_nmgy=flux_nmgy,
    )
    return _render(
        templates,
        scenes,
        template_scale_arcsec,
        size_px,
        pixel_scale_arcsec,
        sampling_of(quality, LENSED),
        conserve_flux=False,
    )


def render_unlensed(
    templates: NDArray[Any],
    *,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    x_arcsec: Any,
    y_arcsec: Any,
    rotation_rad: Any,
    flip: Any,
    psf_fwhm_arcsec: Any,
    flux_nmgy: Any,
    quality: str | Sampling = "standard",
) -> Rendered:
    """Render sources as they would look without a deflector.

    Parameters
    ----------
    templates, template_scale_arcsec, size_px, pixel_scale_arcsec, psf_fwhm_arcsec, flux_nmgy
        As in :func:`render_lensed`.
    x_arcsec, y_arcsec : array_like, shape (n,) or scalar
        Source relative to the stamp centre.
    rotation_rad, flip : array_like, shape (n,) or scalar
        Orientation of the template.
    quality : {"draft", "standard", "fine"} or Sampling
        A level of :data:`UNLENSED`, or rays and cells outright.

    Returns
    -------
    Rendered
        ``magnification`` is 1: the sampled flux is scaled to the source's.

    Raises
    ------
    DataError, ContractError
        As in :func:`render_lensed`.
    """
    templates = np.asarray(templates)
    check_templates(templates)
    scenes = Scenes.of(
        templates.shape[0],
        **unlensed_scene(x_arcsec, y_arcsec, rotation_rad, flip),
        psf_fwhm_arcsec=psf_fwhm_arcsec,
        flux_nmgy=flux_nmgy,
    )
    return _render(
        templates,
        scenes,
        template_scale_arcsec,
        size_px,
        pixel_scale_arcsec,
        sampling_of(quality, UNLENSED),
        conserve_flux=True,
    )


def _render(
    templates: NDArray[Any],
    scenes: Scenes,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
    *,
    conserve_flux: bool,
) -> Rendered:
    # The compiler is loaded on the first image, not with the package.
    from darkhaloscope.lensing import kernels

    n, bands = scenes.flux_nmgy.shape
    templates = np.ascontiguousarray(templates, dtype=np.float32)
    extents = np.empty(n)
    kernels.measure_extents(templates, extents)
    ring = kernels.TEMPLATE_RING_PX
    padded_px = templates.shape[1] + 2 * ring
    constants = scene_constants(scenes, template_scale_arcsec, padded_px, extents)
    image = np.empty((n, bands, size_px, size_px), np.float32)
    magnification = np.empty(n)
    moffat_a = moffat_scale_arcsec(scenes.psf_fwhm_arcsec)
    ray_step = pixel_scale_arcsec / (sampling.cells_per_px * sampling.rays_per_cell)
    ray_flux = (ray_step / template_scale_arcsec) ** 2  # template pixels per ray
    with _ONE_RENDER, _blas().limit(limits=1, user_api="blas"):
        for spec, rows in _chunks(grids(scenes, constants, size_px, pixel_scale_arcsec, sampling)):
            matrices = basis(spec)
            buffers = _buffers(spec, bands, padded_px)
            count = rows.size
            buffers.templates[:count, ring:-ring, ring:-ring] = templates[rows]
            kernels.shoot_rays(
                buffers.templates[:count],
                constants[rows].astype(np.float32),
                ray_step,
                sampling.rays_per_cell,
                buffers.cells[:count],
            )
            coefficients = _project(matrices, buffers, count)
            flux_ratio = coefficients[:, 0, 0].astype(np.float64) * ray_flux
            magnification[rows] = flux_ratio
            amplitude = scenes.flux_nmgy[rows] * ray_flux
            if conserve_flux:
                require_sampled(flux_ratio, rows)
                magnification[rows] = 1.0
                amplitude /= flux_ratio[:, None]
            unit = 2.0 * np.pi / (spec.period_px * pixel_scale_arcsec)
            table, per_unit = transfer_table()
            kernels.apply_transfer(
                coefficients,
                amplitude.astype(np.float32),
                (moffat_a[rows] * unit).astype(np.float32),
                matrices.radii,
                matrices.window,
                table,
                np.float32(per_unit),
                buffers.weighted[:count],
            )
            image[rows] = _evaluate(matrices, buffers, count)
    return Rendered(image, magnification)


def grids(
    scenes: Scenes,
    constants: FloatArray,
    size_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
) -> Iterator[tuple[GridSpec, NDArray[np.intp]]]:
    """Group scenes by the grid each of them needs: its sizes, and the rows of its scenes."""
    offset = np.maximum(np.abs(scenes.lens_x_arcsec), np.abs(scenes.lens_y_arcsec))
    side_px = 2.0 * (constants[:, -1] + offset) / pixel_scale_arcsec
    box = np.maximum(np.ceil(side_px / _BOX_STEP_PX) * _BOX_STEP_PX, _BOX_MIN_PX).astype(np.int64)
    if (box > _BOX_MAX_PX).any():
        row = int(np.argmax(box))
        raise DataError(
            describe(
                "Lensed image is too large",
                row=row,
                expected=f"light within {_BOX_MAX_PX} px",
                got=f"{side_px[row]:.0f} px",
                hint="check theta_e_arcsec, the source offset and the pixel scale",
            )
        )
    fwhm_px = scenes.psf_fwhm_arcsec / pixel_scale_arcsec
    sharp = fwhm_px.min(axis=1) < _SHARP_FWHM_PX
    wide = np.ceil(fwhm_px.max(axis=1) / _WIDE_FWHM_PX).astype(np.int64)
    keys = np.stack([box, sharp, wide], axis=1)
    for key in np.unique(keys, axis=0):
        rows = np.flatnonzero((keys == key).all(axis=1))
        box_px, is_sharp, width = (int(v) for v in key)
        spec = GridSpec(
            size_px=size_px,
            box_px=box_px,
            cells_per_px=sampling.cells_per_px,
            period_px=2 * math.ceil((box_px + size_px) / 4.0) + _ALIAS_PX * width,
            cutoff=0.75 if is_sharp and sampling.cells_per_px > 1 else 0.5,
        )
        yield spec, rows


def _chunks(
    groups: Iterator[tuple[GridSpec, NDArray[np.intp]]],
) -> Iterator[tuple[GridSpec, NDArray[np.intp]]]:
    """Yield the scenes of every grid, at most ``_CHUNK`` at a time."""
    for spec, rows in groups:
        for start in range(0, rows.size, _CHUNK):
            yield spec, rows[start : start + _CHUNK]


@dataclass(frozen=True)
class _Buffers:
    """Scratch arrays of one grid, kept between calls."""

    templates: Float32Array
    cells: Float32Array
    half_projected: Float32Array
    coefficients: Float32Array
    weighted: Float32Array
    half_evaluated: Float32Array
    image: Float32Array


@cache
def _buffers(spec: GridSpec, bands: int, padded_px: int) -> _Buffers:
    m = basis(spec).project.shape[0]
    cells = spec.box_px * spec.cells_per_px
    return _Buffers(
        templates=np.zeros((_CHUNK, padded_px, padded_px), np.float32),
        cells=np.empty((_CHUNK, cells, cells), np.float32),
        half_projected=np.empty((_CHUNK, m, cells), np.float32),
        coefficients=np.empty((_CHUNK, m, m), np.float32),
        weighted=np.empty((_CHUNK, bands, m, m), np.float32),
        half_evaluated=np.empty((_CHUNK, bands, spec.size_px, m), np.float32),
        image=np.empty((_CHUNK, bands, spec.size_px, spec.size_px), np.float32),
    )


def _project(matrices: Basis, buffers: _Buffers, count: int) -> Float32Array:
    """Return the coefficients R I R^T of every scene: one product per scene, never one for the batch."""
    half = np.matmul(matrices.project, buffers.cells[:count], out=buffers.half_projected[:count])
    return np.matmul(half, matrices.project_t, out=buffers.coefficients[:count])


def _evaluate(matrices: Basis, buffers: _Buffers, count: int) -> Float32Array:
    """Return the images S^T C S of every scene and band."""
    half = np.matmul(matrices.evaluate_t, buffers.weighted[:count], out=buffers.half_evaluated[:count])
    return np.matmul(half, matrices.evaluate, out=buffers.image[:count])


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
