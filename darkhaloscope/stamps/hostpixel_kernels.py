"""What the pixels of host stamps hold, in one pass, compiled.

Only the loop is here; what the counts mean is said in ``hostpixels``. Importing
this module loads the compiler.
"""

from __future__ import annotations

import numpy as np

from darkhaloscope.lensing.native import native

_ZERO = np.float32(0.0)


@native(
    "void(float32[:, :, :, ::1], float32[:, :, :, ::1], int32[:, :, ::1], int32[::1], uint8[:, :, :, ::1],"
    " int64[:, ::1], int64[:, ::1], int64[::1])"
)
def inspect_pixels(  # type: ignore[no-untyped-def] # noqa: ANN201
    image,  # noqa: ANN001
    invvar,  # noqa: ANN001
    maskbits,  # noqa: ANN001
    bits,  # noqa: ANN001
    good,  # noqa: ANN001
    good_px,  # noqa: ANN001
    lit_px,  # noqa: ANN001
    nan_px,  # noqa: ANN001
):
    """Say which pixels are good and count them.

    Parameters
    ----------
    image, invvar : float32, shape (n, bands, size, size)
        Stamps.
    maskbits : int32, shape (n, size, size)
        Mask bits.
    bits : int32, shape (bands,)
        Bad bits of each band.
    good : uint8, shape (n, bands, size, size)
        Output: 1 where there are data and no bad bit.
    good_px, lit_px : int64, shape (n, bands)
        Output: good pixels, and pixels whose image is not 0.
    nan_px : int64, shape (n,)
        Output: pixels that are not finite in the image or inverse variance of some band.
    """
    n, bands, size, _ = image.shape
    for i in range(n):
        nan_px[i] = 0
        for b in range(bands):
            good_px[i, b] = 0
            lit_px[i, b] = 0
        for y in range(size):
            unusable = 0
            for b in range(bands):
                values, weights, flags, out = image[i, b, y], invvar[i, b, y], maskbits[i, y], good[i, b, y]
                bad_bits = bits[b]
                counted = lit = 0
                for x in range(size):
                    value, weight = values[x], weights[x]
                    use = (weight > _ZERO) & ((flags[x] & bad_bits) == 0)
                    out[x] = use
                    counted += use
                    lit += value != _ZERO
                    # A difference from itself is 0 for finite numbers alone.
                    unusable += (value - value != _ZERO) | (weight - weight != _ZERO)
                good_px[i, b] += counted
                lit_px[i, b] += lit
            if unusable > 0:
                for x in range(size):
                    bad = False
                    for b in range(bands):
                        value, weight = image[i, b, y, x], invvar[i, b, y, x]
                        bad = bad | (value - value != _ZERO) | (weight - weight != _ZERO)
                    nan_px[i] += bad
