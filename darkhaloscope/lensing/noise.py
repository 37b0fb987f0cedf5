"""Photon noise of light that is added to a coadd.

A sky-limited coadd has pixel variance sky / gain, so the number of electrons
that one nanomaggy stands for is gain_eff = sky level x inverse variance: tens of
thousands for a stack, different at every pixel. Added light brings the variance
light / gain_eff and nothing else: the sky's own noise is in the host image and
is neither added again nor resampled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

NEIGHBOUR_CORRELATION = 0.25
"""Correlation of neighbouring coadd pixels, 0.1 to 0.4 in DR10 after Lanczos resampling."""


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
    return np.asarray(sky * np.asarray(invvar, dtype=np.float64))


def light_variance(light_nmgy: Any, gain: Any) -> FloatArray:
    """Return the photon variance of added light, light / gain. Unit: nMgy^2.

    0 where there is no light or no gain; the slightly negative pixels that a
    band-limited image may hold count as no light.
    """
    light = np.maximum(np.asarray(light_nmgy, dtype=np.float64), 0.0)
    gain = np.asarray(gain, dtype=np.float64)
    variance = np.zeros(np.broadcast(light, gain).shape)
    return np.asarray(np.divide(light, gain, out=variance, where=gain > 0.0))


def correlated_normals(
    rng: np.random.Generator, shape: tuple[int, ...], correlation: float = NEIGHBOUR_CORRELATION
) -> FloatArray:
    """Draw normal deviates of unit variance, correlated between neighbours in the last two axes.

    White noise is passed along y and x through the weights (a, 1, a) /
    sqrt(1 + 2 a^2), whose correlation at lag one is 2 a / (1 + 2 a^2).

    Parameters
    ----------
    rng : Generator
        Generator of the task.
    shape : tuple of int
        (..., H, W).
    correlation : float
        Of horizontal and of vertical neighbours, in [0, 0.7].

    Raises
    ------
    DataError
        If the correlation cannot be made with three weights.
    """
    if not 0.0 <= correlation <= 0.7:
        raise DataError(describe("Noise", field="correlation", expected="in [0, 0.7]", got=correlation))
    a = 0.0 if correlation == 0.0 else (1.0 - np.sqrt(1.0 - 2.0 * correlation**2)) / (2.0 * correlation)
    *lead, height, width = shape
    noise = rng.standard_normal((*lead, height + 2, width + 2))
    noise = noise[..., 1:-1, :] + a * (noise[..., :-2, :] + noise[..., 2:, :])
    noise = noise[..., 1:-1] + a * (noise[..., :-2] + noise[..., 2:])
    return np.asarray(noise / (1.0 + 2.0 * a * a))


def add_photon_noise(
    light_nmgy: Any,
    *,
    sky_nmgy: Any,
    invvar: Any,
    rng: np.random.Generator,
    correlation: float = NEIGHBOUR_CORRELATION,
) -> NoisyLight:
    """Give added light its photon noise and the image its new inverse variance.

    Parameters
    ----------
    light_nmgy : array_like, shape (..., H, W)
        Noiseless light. Unit: nMgy/px.
    sky_nmgy : array_like, broadcastable to the light
        Sky level per band, for example shape (bands, 1, 1). Unit: nMgy/px.
    invvar : array_like, shape (..., H, W)
        Inverse variance of the host image. Unit: 1/nMgy^2.
    rng : Generator
        Generator of the task: the same number of deviates is drawn whatever the light.
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
    variance = light_variance(light, effective_gain(sky_nmgy, ivar))
    noise = correlated_normals(rng, light.shape, correlation) * np.sqrt(variance)
    return NoisyLight(
        light=(light + noise).astype(np.float32),
        invvar=(ivar / (1.0 + ivar * variance)).astype(np.float32),
    )
