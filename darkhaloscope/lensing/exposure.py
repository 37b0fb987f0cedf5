"""Light put on many stamps: photon noise, inverse variance, flux and signal-to-noise in one pass.

The same quantities as ``noise`` and ``snr`` define, at the speed of memory.
What the light is and which stamps may carry it is no concern of this module.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing.deviates import NEIGHBOUR_CORRELATION, blocks_per_row, neighbour_weight
from darkhaloscope.lensing.noise import check_sky

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]


class Measures(NamedTuple):
    """What was added to k stamps, each of shape (k, bands).

    Attributes
    ----------
    flux_nmgy : ndarray
        Sum of the noiseless light over the stamp.
    matched, footprint, stamp, brightest_pixel : ndarray
        The estimators of :mod:`darkhaloscope.lensing.snr`, with the inverse
        variance of image plus light.
    """

    flux_nmgy: FloatArray
    matched: FloatArray
    footprint: FloatArray
    stamp: FloatArray
    brightest_pixel: FloatArray


def put_light(
    image: Float32Array,
    invvar: Float32Array,
    rows: Any,
    *,
    light_nmgy: Float32Array,
    good: NDArray[np.bool_],
    hosts: Any,
    sky_nmgy: Any,
    keys: NDArray[np.uint32] | None,
    correlation: float = NEIGHBOUR_CORRELATION,
) -> Measures:
    """Add light to stamps and measure it.

    Parameters
    ----------
    image, invvar : ndarray of float32, shape (n, bands, size, size)
        Stamps, nMgy/px and 1/nMgy^2; changed in place.
    rows : array_like of int, shape (k,)
        Stamps that get light, each once.
    light_nmgy : ndarray of float32, shape (k, bands, size, size)
        Noiseless light. Unit: nMgy/px.
    good : ndarray of bool, shape (m, bands, size, size)
        Pixels of each host that count for the signal-to-noise.
    hosts : array_like of int, shape (k,)
        Host of each light, a row of ``good`` and ``sky_nmgy``.
    sky_nmgy : array_like, shape (m, bands)
        Sky level per host. Unit: nMgy/px.
    keys : ndarray of uint32, shape (k, 4), or None
        Keys of the photon noise, from :func:`darkhaloscope.streams.keys`;
        None adds the light without noise and leaves ``invvar`` as it is.

    Returns
    -------
    Measures

    Raises
    ------
    ContractError
        If shapes do not agree.
    DataError
        If noise is asked for and a sky level is not positive.
    """
    # The compiler is loaded on the first light, not with the package.
    from darkhaloscope.lensing import exposure_kernels

    rows, hosts = np.asarray(rows, dtype=np.int64), np.asarray(hosts, dtype=np.int64)
    sky = np.asarray(sky_nmgy, dtype=np.float64)
    k, bands = light_nmgy.shape[:2]
    shapes = {
        "rows": (rows.shape, (k,)),
        "hosts": (hosts.shape, (k,)),
        "image": (image.shape[1:], light_nmgy.shape[1:]),
        "invvar": (invvar.shape, image.shape),
        "good": (good.shape[1:], light_nmgy.shape[1:]),
        "sky_nmgy": (sky.shape, (len(good), bands)),
        "keys": (keys.shape if keys is not None else (k, 4), (k, 4)),
    }
    for field, (got, expected) in shapes.items():
        if got != expected:
            raise ContractError(describe("Light on stamps", field=field, expected=expected, got=got))
    for field, values, count in (("rows", rows, len(image)), ("hosts", hosts, len(good))):
        if k and (values.min() < 0 or values.max() >= count):
            raise ContractError(
                describe("Light on stamps", field=field, expected=f"rows below {count}", got=values.tolist())
            )
    if keys is not None:
        check_sky(sky[hosts])
    measures = np.empty((k, bands, 5))
    size = light_nmgy.shape[-1]
    per_row = blocks_per_row(size + 2)
    blocks = (size + 2) * per_row
    exposure_kernels.put_light(
        image,
        invvar,
        rows,
        light_nmgy,
        hosts,
        good.view(np.uint8),
        sky,
        np.zeros((k, 4), np.uint32) if keys is None else keys,
        int(keys is not None),
        neighbour_weight(correlation),
        np.empty((4, blocks), np.uint32),
        np.empty((2, blocks), np.float32),
        np.empty((4, blocks), np.float32),
        np.empty((3, 4, per_row), np.float32),
        np.empty((2, 4 * per_row), np.float32),
        np.empty((size, size), np.float32),
        np.empty((7, size)),
        measures,
    )
    return Measures(*np.moveaxis(measures, -1, 0))
