"""The renderer's rays, compiled: which are shot, where they meet the source, what they see.

Only loops are here; the bounds and the geometry are in ``scene``, the deflection
in ``sie``. The loops of the convolution are in ``convolution_kernels``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from darkhaloscope.lensing.native import inlined, native
from darkhaloscope.lensing.sie import Q_MIN, arctan_over_argument, arctanh_over_argument

FloatArray = NDArray[np.float64]

BLOCK = 4
"""Cells along one side of a block: blocks that cannot meet the template are skipped whole."""

MOST_RAYS = 16
"""Most rays along one side of a cell where their number follows the compression of the source."""

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
_QUARTER = np.float32(0.25)
_TURNING = np.float32(3.0)
_HALF_DIAGONAL = np.float32(math.sqrt(0.5))
_NEAR = np.float32(1e-6)
_MANY = np.float32(1e4)
_ROUND_UP = np.float32(1.5)


@inlined
def arctan_series(z: Any) -> Any:
    """Return atan(sqrt z) / sqrt z for z in [0, (1 - Q_MIN) / (1 + Q_MIN)]."""
    return _P0 + z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * (_P5 + z * (_P6 + z * (_P7 + z * _P8)))))))


@inlined
def arctanh_series(z: Any) -> Any:
    """Return atanh(sqrt z) / sqrt z for z in [0, (1 - Q_MIN) / (1 + Q_MIN)]."""
    high = _Q6 + z * (_Q7 + z * (_Q8 + z * (_Q9 + z * (_Q10 + z * _Q11))))
    return _Q0 + z * (_Q1 + z * (_Q2 + z * (_Q3 + z * (_Q4 + z * (_Q5 + z * high)))))


@inlined
def meet(c: Any, x: Any, y: Any) -> Any:
    """Find where a ray meets the template.

    Parameters
    ----------
    c : tuple of float32
        Columns 4 to 15 of ``scene.scene_constants``, the last two from the template's centre.
    x, y : float32
        Position in the lens frame: from the lens, along its major and minor axis (arcsec).

    Returns
    -------
    column, row : float32
        Place on the template, from its centre (template pixels).
    psi, r : float32
        sqrt(q^2 x^2 + y^2) and sqrt(x^2 + y^2) (arcsec).
    """
    q, f2, m00, m01, m10, m11, n00, n01, n10, n11, u0, v0 = c
    x2 = x * x
    y2 = y * y
    r = math.sqrt(x2 + y2 + _TINY)
    psi = math.sqrt(q * q * x2 + y2 + _TINY)
    # SIE, half-angle form of Keeton (2001) eq. 3.25: see ``sie.deflection``.
    u = x / (psi + r)
    v = y / (psi + q * r)
    alpha_x = u * arctan_series(f2 * u * u)
    alpha_y = v * arctanh_series(f2 * v * v)
    # Lens equation beta = theta - alpha - Gamma theta, in template pixels.
    column = u0 + m00 * x + m01 * y - n00 * alpha_x - n01 * alpha_y
    row = v0 + m10 * x + m11 * y - n10 * alpha_x - n11 * alpha_y
    return column, row, psi, r


@inlined
def stretch(psi: Any, b: Any, gamma: Any) -> Any:
    """Bound how far apart the lens mapping moves neighbouring rays, at psi and beyond.

    The Jacobian of an isothermal lens is I - Gamma - 2 kappa t t^T with t the
    tangential unit vector and 2 kappa = b / psi: its norm is at most
    |gamma| + max(1, 2 kappa - 1).
    """
    return gamma + max(_ONE, b / max(psi, _NEAR) - _ONE)


@inlined
def blocks_that_meet(c: Any, frame: Any, extent: Any, per_px: Any, row: Any, block: Any, keep: Any) -> None:
    """Mark the blocks of one row whose rays can meet the template.

    ``frame`` holds cos, sin of the position angle, the corner of the box relative
    to the lens, b and the modulus of the shear; ``block`` is the side (arcsec).
    """
    cos, sin, left, low, b, gamma = frame
    radius = _HALF_DIAGONAL * block
    y = low + (np.float32(row) + _HALF) * block
    for i in range(keep.shape[0]):
        x = left + (np.float32(i) + _HALF) * block
        column, row_px, psi, _ = meet(c, cos * x + sin * y, cos * y - sin * x)
        limit = extent + per_px * radius * stretch(psi - radius, b, gamma)
        keep[i] = column * column + row_px * row_px <= limit * limit


@inlined
def list_cells(keep: Any, frame: Any, row: Any, n_cells: Any, cell: Any, x: Any, y: Any, place: Any) -> Any:
    """List the cells of the marked blocks of a row: where they are, and their place in the image."""
    _, _, left, low, _, _ = frame
    count = 0
    for i in range(keep.shape[0]):
        if keep[i] == 0:
            continue
        for j in range(BLOCK):
            x_here, y_here, place_here = x[count:], y[count:], place[count:]
            for k in range(BLOCK):
                x_here[k] = left + (np.float32(i * BLOCK + k) + _HALF) * cell
                y_here[k] = low + (np.float32(row * BLOCK + j) + _HALF) * cell
                place_here[k] = (row * BLOCK + j) * n_cells + i * BLOCK + k
            count += BLOCK
    return count


@inlined
def count_rays(
    c: Any,
    frame: Any,
    extent: Any,
    per_px: Any,
    cell: Any,
    density: Any,
    most: Any,
    x: Any,
    y: Any,
    kind: Any,
) -> None:
    """Choose the number of rays of every cell: ``kind`` is their pattern, or -1 for none.

    The Jacobian of the lens equation times a unit vector e is
    (I - Gamma) e - 2 kappa t (t e), t the tangential direction, 2 kappa = b / psi.
    """
    cos, sin, _, _, b, gamma = frame
    m00, m01, m10, m11, n00, n01, n10, n11 = c[2:10]
    radius = _HALF_DIAGONAL * cell
    # The stamp's axes are (cos, -sin) and (sin, cos) in the lens frame.
    right_x, right_y = m00 * cos - m01 * sin, m10 * cos - m11 * sin
    up_x, up_y = m00 * sin + m01 * cos, m10 * sin + m11 * cos
    for i in range(kind.shape[0]):
        x_lens = cos * x[i] + sin * y[i]
        y_lens = cos * y[i] - sin * x[i]
        column, row, psi, r = meet(c, x_lens, y_lens)
        limit = extent + per_px * radius * stretch(psi - radius, b, gamma)
        hit = column * column + row * row <= limit * limit
        # n00 ... n11 hold a factor 2 b, hence the half.
        tangent_x, tangent_y = -y_lens / r, x_lens / r
        # 2 kappa at the point of the cell that is nearest to the lens, where the source is compressed most.
        near = max(psi - radius, _QUARTER * psi)
        along_x, along_y = n00 * tangent_x + n01 * tangent_y, n10 * tangent_x + n11 * tangent_y
        right = _HALF / near * (tangent_x * cos - tangent_y * sin)
        up = _HALF / near * (tangent_x * sin + tangent_y * cos)
        across = density * math.sqrt((right_x - along_x * right) ** 2 + (right_y - along_y * right) ** 2)
        upward = density * math.sqrt((up_x - along_x * up) ** 2 + (up_y - along_y * up) ** 2)
        if psi < _TURNING * radius:  # the tangential direction turns within the cell
            across = max(across, upward)
            upward = across
        j = min(np.int32(min(across, _MANY) + _ROUND_UP), most)
        k = min(np.int32(min(upward, _MANY) + _ROUND_UP), most)
        kind[i] = (j - np.int32(1)) + most * (k - np.int32(1)) if hit else np.int32(-1)


@inlined
def place_rays(
    kind: Any, x: Any, y: Any, cell: Any, offsets: Any, counts: Any, ray_x: Any, ray_y: Any
) -> Any:
    """Place the rays of the cells one after another."""
    shot = 0
    for i in range(kind.shape[0]):
        if kind[i] < 0:
            continue
        pattern, rays = offsets[kind[i]], counts[kind[i]]
        # Sixteen at a time, a vector register: what is too much the next cell overwrites.
        for start in range(0, rays, 16):
            x_here, y_here = ray_x[shot + start :], ray_y[shot + start :]
            across, upward = pattern[0, start:], pattern[1, start:]
            for j in range(16):
                x_here[j] = x[i] + cell * across[j]
            for j in range(16):
                y_here[j] = y[i] + cell * upward[j]
        shot += rays
    return shot


@inlined
def follow_rays(c: Any, frame: Any, side: Any, ray_x: Any, ray_y: Any, corner: Any) -> None:
    """Replace positions by where rays meet the template: lower left pixel, and fractions of a pixel."""
    cos, sin = frame[:2]
    stride = np.int32(side)
    middle, last = np.float32(0.5 * (side - 1)), np.float32(side - 1.001)
    for i in range(corner.shape[0]):
        column, row, _, _ = meet(c, cos * ray_x[i] + sin * ray_y[i], cos * ray_y[i] - sin * ray_x[i])
        # A ray that misses reads the ring of zeros.
        column = min(max(column + middle, _ZERO), last)
        row = min(max(row + middle, _ZERO), last)
        whole_column, whole_row = np.int32(column), np.int32(row)
        corner[i] = whole_row * stride + whole_column
        ray_x[i] = column - np.float32(whole_column)
        ray_y[i] = row - np.float32(whole_row)


@inlined
def average_rays(
    template: Any,
    side: Any,
    kind: Any,
    counts: Any,
    place: Any,
    corner: Any,
    ray_x: Any,
    ray_y: Any,
    image: Any,
) -> None:
    """Interpolate the template bilinearly and average over the rays of each cell."""
    one, next_row = np.uint64(1), np.uint64(side)
    shot = 0
    for i in range(kind.shape[0]):
        if kind[i] < 0:
            continue
        rays = counts[kind[i]]
        corner_here, right, up = corner[shot:], ray_x[shot:], ray_y[shot:]
        total = _ZERO
        for j in range(rays):
            at = np.uint64(corner_here[j])
            over = at + next_row
            below = template[at] + right[j] * (template[at + one] - template[at])
            above = template[over] + right[j] * (template[over + one] - template[over])
            total += below + up[j] * (above - below)
        image[np.uint64(place[i])] = total / np.float32(rays)
        shot += rays


@native(
    "void(float32[:, ::1], float32[:, ::1], float32[::1], float32, float32, float32[:, :, ::1], int32[::1],"
    " float32[:, ::1], int32[:, ::1], float32[::1], float32[::1], int32[::1], float32[:, ::1])"
)
def shoot_rays(
    templates: Any,
    scenes: Any,
    steps_px: Any,
    scale_arcsec: Any,
    cell_arcsec: Any,
    offsets: Any,
    counts: Any,
    real: Any,
    whole: Any,
    ray_x: Any,
    ray_y: Any,
    corner: Any,
    cells: Any,
) -> None:
    """Average the template values that the rays of every cell meet.

    Coarse to fine: blocks of cells that can meet the template, cells of those that
    can, and rays through them, as many along x and along y as the source is
    compressed along x and along y there.

    Parameters
    ----------
    templates : float32, shape (n, t * t)
        Templates inside their ring of zeros, row after row.
    scenes : float32, shape (n, 20)
        From ``scene.scene_constants``.
    steps_px : float32, shape (n,)
        Greatest distance of neighbouring rays in the source plane (template
        pixels), or 0: every cell then gets the greatest number of rays.
    scale_arcsec, cell_arcsec : float
        Side of a template pixel and of a cell.
    offsets : float32, shape (N * N, 2, R)
        Places of the rays of a cell from its centre, x and y, in cells; those of j
        along x and k along y are in row (j - 1) + N (k - 1).
    counts : int32, shape (N * N,)
        Number of those rays.
    real, whole : float32 and int32, shape (2, BLOCK * c)
        Overwritten.
    ray_x, ray_y, corner : float32, float32, int32, shape (w,)
        Overwritten; w is at least the greatest number of rays of a row of blocks and R.
    cells : float32, shape (n, c * c)
        Output, overwritten.
    """
    n_cells = np.int64(math.sqrt(cells.shape[1]) + 0.5)
    n_blocks = n_cells // BLOCK
    side = np.int64(math.sqrt(templates.shape[1]) + 0.5)
    most = np.int32(math.sqrt(np.float32(counts.shape[0])) + _HALF)
    half = _HALF * np.float32(n_cells) * cell_arcsec
    middle = np.float32(0.5 * (side - 1))
    per_px = _ONE / scale_arcsec
    for scene in range(cells.shape[0]):
        s, image = scenes[scene], cells[scene]
        image[:] = _ZERO
        c = (s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13], s[14] - middle, s[15] - middle)
        frame = (s[2], s[3], -half - s[0], -half - s[1], s[17], s[18])
        density = cell_arcsec / steps_px[scene] if steps_px[scene] > _ZERO else _MANY
        for row in range(n_blocks):
            keep = whole[0, :n_blocks]
            blocks_that_meet(c, frame, s[19], per_px, row, np.float32(BLOCK) * cell_arcsec, keep)
            count = list_cells(keep, frame, row, n_cells, cell_arcsec, real[0], real[1], whole[1])
            x, y, kind, place = real[0, :count], real[1, :count], whole[0, :count], whole[1, :count]
            count_rays(c, frame, s[19], per_px, cell_arcsec, density, most, x, y, kind)
            shot = place_rays(kind, x, y, cell_arcsec, offsets, counts, ray_x, ray_y)
            follow_rays(c, frame, side, ray_x[:shot], ray_y[:shot], corner[:shot])
            average_rays(templates[scene], side, kind, counts, place, corner, ray_x, ray_y, image)
