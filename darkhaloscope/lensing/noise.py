"""Photon noise of light that is added to a coadd: the definitions, in plain numpy.

A sky-limited coadd has pixel variance sky / gain, so the number of electrons
that one nanomaggy stands for is gain_eff = sky level x inverse variance: tens of
thousands for a stack, different at every pixel. Added light brings the variance
light / gain_eff and nothing else: the sky's own noise is in the host image and
is neither added again nor resampled. ``exposure`` does the same to many stamps
in one pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing.deviates import NEIGHBOUR_CORRELATION, correlated_normals

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

INVVAR_STEPS = 1024
"""The inverse variance of lit pixels is kept to this fraction of the host's.

The effective gain is good to some percent, so finer steps would store nothing
but digits: they cost 7 kB per stamp. Light that raises the variance by less
than half a step, in the far wings of the PSF, counts as noiseless.
"""


class NoisyLight(NamedTuple):
    """Light with its photon noise.

    Attributes
    ----------
    light : ndarray of float32
        Unit: nMgy/px.
    invvar : ndarray of float32
        Inverse variance of image plus light. Unit: 1/nMgy^2.
    """

    light: Float32Array
    invvar: Float32Array


def check_sky(sky_nmgy: Any) -> FloatArray:
    """Return sky levels as float64, refusing those that leave the gain undefined.

    Raises
    ------
    DataError
        If a sky level is not positive.
    """
    sky = np.asarray(sky_nmgy, dtype=np.float64)
    if not (sky > 0.0).all():
        raise DataError(
            describe(
                "Sky level",
                field="sky_nmgy",
                expected="positive nMgy/px",
                got=float(np.min(sky)),
                hint="read the level removed from the coadd (cosky); a coadd without it has no photon noise",
            )
        )
    return sky


def effective_gain(sky_nmgy: Any, invvar: Any) -> FloatArray:
    """Return electrons per nanomaggy, sky level x inverse variance.

    Parameters
    ----------
    sky_nmgy : array_like, broadcastable to ``invvar``
        Sky level that was removed from the coadd. Unit: nMgy/px.
    invvar : array_like
        Inverse variance of the coadd. Unit: 1/nMgy^2; 0 where there are no data.

    Raises
    ------
    DataError
        If a sky level is not positive, which leaves the gain undefined.
    """
    return np.asarray(check_sky(sky_nmgy) * np.asarray(invvar, dtype=np.float64))


def light_variance(light_nmgy: Any, gain: Any) -> FloatArray:
    """Return the photon variance of added light, light / gain. Unit: nMgy^2.

    0 where there is no light or no gain; the slightly negative pixels that a
    band-limited image may hold count as no light.
    """
    light = np.maximum(np.asarray(light_nmgy, dtype=np.float64), 0.0)
    gain = np.asarray(gain, dtype=np.float64)
    variance = np.zeros(np.broadcast(light, gain).shape)
    return np.asarray(np.divide(light, gain, out=variance, where=gain > 0.0))


def invvar_share(light_nmgy: Any, sky_nmgy: Any) -> FloatArray:
    """Return what light leaves of the inverse variance, in steps of 1 / INVVAR_STEPS.

    With v the variance of the light and ivar that of the image, the share is
    1 / (1 + ivar v) = sky / (sky + light), whatever the inverse variance.
    """
    light = np.maximum(np.asarray(light_nmgy, dtype=np.float64), 0.0)
    share = np.floor(INVVAR_STEPS / (1.0 + light / check_sky(sky_nmgy)) + 0.5)
    return np.asarray(share / INVVAR_STEPS)


def add_photon_noise(
    light_nmgy: Any,
    *,
    sky_nmgy: Any,
    invvar: Any,
    key: Any,
    correlation: float = NEIGHBOUR_CORRELATION,
) -> NoisyLight:
    """Give added light its photon noise and the image its new inverse variance.

    Parameters
    ----------
    light_nmgy : array_like, shape (bands, H, W)
        Noiseless light. Unit: nMgy/px.
    sky_nmgy : array_like, broadcastable to the light
        Sky level per band, for example shape (bands, 1, 1). Unit: nMgy/px.
    invvar : array_like, shape (bands, H, W)
        Inverse variance of the host image. Unit: 1/nMgy^2.
    key : array_like of int, shape (4,)
        Key of the task, from :func:`darkhaloscope.streams.keys`.
    correlation : float
        Correlation of neighbouring pixels.

    Returns
    -------
    NoisyLight
        Where the light is 0, exactly 0 and the input inverse variance, bit for
        bit. Pixels without data (invvar 0) stay without data.
    """
    light = np.asarray(light_nmgy, dtype=np.float64)
    ivar = np.asarray(invvar, dtype=np.float64)
    share = invvar_share(light, sky_nmgy)
    variance = np.where(share < 1.0, light_variance(light, effective_gain(sky_nmgy, ivar)), 0.0)
    planes, height, width = light.shape
    noise = correlated_normals(key, (planes, height, width), correlation) * np.sqrt(variance)
    return NoisyLight(
        light=(light + noise).astype(np.float32),
        invvar=(ivar * share).astype(np.float32),
    )
