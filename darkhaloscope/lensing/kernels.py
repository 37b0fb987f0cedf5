"""The two inner loops of the renderer, compiled: rays, and PSF weights.

Only loops that need a compiler are here; what they compute is said in
``render`` and ``convolution``. Importing this module loads the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from darkhaloscope.lensing.jit import compiled
from darkhaloscope.lensing.sie import Q_MIN, arctan_over_argument, arctanh_over_argument

FloatArray = NDArray[np.float64]

TEMPLATE_RING_PX = 3
"""Zero pixels around a template: rays that miss it read zeros, without a branch."""

_Z_MAX = (1.0 - Q_MIN) / (1.0 + Q_MIN)


def _coefficients(function: Callable[..., FloatArray], degree: int) -> tuple[np.float32, ...]:
    """Fit a polynomial in z on [0, z_max] by Chebyshev interpolation."""
    fit = Chebyshev.interpolate(function, degree, domain=[0.0, _Z_MAX]).convert(kind=Polynomial)
    return tuple(np.float32(c) for c in fit.coef)


# atan(sqrt z) / sqrt z and atanh(sqrt z) / sqrt z as polynomials of z: errors
# 1e-9 and 1e-8 before rounding to single precision.
_P0, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8 = _coefficients(arctan_over_argument, 8)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8, _Q9, _Q10, _Q11 = _coefficients(arctanh_over_argument, 11)
_TINY = np.float32(1e-14)  # a ray on the lens centre gives 0, not 0/0
_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)


@numba.njit(inline="always", error_model="numpy")
def arctan_series(z: np.float32) -> np.float32:
    """Return atan(sqrt z) / sqrt z for z in [0, (1 - Q_MIN) / (1 + Q_MIN)]."""
    return _P0 + z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * (_P5 + z * (_P6 + z * (_P7 + z * _P8)))))))


@numba.njit(inline="always", error_model="numpy")
def arctanh_series(z: np.float32) -> np.float32:
    """Return atanh(sqrt z) / sqrt z for z in [0, (1 - Q_MIN) / (1 + Q_MIN)]."""
    high = _Q6 + z * (_Q7 + z * (_Q8 + z * (_Q9 + z * (_Q10 + z * _Q11))))
    return _Q0 + z * (_Q1 + z * (_Q2 + z * (_Q3 + z * (_Q4 + z * (_Q5 + z * high)))))


_READ_ONLY_STACK = numba.types.Array(numba.float32, 3, "C", readonly=True)


@compiled(numba.void(_READ_ONLY_STACK, numba.float64[::1]))
def measure_extents(templates, extents):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Find how far from its centre each template reaches.

    Parameters
    ----------
    templates : float32, shape (n, t, t)
        Templates, zero outside the galaxy.
    extents : float64, shape (n,)
        Output, in template pixels: distance of the farthest pixel that is not
        zero, and of the pixels from which interpolation still sees it.
    """
    side = templates.shape[1]
    centre = 0.5 * (side - 1)
    for i in range(templates.shape[0]):
        farthest = 0.0
        for row in range(side):
            first = 0
            while first < side and templates[i, row, first] == _ZERO:
                first += 1
            if first == side:
                continue
            last = side - 1
            while templates[i, row, last] == _ZERO:
                last -= 1
            widest = max(centre - first, last - centre)
            farthest = max(farthest, (row - centre) ** 2 + widest**2)
        extents[i] = math.sqrt(farthest) + math.sqrt(2.0)


@compiled("void(float32[:, :, ::1], float32[:, ::1], float64, int64, float32[:, :, ::1])")
def shoot_rays(templates, scenes, ray_step_arcsec, rays_per_cell, cells):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Add up the template values that the rays of every cell meet.

    Parameters
    ----------
    templates : float32, shape (n, t, t)
        Templates inside their ring of zeros.
    scenes : float32, shape (n, 17)
        Per scene, as ``scene.scene_constants`` lists them: lens x, y (arcsec); cos,
        sin of the position angle; q; 1 - q^2; the matrix from lens-frame position
        to template pixels (4 numbers) and the one from deflection in units of
        2 theta_E sqrt(q) to template pixels (4); template pixel met by an
        undeflected ray through the lens (2); the radius about the lens beyond
        which no ray meets the template (arcsec).
    ray_step_arcsec : float
        Ray spacing.
    rays_per_cell : int
        Rays along one side of a cell.
    cells : float32, shape (n, c, c)
        Output, overwritten: sum over the rays of a cell.
    """
    n_cells = cells.shape[1]
    side = templates.shape[1]
    stride = np.int32(side)
    next_row = np.uint64(side)
    one = np.uint64(1)
    last = np.float32(side - 1.001)
    half_arcsec = 0.5 * n_cells * rays_per_cell * ray_step_arcsec
    cell_arcsec = ray_step_arcsec * rays_per_cell
    step = np.float32(ray_step_arcsec)
    corners = np.empty(n_cells * rays_per_cell, np.int32)
    right = np.empty(n_cells * rays_per_cell, np.float32)
    up = np.empty(n_cells * rays_per_cell, np.float32)
    for scene in range(cells.shape[0]):
        template = templates[scene].reshape(side * side)
        image = cells[scene]
        image[:, :] = _ZERO
        lens_x, lens_y, cos, sin, q, f2 = scenes[scene, :6]
        m00, m01, m10, m11 = scenes[scene, 6:10]
        n00, n01, n10, n11 = scenes[scene, 10:14]
        u0, v0 = scenes[scene, 14:16]
        radius = np.float64(scenes[scene, 16])
        for ray_row in range(n_cells * rays_per_cell):
            y = (ray_row + 0.5) * ray_step_arcsec - half_arcsec - lens_y
            if abs(y) >= radius:
                continue
            chord = math.sqrt(radius * radius - y * y)
            first = max(0, math.floor((lens_x - chord + half_arcsec) / cell_arcsec))
            stop = min(n_cells, math.ceil((lens_x + chord + half_arcsec) / cell_arcsec))
            count = (stop - first) * rays_per_cell
            x0 = np.float32((first * rays_per_cell + 0.5) * ray_step_arcsec - half_arcsec - lens_x)
            x_row = np.float32(sin * y)
            y_row = np.float32(cos * y)
            for i in range(count):
                offset = x0 + np.float32(i) * step
                x_lens = cos * offset + x_row
                y_lens = y_row - sin * offset
                x2 = x_lens * x_lens
                y2 = y_lens * y_lens
                r = math.sqrt(x2 + y2 + _TINY)
                psi = math.sqrt(q * q * x2 + y2 + _TINY)
                u = x_lens / (psi + r)
                v = y_lens / (psi + q * r)
                alpha_x = u * arctan_series(f2 * u * u)
                alpha_y = v * arctanh_series(f2 * v * v)
                column = u0 + m00 * x_lens + m01 * y_lens - n00 * alpha_x - n01 * alpha_y
                row = v0 + m10 * x_lens + m11 * y_lens - n10 * alpha_x - n11 * alpha_y
                column = min(max(column, _ZERO), last)
                row = min(max(row, _ZERO), last)
                whole_column = np.int32(column)
                whole_row = np.int32(row)
                corners[i] = whole_row * stride + whole_column
                right[i] = column - np.float32(whole_column)
                up[i] = row - np.float32(whole_row)
            out = image[ray_row // rays_per_cell]
            i = 0
            for cell in range(first, stop):
                total = _ZERO
                for _ in range(rays_per_cell):
                    at = np.uint64(corners[i])
                    over = at + next_row
                    below = template[at] + right[i] * (template[at + one] - template[at])
                    above = template[over] + right[i] * (template[over + one] - template[over])
                    total += below + up[i] * (above - below)
                    i += 1
                out[cell] += total


@compiled(
    "void(float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1],"
    " float32[::1], float32, float32[:, :, :, ::1])"
)
def apply_transfer(coefficients, amplitudes, scales, radii, window, table, per_unit, weighted):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Multiply basis coefficients by amplitude, pixel window and PSF transfer function of each band.

    Parameters
    ----------
    coefficients : float32, shape (n, m, m), m = 2 k - 1
        Coefficients on (y, x) basis functions: k cosines, then k - 1 sines.
    amplitudes : float32, shape (n, bands)
        Flux factors.
    scales : float32, shape (n, bands)
        Argument of the transfer function per unit of frequency radius.
    radii, window : float32, shape (k, k)
        Frequency radius and product of the pixel windows along y and x.
    table : float32
        Transfer function at arguments 0, 1 / per_unit, 2 / per_unit, ...
    per_unit : float
        Table entries per unit of argument.
    weighted : float32, shape (n, bands, m, m)
        Output.
    """
    k = radii.shape[0]
    end = np.float32(table.shape[0] - 2)
    row = np.empty(k, np.float32)
    for scene in range(coefficients.shape[0]):
        source = coefficients[scene]
        for band in range(amplitudes.shape[1]):
            amplitude = amplitudes[scene, band]
            scale = scales[scene, band] * per_unit
            target = weighted[scene, band]
            for ky in range(k):
                for kx in range(k):
                    position = min(radii[ky, kx] * scale, end)
                    left = np.uint64(position)
                    fraction = position - np.float32(left)
                    low = table[left]
                    value = low + fraction * (table[left + np.uint64(1)] - low)
                    row[kx] = amplitude * window[ky, kx] * value
                for kx in range(k):
                    target[ky, kx] = source[ky, kx] * row[kx]
                for kx in range(1, k):
                    target[ky, k - 1 + kx] = source[ky, k - 1 + kx] * row[kx]
                if ky > 0:
                    sine = k - 1 + ky
                    for kx in range(k):
                        target[sine, kx] = source[sine, kx] * row[kx]
                    for kx in range(1, k):
                        target[sine, k - 1 + kx] = source[sine, k - 1 + kx] * row[kx]
