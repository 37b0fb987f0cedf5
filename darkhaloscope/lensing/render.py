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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped] # ships no types

from darkhaloscope.errors import ContractError, DataError, describe
from darkhaloscope.lensing.convolution import GridSpec, ParityBasis, parity_basis
from darkhaloscope.lensing.psf import moffat_scale_arcsec
from darkhaloscope.lensing.sampling import (
    LENSED,
    UNLENSED,
    Sampling,
    ray_patterns,
    sampling_of,
    source_steps_px,
)
from darkhaloscope.lensing.scene import (
    Scenes,
    check_scales,
    check_templates,
    require_sampled,
    scene_constants,
    unlensed_scene,
)

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

_CHUNK = 16  # scenes at a time: buffers stay in the processor's cache
_BOX_STEP_PX = 8
_BOX_MAX_PX = 512
_SHARP_FWHM_PX = 3.0  # below it light moved to the centre of a half-pixel cell is seen
_PERIOD_BOX_PX = 32  # boxes smaller than this have the period of this one
_ALIAS_FWHM = 5.6  # nearest alias of any light, in FWHM of the widest band
_ALIAS_STEP_PX = 4
_CUTOFFS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.75, 1.0)
_CUTOFF_FWHM = 2.1  # cutoff times FWHM in px: the transfer function is below 1e-4 beyond

_SCRATCH = [np.empty(0, np.float32)]

# One caller at a time inside: the number of BLAS threads is a setting of the process.
_ONE_RENDER = threading.RLock()


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
        SIE: Einstein radius (intermediate axis; 0 leaves the shear alone), axis ratio in [0.2, 1],
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
        A level of ``sampling.LENSED``, with the errors of ``sampling.LENSED_ACCURACY``
        (standard: 0.03 % of the peak in the median scene, 0.4 % in the worst, 0.2 % in
        flux, 0.015 px in the centroid), or rays and cells outright.

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
    templates = _stack(templates)
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
        A level of ``sampling.UNLENSED``, with the errors of ``sampling.UNLENSED_ACCURACY``,
        or rays and cells outright.

    Returns
    -------
    Rendered
        ``magnification`` is 1: the sampled flux is scaled to the source's.

    Raises
    ------
    DataError, ContractError
        As in :func:`render_lensed`.
    """
    templates = _stack(templates)
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


def _stack(templates: NDArray[Any]) -> Float32Array:
    """Return templates as the compiled loops take them; no copy of those that are so already."""
    stack = np.ascontiguousarray(templates, dtype=np.float32)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise ContractError(describe("Templates", expected="shape (n, t, t)", got=stack.shape))
    return stack


def _render(
    templates: Float32Array,
    scenes: Scenes,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
    *,
    conserve_flux: bool,
) -> Rendered:
    # The machine code is loaded on the first image, not with the package.
    from darkhaloscope.lensing import convolution_kernels, kernels

    n, bands = scenes.flux_nmgy.shape
    check_scales(
        template_scale_arcsec=template_scale_arcsec, pixel_scale_arcsec=pixel_scale_arcsec, size_px=size_px
    )
    sums, extents, roughness = np.empty((3, n))
    kernels.measure_templates(
        templates, sums, extents, roughness, np.empty((3, templates.shape[1]), np.float32)
    )
    check_templates(templates, sums)
    padded_px = templates.shape[1] + 2 * kernels.TEMPLATE_RING_PX
    constants = scene_constants(scenes, template_scale_arcsec, padded_px, extents)
    steps_px = source_steps_px(roughness, sampling)
    offsets, counts = ray_patterns(sampling)
    image = np.empty((n, bands, size_px, size_px), np.float32)
    magnification = np.empty(n)
    moffat_a = moffat_scale_arcsec(scenes.psf_fwhm_arcsec)
    with _ONE_RENDER, _blas().limit(limits=1, user_api="blas"):
        for spec, rows in _chunks(grids(scenes, constants, size_px, pixel_scale_arcsec, sampling)):
            matrices = parity_basis(spec)
            buffers = _buffers(spec, bands, padded_px, offsets.shape[2])
            count = rows.size
            cell_arcsec = pixel_scale_arcsec / spec.cells_per_px
            cell_flux = (cell_arcsec / template_scale_arcsec) ** 2  # template pixels per cell
            kernels.place_templates(templates, rows, buffers.templates[:count])
            kernels.shoot_rays(
                buffers.templates[:count].reshape(count, -1),
                constants[rows].astype(np.float32),
                steps_px[rows],
                template_scale_arcsec,
                cell_arcsec,
                offsets,
                counts,
                buffers.real,
                buffers.whole,
                buffers.ray_x,
                buffers.ray_y,
                buffers.corner,
                buffers.cells[:count].reshape(count, -1),
            )
            coefficients = _project(matrices, buffers, count)
            flux_ratio = coefficients[:, 0, 0, 0, 0].astype(np.float64) * cell_flux
            magnification[rows] = flux_ratio
            amplitude = scenes.flux_nmgy[rows] * cell_flux
            if conserve_flux:
                require_sampled(flux_ratio, rows)
                magnification[rows] = 1.0
                amplitude /= flux_ratio[:, None]
            unit = 2.0 * np.pi / (spec.period_px * pixel_scale_arcsec)
            convolution_kernels.apply_transfer(
                coefficients,
                amplitude.astype(np.float32),
                (moffat_a[rows] * unit).astype(np.float32),
                matrices.radii,
                matrices.window,
                buffers.transfer,
                buffers.weighted[:count],
            )
            convolution_kernels.unfold(_evaluate(matrices, buffers, count), rows, image)
    return Rendered(image, magnification)


def grids(
    scenes: Scenes,
    constants: FloatArray,
    size_px: int,
    pixel_scale_arcsec: float,
    sampling: Sampling,
) -> Iterator[tuple[GridSpec, NDArray[np.intp]]]:
    """Group scenes by the grid each of them needs: its sizes, and the rows of its scenes."""
    side_px = 2.0 * constants[:, 16] / pixel_scale_arcsec
    box = np.maximum(np.ceil(side_px / _BOX_STEP_PX) * _BOX_STEP_PX, _BOX_STEP_PX).astype(np.int64)
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
    cutoff = np.searchsorted(_CUTOFFS, _CUTOFF_FWHM / fwhm_px.min(axis=1)).clip(max=len(_CUTOFFS) - 1)
    alias = np.ceil(fwhm_px.max(axis=1) * _ALIAS_FWHM / _ALIAS_STEP_PX).astype(np.int64) * _ALIAS_STEP_PX
    sharp = (fwhm_px.min(axis=1) < _SHARP_FWHM_PX) & (sampling.aliasing is not None)
    cells = sampling.cells_per_px + sharp
    keys = np.stack([box, cutoff, alias, cells], axis=1)
    for key in np.unique(keys, axis=0):
        rows = np.flatnonzero((keys == key).all(axis=1))
        box_px, at, alias_px, cells_per_px = (int(v) for v in key)
        spec = GridSpec(
            size_px=size_px,
            box_px=box_px,
            cells_per_px=cells_per_px,
            period_px=2 * math.ceil((max(box_px, _PERIOD_BOX_PX) + size_px) / 4.0) + alias_px,
            cutoff=min(_CUTOFFS[at], 0.5 * cells_per_px),
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
    """Scratch arrays of one grid; all but the templates lie in memory that the grids share."""

    templates: Float32Array
    real: Float32Array
    whole: NDArray[np.int32]
    ray_x: Float32Array
    ray_y: Float32Array
    corner: NDArray[np.int32]
    cells: Float32Array
    folded: Float32Array
    half_projected: Float32Array
    coefficients: Float32Array
    transfer: Float32Array
    weighted: Float32Array
    half_evaluated: Float32Array
    parts: Float32Array


@cache
def _buffers(spec: GridSpec, bands: int, padded_px: int, rays_per_cell: int) -> _Buffers:
    from darkhaloscope.lensing.kernels import BLOCK

    k = parity_basis(spec).radii.shape[0]
    cells = spec.box_px * spec.cells_per_px
    h, half = cells // 2, (spec.size_px + 1) // 2
    rays = (BLOCK * cells * rays_per_cell,)
    views = _shared(
        real=(2, BLOCK * cells),
        whole=(2, BLOCK * cells),
        ray_x=rays,
        ray_y=rays,
        corner=rays,
        cells=(_CHUNK, cells, cells),
        folded=(_CHUNK, 2, h, 2, h),
        half_projected=(_CHUNK, 2, k, 2 * h),
        coefficients=(_CHUNK, 2, 2, k, k),
        transfer=(k,),
        weighted=(_CHUNK, bands, 2, k, 2, k),
        half_evaluated=(_CHUNK, bands, 2, half, 2 * k),
        parts=(_CHUNK, 2, bands, 2, half, half),
    )
    whole, corner = (views.pop(name).view(np.int32) for name in ("whole", "corner"))
    return _Buffers(templates=_padded_templates(padded_px), whole=whole, corner=corner, **views)


@cache
def _padded_templates(padded_px: int) -> Float32Array:
    """Return room for templates inside rings of zeros, which nobody writes to."""
    return np.zeros((_CHUNK, padded_px, padded_px), np.float32)


def _shared(**shapes: tuple[int, ...]) -> dict[str, Float32Array]:
    """Lay arrays out in the memory that all grids share: a process holds that of the largest one.

    Each starts at another place of a memory page. Processors take a load for
    dependent on an earlier store to another page if the two addresses agree in
    their last 12 bits: arrays walked in step that both start with a page make the
    ray loop several times slower.
    """
    views, start, page, stagger = {}, {}, 1024, 272
    total = 0
    for number, (name, shape) in enumerate(shapes.items()):
        start[name] = -(-total // page) * page + number * stagger % page
        total = start[name] + math.prod(shape)
    if _SCRATCH[0].size < total:
        _buffers.cache_clear()  # they lie in the memory that is replaced
        _SCRATCH[0] = np.empty(total, np.float32)
    for name, shape in shapes.items():
        views[name] = _SCRATCH[0][start[name] : start[name] + math.prod(shape)].reshape(shape)
    return views


def _project(matrices: ParityBasis, buffers: _Buffers, count: int) -> Float32Array:
    """Return the coefficients R I R^T of every scene: products per scene, never one for the batch."""
    from darkhaloscope.lensing.convolution_kernels import fold

    _, k, h = matrices.project.shape
    fold(buffers.cells[:count], buffers.folded[:count])
    folded = buffers.folded[:count].reshape(count, 2, h, 2 * h)
    np.matmul(matrices.project, folded, out=buffers.half_projected[:count])
    half = buffers.half_projected[:count].reshape(count, 2 * k, 2, h).transpose(0, 2, 1, 3)
    coefficients = buffers.coefficients[:count]
    np.matmul(half, matrices.project_t, out=coefficients.reshape(count, 2, 2 * k, k))
    return coefficients


def _evaluate(matrices: ParityBasis, buffers: _Buffers, count: int) -> Float32Array:
    """Return the images S^T C S of every scene and band, apart by parity."""
    _, k, h = matrices.evaluate.shape
    bands = buffers.weighted.shape[1]
    weighted = buffers.weighted[:count].reshape(count, bands, 2, k, 2 * k)
    np.matmul(matrices.evaluate_t, weighted, out=buffers.half_evaluated[:count])
    half = buffers.half_evaluated[:count].reshape(count, bands * 2 * h, 2, k).transpose(0, 2, 1, 3)
    parts = buffers.parts[:count]
    np.matmul(half, matrices.evaluate, out=parts.reshape(count, 2, bands * 2 * h, h))
    return parts


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
