"""Light put on stamps in one pass over their pixels, compiled.

What is computed is defined in ``deviates``, ``noise`` and ``snr``; only the
loops are here. Loops count from 0 over views that begin where the work begins:
that is what lets the compiler make vectors of them. Importing this module loads
the compiler.
"""

from __future__ import annotations

import math

import numpy as np

from darkhaloscope.lensing.deviates import MULTIPLIERS, ROUNDS, WEYL
from darkhaloscope.lensing.native import inlined, native
from darkhaloscope.lensing.noise import INVVAR_STEPS
from darkhaloscope.lensing.snr import FOOTPRINT_FRACTION

_M0, _M1 = (np.uint64(word) for word in MULTIPLIERS)
_W0, _W1 = (np.uint64(word) for word in WEYL)
_MASK, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_ZERO, _HALF, _ONE, _TWO = (np.float32(v) for v in (0.0, 0.5, 1.0, 2.0))
_LN2 = np.float32(math.log(2.0))
_ROOT_HALF = np.float32(math.sqrt(0.5))
_ROOT_HALF_BITS = np.int32(np.array([_ROOT_HALF]).view(np.int32)[0])
_MANTISSA = np.int32(0x7FFFFF)
_TO_UNIT = np.float32(2.0**-32)
_TO_QUADRANT = np.float32(2.0**-30)
_QUARTER_TURN = np.float32(math.pi / 2.0)
_STEP = 1.0 / INVVAR_STEPS
_FAINTEST = 0.499 / INVVAR_STEPS

# Single-precision polynomials of the Cephes library (Moshier 1989): ln(1 + f)
# on [sqrt(1/2) - 1, sqrt(2) - 1], sine and cosine on [-pi/4, pi/4].
_L = tuple(
    np.float32(c)
    for c in (
        3.3333331174e-1,
        -2.4999993993e-1,
        2.0000714765e-1,
        -1.6668057665e-1,
        1.4249322787e-1,
        -1.2420140846e-1,
        1.1676998740e-1,
        -1.1514610310e-1,
        7.0376836292e-2,
    )
)
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = _L
_S1, _S2, _S3 = (np.float32(c) for c in (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4))
_C1, _C2, _C3 = (np.float32(c) for c in (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5))


@inlined
def fill_words(key, plane, start, count, words):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Fill ``words[q, k]``, k < count, with word q of the counter (start + k, plane, key[2], key[3])."""
    first, key0, key1 = np.uint64(start), np.uint64(key[0]), np.uint64(key[1])
    p, key2, key3 = np.uint64(plane), np.uint64(key[2]), np.uint64(key[3])
    for k in range(count):
        c0, c1, c2, c3 = first + np.uint64(k), p, key2, key3
        k0, k1 = key0, key1
        for _ in range(ROUNDS):
            left, right = c0 * _M0, c2 * _M1
            c0, c1, c2, c3 = (
                (right >> _SHIFT) ^ c1 ^ k0,
                right & _MASK,
                (left >> _SHIFT) ^ c3 ^ k1,
                left & _MASK,
            )
            k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
        words[0, k] = c0
        words[1, k] = c1
        words[2, k] = c2
        words[3, k] = c3


@inlined
def words_to_normals(words, count, real, radius, normals):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Turn ``words[:, k]`` into four normal deviates ``normals[:, k]``, k < count."""
    bits = real.view(np.int32)
    # No loop writes through one of the two views and reads through the other: that would not be vectorised.
    for q in range(0, 4, 2):
        word, second, x, y = words[q], words[q + 1], normals[q], normals[q + 1]
        for k in range(count):
            real[k] = (np.float32(word[k]) + _HALF) * _TO_UNIT
        for k in range(count):
            shifted = bits[k] - _ROOT_HALF_BITS
            radius[k] = np.float32(shifted >> np.int32(23))
            bits[k] = (shifted & _MANTISSA) + _ROOT_HALF_BITS
        for k in range(count):
            f = real[k] - _ONE
            high = _L4 + f * (_L5 + f * (_L6 + f * (_L7 + f * _L8)))
            series = _L0 + f * (_L1 + f * (_L2 + f * (_L3 + f * high)))
            logarithm = radius[k] * _LN2 + (f - f * f * (_HALF - f * series))
            radius[k] = math.sqrt(-_TWO * logarithm if logarithm < _ZERO else _ZERO)
        for k in range(count):
            quadrant = second[k] >> np.uint32(30)
            within = np.float32(second[k] & np.uint32(0x3FFFFFFF)) + _HALF
            angle = (within * _TO_QUADRANT - _HALF) * _QUARTER_TURN
            z = angle * angle
            sine = angle + angle * z * (_S1 + z * (_S2 + z * _S3))
            cosine = _ONE - _HALF * z + z * z * (_C1 + z * (_C2 + z * _C3))
            # The middle of a quadrant is an eighth of a turn from its start.
            near, far = (cosine - sine) * _ROOT_HALF, (cosine + sine) * _ROOT_HALF
            odd = (quadrant & np.uint32(1)) != np.uint32(0)
            across, up = far if odd else near, near if odd else far
            left = (quadrant == np.uint32(1)) | (quadrant == np.uint32(2))
            x[k] = radius[k] * (-across if left else across)
            y[k] = radius[k] * (up if quadrant < np.uint32(2) else -up)


@inlined
def correlate(normals, a, white, down, field):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Write the rows of the correlated field from normals two rows taller."""
    height, size = field.shape
    per_row = white.shape[2]
    scale = _ONE / (_ONE + _TWO * a * a)
    for y in range(height + 2):
        for q in range(4):
            segment, deviates = white[y % 3, q], normals[q, y * per_row : (y + 1) * per_row]
            for j in range(per_row):
                segment[j] = deviates[j]
        if y < 2:
            continue
        above, middle, below = white[(y - 2) % 3], white[(y - 1) % 3], white[y % 3]
        for q in range(4):
            for j in range(per_row):
                down[q * per_row + j] = middle[q, j] + a * (above[q, j] + below[q, j])
        left, centre, right, out = down[:size], down[1 : size + 1], down[2 : size + 2], field[y - 2]
        for x in range(size):
            out[x] = (centre[x] + a * (left[x] + right[x])) * scale


@inlined
def lit_rows(added, faintest, peaks):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Return the first and one past the last row with light above ``faintest``; fill peaks per column."""
    size = added.shape[0]
    first, last = size, 0
    for x in range(size):
        peaks[x] = _ZERO
    for y in range(size):
        row, lit = added[y], 0
        for x in range(size):
            peaks[x] = max(peaks[x], row[x])
            lit += 1 if row[x] > faintest else 0
        if lit > 0:
            first, last = min(first, y), y + 1
    return first, last


@inlined
def measure(added, weight, use, limit, sums, measures):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Fill in flux and the estimators of ``snr``; sums run per column, so they are vectors."""
    size = added.shape[0]
    for x in range(size):
        for k in range(6):
            sums[k, x] = 0.0
        sums[6, x] = -np.inf
    for y in range(size):
        row, inverse, counted = added[y], weight[y], use[y]
        for x in range(size):
            value, ivar = np.float64(row[x]), np.float64(inverse[x])
            counts = (counted[x] != 0) & (ivar > 0.0)
            signal = value if counts else 0.0
            variance = 1.0 / ivar if counts else 0.0
            inside = value > limit
            brightest = signal * math.sqrt(ivar)
            sums[0, x] += value
            sums[1, x] += signal * signal * ivar
            sums[2, x] += signal if inside else 0.0
            sums[3, x] += variance if inside else 0.0
            sums[4, x] += signal
            sums[5, x] += variance
            sums[6, x] = max(sums[6, x], brightest)
    for x in range(1, size):
        for k in range(6):
            sums[k, 0] += sums[k, x]
        sums[6, 0] = max(sums[6, 0], sums[6, x])
    measures[0] = sums[0, 0]
    measures[1] = math.sqrt(sums[1, 0])
    measures[2] = sums[2, 0] / math.sqrt(sums[3, 0]) if sums[3, 0] > 0.0 else 0.0
    measures[3] = sums[4, 0] / math.sqrt(sums[5, 0]) if sums[5, 0] > 0.0 else 0.0
    measures[4] = sums[6, 0]


@native(
    "void(float32[:, :, :, ::1], float32[:, :, :, ::1], int64[::1], float32[:, :, :, ::1], int64[::1],"
    " uint8[:, :, :, ::1], float64[:, ::1], uint32[:, ::1], int64, float32, uint32[:, ::1], float32[:, ::1],"
    " float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1], float64[:, ::1],"
    " float64[:, :, ::1])"
)
def put_light(  # type: ignore[no-untyped-def] # noqa: ANN201
    image,  # noqa: ANN001
    invvar,  # noqa: ANN001
    rows,  # noqa: ANN001
    light,  # noqa: ANN001
    hosts,  # noqa: ANN001
    good,  # noqa: ANN001
    sky,  # noqa: ANN001
    keys,  # noqa: ANN001
    photon_noise,  # noqa: ANN001
    a,  # noqa: ANN001
    words,  # noqa: ANN001
    scratch,  # noqa: ANN001
    normals,  # noqa: ANN001
    white,  # noqa: ANN001
    lines,  # noqa: ANN001
    field,  # noqa: ANN001
    sums,  # noqa: ANN001
    measures,  # noqa: ANN001
):
    """Add light to stamps in place and measure it; see :func:`darkhaloscope.lensing.exposure.put_light`."""
    bands, size = light.shape[1], light.shape[2]
    per_row = white.shape[2]
    for i in range(light.shape[0]):
        n, host = rows[i], hosts[i]
        for b in range(bands):
            added, to, weight = light[i, b], image[n, b], invvar[n, b]
            level = sky[host, b]
            # Below half a step of the inverse variance sky / (sky + light) rounds to 1.
            first, last = lit_rows(added, np.float32(level * _FAINTEST), lines[0])
            peak = _ZERO
            for x in range(size):
                peak = max(peak, lines[0, x])
            if photon_noise != 0 and last > first:
                count = (last - first + 2) * per_row
                fill_words(keys[i], b, first * per_row, count, words)
                words_to_normals(words, count, scratch[0], scratch[1], normals)
                correlate(normals, a, white, lines[1], field[: last - first])
            for y in range(size):
                row, out = added[y], to[y]
                for x in range(size):
                    out[x] += row[x]
                if photon_noise == 0 or y < first or y >= last:
                    continue
                inverse, deviate = weight[y], field[y - first]
                for x in range(size):
                    value = max(_ZERO, row[x])
                    # In double precision, as in the definition: rounding to a step must go the same way.
                    share = np.float32(
                        np.floor(INVVAR_STEPS / (1.0 + np.float64(value) / level) + 0.5) * _STEP
                    )
                    gain = np.float32(level) * inverse[x]
                    variance = value / gain if (gain > _ZERO) & (share < _ONE) else _ZERO
                    out[x] += deviate[x] * math.sqrt(variance)
                    inverse[x] *= share
            measure(added, weight, good[host, b], FOOTPRINT_FRACTION * np.float64(peak), sums, measures[i, b])
