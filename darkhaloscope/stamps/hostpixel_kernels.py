"""Stamps cut out of host cutouts, and what their pixels hold, in one pass, compiled.

Only the loops are here; what the counts mean is said in ``hostpixels``.
"""

from __future__ import annotations

import numpy as np

from darkhaloscope.lensing.native import inlined, native

_ZERO = np.float32(0.0)


@inlined
def copy_window(source, x0, y0, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Copy the window whose first pixel is (x0, y0) of one plane."""
    size = out.shape[0]
    for y in range(size):
        line, into = source[y0 + y, x0 : x0 + size], out[y]
        for x in range(size):
            into[x] = line[x]


@inlined
def inspect(image, invvar, maskbits, bits, good, good_px, lit_px):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Fill in which pixels of a stamp are good, count them, and return how many are not finite."""
    bands, size = image.shape[0], image.shape[1]
    for b in range(bands):
        good_px[b] = 0
        lit_px[b] = 0
    not_finite = 0
    for y in range(size):
        unusable = 0
        for b in range(bands):
            values, weights, flags, out = image[b, y], invvar[b, y], maskbits[y], good[b, y]
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
            good_px[b] += counted
            lit_px[b] += lit
        if unusable > 0:
            for x in range(size):
                bad = False
                for b in range(bands):
                    value, weight = image[b, y, x], invvar[b, y, x]
                    bad = bad | (value - value != _ZERO) | (weight - weight != _ZERO)
                not_finite += bad
    return not_finite


@native(
    "void(float32[:, :, :, ::1], float32[:, :, :, ::1], int32[:, :, ::1], int64[::1], int64[::1], int64[::1],"
    " int32[::1], float32[:, :, :, ::1], float32[:, :, :, ::1], int32[:, :, ::1], uint8[:, :, :, ::1],"
    " int64[:, ::1], int64[:, ::1], int64[::1])"
)
def cut_stamps(  # type: ignore[no-untyped-def] # noqa: ANN201
    image_cutouts,  # noqa: ANN001
    invvar_cutouts,  # noqa: ANN001
    mask_cutouts,  # noqa: ANN001
    rows,  # noqa: ANN001
    x0,  # noqa: ANN001
    y0,  # noqa: ANN001
    bits,  # noqa: ANN001
    image,  # noqa: ANN001
    invvar,  # noqa: ANN001
    maskbits,  # noqa: ANN001
    good,  # noqa: ANN001
    good_px,  # noqa: ANN001
    lit_px,  # noqa: ANN001
    nan_px,  # noqa: ANN001
):
    """Cut k stamps, say which pixels are good and count them.

    Parameters
    ----------
    image_cutouts, invvar_cutouts : float32, shape (m, bands, side, side)
        Cutouts.
    mask_cutouts : int32, shape (m, side, side)
        Mask bits.
    rows : int64, shape (k,)
        Cutout of each stamp; -1 for a blank stamp.
    x0, y0 : int64, shape (k,)
        First column and row of each stamp in its cutout; not read for blank stamps.
    bits : int32, shape (bands,)
        Bad bits of each band.
    image, invvar : float32, shape (k, bands, size, size)
        Output.
    maskbits : int32, shape (k, size, size)
        Output.
    good : uint8, shape (k, bands, size, size)
        Output: 1 where there are data and no bad bit.
    good_px, lit_px : int64, shape (k, bands)
        Output: good pixels, and pixels whose image is not 0.
    nan_px : int64, shape (k,)
        Output: pixels that are not finite in the image or inverse variance of some band.
    """
    bands, size = image.shape[1], image.shape[2]
    for i in range(rows.size):
        if rows[i] < 0:
            for y in range(size):
                for x in range(size):
                    maskbits[i, y, x] = 0
            for b in range(bands):
                for y in range(size):
                    for x in range(size):
                        image[i, b, y, x] = _ZERO
                        invvar[i, b, y, x] = _ZERO
        else:
            copy_window(mask_cutouts[rows[i]], x0[i], y0[i], maskbits[i])
            for b in range(bands):
                copy_window(image_cutouts[rows[i], b], x0[i], y0[i], image[i, b])
                copy_window(invvar_cutouts[rows[i], b], x0[i], y0[i], invvar[i, b])
        nan_px[i] = inspect(image[i], invvar[i], maskbits[i], bits, good[i], good_px[i], lit_px[i])
