"""The source flux that gives an arc a wanted footprint S/N, and what that choice costs in weight.

Lensed light is linear in the source flux: an arc scaled by s has the same
footprint (a fraction of its own peak), s times the signal, and s times the
photon variance. So the factor follows in closed form from three sums over the
footprint. What S/N is wanted is decided in ``snr_target``; nothing is rendered
or drawn here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.schema import BANDS

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

LN_FLUX_PER_MAG = 0.4 * float(np.log(10.0))
"""Change of ln(flux) over one magnitude (Pogson)."""


class FootprintSums(NamedTuple):
    """Sums over the good pixels of the r-band footprint of k arcs, each shape (k,).

    Attributes
    ----------
    signal_nmgy : ndarray
        F, the light. 0 where no good pixel lies in the footprint.
    variance_nmgy2 : ndarray
        V0, the variance of the image without the arc. Unit: nMgy^2.
    light_variance_nmgy2 : ndarray
        V1, the variance that the arc's own photons add; 0 without photon noise.
    """

    signal_nmgy: FloatArray
    variance_nmgy2: FloatArray
    light_variance_nmgy2: FloatArray

    def snr(self, scale: Any) -> FloatArray:
        """Return the footprint S/N of the arcs scaled by s: s F / sqrt(V0 + s V1)."""
        variance = self.variance_nmgy2 + scale * self.light_variance_nmgy2
        signal = scale * self.signal_nmgy
        return np.asarray(
            np.divide(signal, np.sqrt(variance), out=np.zeros_like(signal), where=variance > 0.0)
        )

    def scale(self, target_snr: Any) -> FloatArray:
        """Return the factor on the flux at which the footprint S/N is t.

        The positive root of F^2 s^2 - t^2 V1 s - t^2 V0 = 0. Infinite where
        the footprint holds no signal: no flux reaches the target.

        Parameters
        ----------
        target_snr : array_like, shape (k,)
            t.

        Raises
        ------
        DataError
            If a target is not a positive number.
        """
        target = np.asarray(target_snr, dtype=np.float64)
        bad = ~((target > 0.0) & np.isfinite(target))
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                describe(
                    "Target S/N",
                    field="target_snr",
                    row=row,
                    expected="a positive number",
                    got=float(np.ravel(target)[row]),
                )
            )
        signal, v0, v1 = self
        rise = target * v1 + np.sqrt((target * v1) ** 2 + 4.0 * signal**2 * v0)
        infinite = np.full(rise.shape, np.inf)
        where = (signal > 0.0) & (v0 > 0.0)
        return np.asarray(np.divide(target * rise, 2.0 * signal**2, out=infinite, where=where))

    def slope(self, scale: Any) -> FloatArray:
        """Return d ln(S/N) / d ln(s) at factor s: 1 against the sky, 1/2 against the arc's own photons.

        (V0 + s V1 / 2) / (V0 + s V1); the Jacobian between flux and S/N.
        """
        own = scale * self.light_variance_nmgy2
        return np.asarray((self.variance_nmgy2 + 0.5 * own) / (self.variance_nmgy2 + own))


def footprint_sums(
    arcs: Float32Array,
    *,
    invvar: Float32Array,
    good: NDArray[np.bool_],
    hosts: ArrayLike,
    sky_nmgy: ArrayLike | None,
) -> FootprintSums:
    """Sum signal and variance over the r-band footprints of arcs.

    Parameters
    ----------
    arcs : ndarray of float32, shape (k, bands, H, W)
        Noiseless arcs. Unit: nMgy/px.
    invvar : ndarray of float32, shape (m, bands, H, W)
        Inverse variance of the hosts. Unit: 1/nMgy^2.
    good : ndarray of bool, shape (m, bands, H, W)
        Pixels that count.
    hosts : array_like of int, shape (k,)
        Host of each arc, a row of ``invvar`` and ``good``.
    sky_nmgy : array_like or None, shape (m,)
        Sky level of the hosts in r, which gives the arc's light the variance
        light / (sky x invvar) (``lensing.noise``). Unit: nMgy/px. None if arcs
        carry no photon noise.

    Returns
    -------
    FootprintSums
        With the footprint of :func:`darkhaloscope.lensing.snr.footprint`, so
        that the S/N at scale 1 is that estimator's.

    Raises
    ------
    DataError
        If a sky level is not positive.
    """
    # The compiler is loaded with the first arc, not with the package.
    from darkhaloscope.stamps import flux_kernels

    hosts = np.asarray(hosts, dtype=np.int64)
    # Over an infinite sky the photons of an arc add nothing.
    sky = np.full(len(hosts), np.inf) if sky_nmgy is None else np.asarray(sky_nmgy, dtype=np.float64)[hosts]
    if not (sky > 0.0).all():
        raise DataError(
            describe("Sky level", field="sky_nmgy", expected="positive nMgy/px", got=float(np.min(sky)))
        )
    sums = np.zeros((3, len(hosts)))
    flux_kernels.sum_footprints(
        np.ascontiguousarray(arcs), invvar, good.view(np.uint8), hosts, sky, BANDS.index("r"), sums
    )
    return FootprintSums(*sums)


def sampling_weight(prior_per_mag: Any, target_per_ln_snr: Any, slope: Any) -> FloatArray:
    """Return the importance weight p(m) / q(m) of a chosen magnitude.

    With the target density T per ln(S/N), the density of the magnitudes that
    choosing the flux gives to one scene is the change of variables
    q(m) = T(ln S/N) * |d ln(S/N) / d ln s| * 0.4 ln 10.

    Parameters
    ----------
    prior_per_mag : array_like, shape (k,)
        p: physical density of the source magnitude in this scene. Unit: 1/mag.
    target_per_ln_snr : array_like, shape (k,)
        T at the chosen S/N.
    slope : array_like, shape (k,)
        From :meth:`FootprintSums.slope`.

    Returns
    -------
    ndarray of float64, shape (k,)
        Sums weighted by it are expectations over the physical prior within the
        range of S/N that the target covers. Not normalised, not clipped.
    """
    chosen_per_mag = np.asarray(target_per_ln_snr) * np.asarray(slope) * LN_FLUX_PER_MAG
    return np.asarray(np.asarray(prior_per_mag) / chosen_per_mag)
