"""Templates and scenes measured before rays are shot, and light summed after it, compiled.

Only loops are here; what the bounds are for is in ``scene`` and ``sampling``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from darkhaloscope.lensing.kernels import TEMPLATE_RING_PX, arctan_series, arctanh_series
from darkhaloscope.lensing.native import inlined, native

_ZERO = np.float32(0.0)


@inlined
def farthest_px(template: Any) -> Any:
    """Return the distance from the centre of the farthest pixel that is not zero."""
    side = template.shape[0]
    centre = 0.5 * (side - 1)
    farthest = 0.0
    for row in range(side):
        here = template[row]
        first = 0
        while first < side and here[first] == _ZERO:
            first += 1
        if first == side:
            continue
        last = side - 1
        while here[last] == _ZERO:
            last -= 1
        widest = max(centre - first, last - centre)
        farthest = max(farthest, (row - centre) ** 2 + widest**2)
    return math.sqrt(farthest)


@inlined
def sum_and_roughness(template: Any, light: Any, power: Any, slope: Any) -> Any:
    """Return the sum, and rms gradient over rms value (1/px)."""
    side = template.shape[0]
    # Sums along columns first: those loops are vectorised without reordering a sum.
    light[:] = _ZERO
    power[:] = _ZERO
    slope[:] = _ZERO
    for row in range(side):
        here = template[row]
        for j in range(side):
            light[j] += here[j]
            power[j] += here[j] * here[j]
        for j in range(side - 1):
            slope[j] += (here[j + 1] - here[j]) * (here[j + 1] - here[j])
        if row > 0:
            below = template[row - 1]
            for j in range(side):
                slope[j] += (here[j] - below[j]) * (here[j] - below[j])
    total, square, steep = 0.0, 0.0, 0.0
    for j in range(side):
        total += light[j]
        square += power[j]
        steep += slope[j]
    return total, math.sqrt(steep / square) if square > 0.0 else 0.0


@native("void(float32[:, :, ::1], float64[::1], float64[::1], float64[::1], float32[:, ::1])")
def measure_templates(templates: Any, sums: Any, extents: Any, roughness: Any, scratch: Any) -> None:
    """Find the sum of each template, how far it reaches and how fine its structure is.

    Parameters
    ----------
    templates : float32, shape (n, t, t)
        Templates, zero outside the galaxy.
    sums : float64, shape (n,)
        Output; not finite if a template is not.
    extents : float64, shape (n,)
        Output, in template pixels: distance from the centre of the farthest pixel
        that is not zero, and of the pixels from which interpolation still sees it.
    roughness : float64, shape (n,)
        Output, in 1/px: rms gradient over rms value.
    scratch : float32, shape (3, t)
        Overwritten.
    """
    for i in range(templates.shape[0]):
        sums[i], roughness[i] = sum_and_roughness(templates[i], scratch[0], scratch[1], scratch[2])
        extents[i] = farthest_px(templates[i]) + math.sqrt(2.0)


@native("void(float32[:, :, ::1], int64[::1], float32[:, :, ::1])")
def place_templates(templates: Any, rows: Any, padded: Any) -> None:
    """Copy some templates, shape (n, t, t), into their rings of zeros, shape (m, t + 6, t + 6)."""
    side = templates.shape[1]
    for i in range(rows.shape[0]):
        template = templates[rows[i]]
        for row in range(side):
            source, target = template[row], padded[i, row + TEMPLATE_RING_PX, TEMPLATE_RING_PX:]
            for j in range(side):
                target[j] = source[j]


@native("void(float64[:, ::1], float64[::1], float64, float64, float64[:, ::1], float64[::1])")
def measure_reach(
    scenes: Any, loose_arcsec: Any, template_scale_arcsec: Any, middle_px: Any, turn: Any, reach: Any
) -> None:
    """Bound how far from the stamp centre, along x or y, a ray can meet the template.

    An isothermal deflection does not depend on radius, so along a direction the
    rays cross the source plane on a straight line, and those within the extent of
    the template's centre follow from a quadratic equation. Between two of the
    directions tried the line moves by less than ``margin``.

    Parameters
    ----------
    scenes : float64, shape (n, 20)
        As in ``scene.scene_constants``; column 16 is not read.
    loose_arcsec : float64, shape (n,)
        Radius about the lens beyond which no ray meets the template.
    template_scale_arcsec : float
        Side of a template pixel.
    middle_px : float
        Pixel coordinate of the template's centre.
    turn : float64, shape (2, a)
        Cosines and sines of a equally spaced directions, in the lens frame.
    reach : float64, shape (n,)
        Output (arcsec). The lens itself if no ray meets the template.
    """
    half_step = math.pi / turn.shape[1]
    for i in range(scenes.shape[0]):
        s = scenes[i]
        cos, sin, b, gamma, extent = s[2], s[3], s[17], s[18], s[19]
        farthest = max(abs(s[0]), abs(s[1]))
        q = s[4]
        # |d beta / d phi| at radius r is at most r (1 + gamma) + |d alpha / d phi|, and the
        # latter is 2 kappa r = b / sqrt(q^2 cos^2 + sin^2).
        margin = half_step * (loose_arcsec[i] * (1.0 + gamma) + b / q) / template_scale_arcsec + 1e-2
        limit = (extent + margin) ** 2
        for j in range(turn.shape[1]):
            x, y = turn[0, j], turn[1, j]
            r = 1.0
            psi = math.sqrt(q * q * x * x + y * y)
            u = x / (psi + r)
            v = y / (psi + q * r)
            alpha_x = u * arctan_series(s[5] * u * u)
            alpha_y = v * arctanh_series(s[5] * v * v)
            along_x, along_y = s[6] * x + s[7] * y, s[8] * x + s[9] * y
            from_x = s[14] - middle_px - s[10] * alpha_x - s[11] * alpha_y
            from_y = s[15] - middle_px - s[12] * alpha_x - s[13] * alpha_y
            square = along_x * along_x + along_y * along_y
            mixed = along_x * from_x + along_y * from_y
            left = mixed * mixed - square * (from_x * from_x + from_y * from_y - limit)
            if left < 0.0:
                continue
            outer = (math.sqrt(left) - mixed) / square
            if outer <= 0.0:
                continue
            slack = outer * half_step
            on_x = abs(s[0] + outer * (cos * x - sin * y))
            on_y = abs(s[1] + outer * (sin * x + cos * y))
            farthest = max(farthest, max(on_x, on_y) + slack)
        reach[i] = farthest


@native("void(float32[:, :, ::1], int64[::1], float64[:, ::1], float64, float64, float64, float64[:, ::1])")
def sum_annuli(
    cells: Any,
    rows: Any,
    centre_arcsec: Any,
    half_arcsec: Any,
    cell_arcsec: Any,
    width_arcsec: Any,
    sums: Any,
) -> None:
    """Sum the cells on the stamp in annuli; a cell counts where its centre lies, and not if it is negative.

    Parameters
    ----------
    cells : float32, shape (n, c, c)
        Light of scenes in cells about the stamp centre, any unit.
    rows : int64, shape (n,)
        Which scenes these are.
    centre_arcsec : float64, shape (m, 2)
        Centre of the annuli of every scene, x and y.
    half_arcsec : float64
        Half the side of the stamp: cells beyond it are left out.
    cell_arcsec, width_arcsec : float64
        Side of a cell and width of an annulus.
    sums : float64, shape (m, annuli)
        Output, of the given scenes; the last annulus takes what lies beyond it.
    """
    count, last = cells.shape[1], sums.shape[1] - 1
    middle = 0.5 * (count - 1)
    for i in range(cells.shape[0]):
        row = rows[i]
        for k in range(last + 1):
            sums[row, k] = 0.0
        for y in range(count):
            on_y = (y - middle) * cell_arcsec
            if abs(on_y) > half_arcsec:
                continue
            from_y = on_y - centre_arcsec[row, 1]
            for x in range(count):
                on_x = (x - middle) * cell_arcsec
                if cells[i, y, x] <= _ZERO or abs(on_x) > half_arcsec:
                    continue
                from_x = on_x - centre_arcsec[row, 0]
                annulus = np.int64(math.sqrt(from_x * from_x + from_y * from_y) / width_arcsec)
                sums[row, min(annulus, last)] += np.float64(cells[i, y, x])
