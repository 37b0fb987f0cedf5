"""The renderer's memory and its matrix products, a few scenes at a time.

What the products mean is in ``convolution``; rays are shot in ``kernels``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.convolution import GridSpec, ParityBasis, parity_basis

Float32Array = NDArray[np.float32]

CHUNK = 16
"""Scenes at a time: buffers stay in the processor's cache."""

_SCRATCH = [np.empty(0, np.float32)]


@dataclass(frozen=True)
class Buffers:
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
def buffers_of(spec: GridSpec, bands: int, padded_px: int, rays_per_cell: int) -> Buffers:
    """Return the memory that scenes of a grid are rendered in, for ``CHUNK`` of them."""
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
        cells=(CHUNK, cells, cells),
        folded=(CHUNK, 2, h, 2, h),
        half_projected=(CHUNK, 2, k, 2 * h),
        coefficients=(CHUNK, 2, 2, k, k),
        transfer=(k,),
        weighted=(CHUNK, bands, 2, k, 2, k),
        half_evaluated=(CHUNK, bands, 2, half, 2 * k),
        parts=(CHUNK, 2, bands, 2, half, half),
    )
    whole, corner = (views.pop(name).view(np.int32) for name in ("whole", "corner"))
    return Buffers(templates=_padded_templates(padded_px), whole=whole, corner=corner, **views)


@cache
def _padded_templates(padded_px: int) -> Float32Array:
    """Return room for templates inside rings of zeros, which nobody writes to."""
    return np.zeros((CHUNK, padded_px, padded_px), np.float32)


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
        buffers_of.cache_clear()  # they lie in the memory that is replaced
        _SCRATCH[0] = np.empty(total, np.float32)
    for name, shape in shapes.items():
        views[name] = _SCRATCH[0][start[name] : start[name] + math.prod(shape)].reshape(shape)
    return views


def project(matrices: ParityBasis, buffers: Buffers, count: int) -> Float32Array:
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


def evaluate(matrices: ParityBasis, buffers: Buffers, count: int) -> Float32Array:
    """Return the images S^T C S of every scene and band, apart by parity."""
    _, k, h = matrices.evaluate.shape
    bands = buffers.weighted.shape[1]
    weighted = buffers.weighted[:count].reshape(count, bands, 2, k, 2 * k)
    np.matmul(matrices.evaluate_t, weighted, out=buffers.half_evaluated[:count])
    half = buffers.half_evaluated[:count].reshape(count, bands * 2 * h, 2, k).transpose(0, 2, 1, 3)
    parts = buffers.parts[:count]
    np.matmul(half, matrices.evaluate, out=parts.reshape(count, 2, bands * 2 * h, h))
    return parts
