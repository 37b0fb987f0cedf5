"""The loops of the renderer's convolution, compiled: parts by parity, and PSF weights.

What they are for is said in ``convolution``, which holds the matrices; the
products are ``render``'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from darkhaloscope.lensing.native import inlined, native

_ONE = np.float32(1.0)
_PER_64 = np.float32(1.0 / 64.0)
_THIRD = np.float32(1.0 / 3.0)
_FAR = np.float32(40.0)  # the transfer function is 2e-15 there
_E0, _E1, _E2, _E3, _E4, _E5, _E6 = (
    np.float32(c)
    for c in Chebyshev.interpolate(lambda z: np.exp(-z), 6, domain=[0.0, 40.0 / 64.0])
    .convert(kind=Polynomial)
    .coef
)


@native("void(float32[:, :, ::1], float32[:, :, :, :, ::1])")
def fold(cells: Any, folded: Any) -> None:
    """Split light into its parts even and odd in y and in x.

    Parameters
    ----------
    cells : float32, shape (n, 2 h, 2 h)
        Light.
    folded : float32, shape (n, 2, h, 2, h)
        Output: parity in y, row from the middle, parity in x, column from the middle.
    """
    h = folded.shape[2]
    end = np.uint64(h - 1)
    for scene in range(cells.shape[0]):
        for j in range(h):
            high, low = cells[scene, h + j], cells[scene, h - 1 - j]
            high_right, low_right = high[h:], low[h:]
            ee, eo = folded[scene, 0, j, 0], folded[scene, 0, j, 1]
            oe, oo = folded[scene, 1, j, 0], folded[scene, 1, j, 1]
            for i in range(h):
                mirror = end - np.uint64(i)
                even, odd = high_right[i] + high[mirror], high_right[i] - high[mirror]
                even_low, odd_low = low_right[i] + low[mirror], low_right[i] - low[mirror]
                ee[i] = even + even_low
                eo[i] = odd + odd_low
                oe[i] = even - even_low
                oo[i] = odd - odd_low


@native("void(float32[:, :, :, :, :, ::1], int64[::1], float32[:, :, :, ::1])")
def unfold(parts: Any, rows: Any, image: Any) -> None:
    """Add up the parts of images that are even and odd in x and in y.

    Parameters
    ----------
    parts : float32, shape (n, 2, bands, 2, h, h)
        Parity in x, band, parity in y, row and column from the middle, which for
        images of odd size is a pixel.
    rows : int64, shape (n,)
        Place of each scene in ``image``.
    image : float32, shape (m, bands, size, size)
        Output.
    """
    size = image.shape[2]
    h = parts.shape[4]
    end = np.uint64(h - 1)
    for scene in range(parts.shape[0]):
        for band in range(parts.shape[2]):
            target = image[rows[scene], band]
            for j in range(h):
                high, low = target[size - h + j], target[h - 1 - j]
                high_right, low_right = high[size - h :], low[size - h :]
                ee, oe = parts[scene, 0, band, 0, j], parts[scene, 0, band, 1, j]
                eo, oo = parts[scene, 1, band, 0, j], parts[scene, 1, band, 1, j]
                # A loop for each direction of writing: both are vectorised.
                for i in range(h):
                    high_right[i] = (ee[i] + oe[i]) + (eo[i] + oo[i])
                for i in range(h):
                    low_right[i] = (ee[i] - oe[i]) + (eo[i] - oo[i])
                for i in range(h):
                    k = end - np.uint64(i)
                    high[i] = (ee[k] + oe[k]) - (eo[k] + oo[k])
                for i in range(h):
                    k = end - np.uint64(i)
                    low[i] = (ee[k] - oe[k]) - (eo[k] - oo[k])


@inlined
def transfer(x: Any) -> Any:
    """Return the transfer function of a Moffat of index 3.5, ``psf.moffat_transfer``, to 4e-6.

    exp(-x) as the 64th power of a polynomial in x / 64: no library, no branch.
    """
    x = min(x, _FAR)
    z = x * _PER_64
    e = _E0 + z * (_E1 + z * (_E2 + z * (_E3 + z * (_E4 + z * (_E5 + z * _E6)))))
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return e * (_ONE + x * (_ONE + x * _THIRD))


@native(
    "void(float32[:, :, :, :, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1], float32[:, ::1],"
    " float32[::1], float32[:, :, :, :, :, ::1])"
)
def apply_transfer(
    coefficients: Any, amplitudes: Any, scales: Any, radii: Any, window: Any, row: Any, weighted: Any
) -> None:
    """Multiply basis coefficients by amplitude, pixel window and PSF transfer function of each band.

    Parameters
    ----------
    coefficients : float32, shape (n, 2, 2, k, k)
        Parity in x, parity in y, frequency in y, frequency in x.
    amplitudes : float32, shape (n, bands)
        Flux factors.
    scales : float32, shape (n, bands)
        Argument of the transfer function per unit of frequency radius.
    radii, window : float32, shape (k, k)
        Frequency radius and product of the pixel windows along y and x.
    row : float32, shape (k,)
        Overwritten.
    weighted : float32, shape (n, bands, 2, k, 2, k)
        Output: band, parity in y, frequency in y, parity in x, frequency in x.
    """
    k = radii.shape[0]
    for scene in range(coefficients.shape[0]):
        source = coefficients[scene]
        for band in range(amplitudes.shape[1]):
            amplitude = amplitudes[scene, band]
            scale = scales[scene, band]
            for ky in range(k):
                for kx in range(k):
                    row[kx] = amplitude * window[ky, kx] * transfer(radii[ky, kx] * scale)
                for parity_y in range(2):
                    for parity_x in range(2):
                        given = source[parity_x, parity_y, ky]
                        target = weighted[scene, band, parity_y, ky, parity_x]
                        for kx in range(k):
                            target[kx] = given[kx] * row[kx]
