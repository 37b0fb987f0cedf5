"""Convolution and pixel integration as small real matrix products.

Light on a fine grid of cells is projected onto cosines and sines of a period L,
multiplied by the PSF's transfer function, and evaluated on survey pixels. The
projection is done once per scene, the rest once per band. Exact for a PSF that
is even in x and in y; no kernel image, no truncation, no centring step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.lensing.psf import moffat_transfer

Float32Array = NDArray[np.float32]

_TABLE_END = 40.0
_TABLE_INTERVALS = 8192


@dataclass(frozen=True)
class GridSpec:
    """Sizes of one rendering grid.

    Parameters
    ----------
    size_px : int
        Side of the output.
    box_px : int
        Side of the input box, centred on the output; in survey pixels.
    cells_per_px : int
        Cells along one side of a survey pixel.
    period_px : int
        Period of the basis.
    cutoff : float
        Highest frequency kept, cycles per survey pixel. 0.5 is the Nyquist
        frequency; beyond it light aliases, as it does in a camera.
    """

    size_px: int
    box_px: int
    cells_per_px: int
    period_px: int
    cutoff: float


@dataclass(frozen=True)
class Basis:
    """Matrices of one grid, in single precision.

    Attributes
    ----------
    spec : GridSpec
        Sizes.
    project : ndarray, shape (m, c)
        Basis functions at the cell centres, m = 2 k - 1: cosines 0 ... k - 1, then sines 1 ... k - 1.
    project_t : ndarray, shape (c, m)
        Transpose.
    evaluate : ndarray, shape (m, size)
        Basis functions at the pixel centres, with the weights of the series.
    evaluate_t : ndarray, shape (size, m)
        Transpose.
    radii : ndarray, shape (k, k)
        sqrt(ky^2 + kx^2).
    window : ndarray, shape (k, k)
        Pixel window over cell window, along y times along x.
    """

    spec: GridSpec
    project: Float32Array
    project_t: Float32Array
    evaluate: Float32Array
    evaluate_t: Float32Array
    radii: Float32Array
    window: Float32Array


@cache
def basis(spec: GridSpec) -> Basis:
    """Build the matrices of a grid.

    Cell centres are (i + 1/2) / os - box / 2 and pixel centres o + 1/2 - size / 2
    from the common centre, in survey pixels, so that the offset between the two
    grids is exact for odd and even sizes.
    """
    n_frequencies = int(np.floor(spec.cutoff * spec.period_px)) + 1
    if spec.cutoff <= 0.5:
        n_frequencies = min(n_frequencies, spec.period_px // 2)  # the Nyquist term has no sine
    k = np.arange(n_frequencies)
    n_cells = spec.box_px * spec.cells_per_px
    cells = (np.arange(n_cells) + 0.5) / spec.cells_per_px - spec.box_px / 2.0
    pixels = np.arange(spec.size_px) + 0.5 - spec.size_px / 2.0
    weights = np.where(k == 0, 1.0, 2.0) / spec.period_px

    def functions(positions: NDArray[Any], factor: NDArray[Any]) -> NDArray[Any]:
        phase = 2.0 * np.pi * np.outer(k, positions) / spec.period_px
        return np.concatenate([factor[:, None] * np.cos(phase), (factor[:, None] * np.sin(phase))[1:]])

    project = functions(np.asarray(cells), np.ones(n_frequencies))
    evaluate = functions(pixels, weights)
    frequency = k / spec.period_px
    window = np.sinc(frequency) / np.sinc(frequency / spec.cells_per_px)

    def single(array: NDArray[Any]) -> Float32Array:
        return np.ascontiguousarray(array, dtype=np.float32)

    return Basis(
        spec=spec,
        project=single(project),
        project_t=single(project.T),
        evaluate=single(evaluate),
        evaluate_t=single(evaluate.T),
        radii=single(np.hypot(k[:, None], k[None, :])),
        window=single(np.outer(window, window)),
    )


@dataclass(frozen=True)
class ParityBasis:
    """The same functions on half of each grid, cosines apart from sines.

    Light is split into its parts even and odd about the middle, of which cosines
    see only the one and sines only the other: half the work. The sine of
    frequency 0 is kept, as zeros, so that both have k rows.

    Attributes
    ----------
    project : ndarray, shape (2, k, c / 2)
        Cosines and sines at the cell centres beyond the middle.
    project_t : ndarray, shape (2, c / 2, k)
        Transposes.
    evaluate : ndarray, shape (2, k, h)
        Cosines and sines, weighted, at the pixel centres from the middle on;
        h = size / 2 rounded up.
    evaluate_t : ndarray, shape (2, h, k)
        Transposes.
    radii, window : ndarray, shape (k, k)
        As in :class:`Basis`.
    """

    project: Float32Array
    project_t: Float32Array
    evaluate: Float32Array
    evaluate_t: Float32Array
    radii: Float32Array
    window: Float32Array


@cache
def parity_basis(spec: GridSpec) -> ParityBasis:
    """Build the matrices of a grid for light split by parity."""
    whole = basis(spec)
    k = whole.radii.shape[0]

    def halves(matrix: Float32Array, first: int) -> Float32Array:
        beyond = matrix[:, first:]
        sines = np.concatenate([np.zeros_like(beyond[:1]), beyond[k:]])
        return np.ascontiguousarray(np.stack([beyond[:k], sines]))

    project = halves(whole.project, whole.project.shape[1] // 2)
    evaluate = halves(whole.evaluate, spec.size_px // 2)
    return ParityBasis(
        project=project,
        project_t=np.ascontiguousarray(project.transpose(0, 2, 1)),
        evaluate=evaluate,
        evaluate_t=np.ascontiguousarray(evaluate.transpose(0, 2, 1)),
        radii=whole.radii,
        window=whole.window,
    )


@cache
def transfer_table() -> tuple[Float32Array, float]:
    """Return the Moffat transfer function at equally spaced arguments, and entries per unit.

    Linear interpolation errs by less than 2e-6. Beyond the last argument the
    function is below 1e-14.
    """
    arguments = np.linspace(0.0, _TABLE_END, _TABLE_INTERVALS + 1)
    return moffat_transfer(arguments).astype(np.float32), _TABLE_INTERVALS / _TABLE_END
