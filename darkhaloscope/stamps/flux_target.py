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
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.lensing import noise, snr
from darkhaloscope.schema import BANDS

FloatArray = NDArray[np.float64]

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


def footprint_sums(arc: Any, *, invvar: Any, good: Any, gain: Any | None) -> FootprintSums:
    """Sum signal and variance over the r-band footprints of arcs.

    Parameters
    ----------
    arc : array_like, shape (k, bands, H, W)
        Noiseless arcs. Unit: nMgy/px.
    invvar : array_like, shape (k, bands, H, W)
        Inverse variance of the images without the arcs. Unit: 1/nMgy^2.
    good : array_like of bool, shape (k, bands, H, W)
        Pixels that count.
    gain : array_like or None, shape (k, bands, H, W)
        Electrons per nanomaggy, from :func:`darkhaloscope.lensing.noise.effective_gain`;
        None if the arcs carry no photon noise.

    Returns
    -------
    FootprintSums
        With the footprint of :func:`darkhaloscope.lensing.snr.footprint`, so
        that the S/N at scale 1 is that estimator's.
    """
    r = BANDS.index("r")
    light = np.asarray(arc)[:, r].astype(np.float64)
    weight = np.asarray(invvar)[:, r].astype(np.float64)
    where = (weight > 0.0) & np.asarray(good, dtype=bool)[:, r] & snr.footprint_mask(light)
    variance = np.divide(1.0, weight, out=np.zeros_like(weight), where=where)
    own = np.zeros_like(light) if gain is None else noise.light_variance(light, np.asarray(gain)[:, r])
    axes = (-2, -1)
    return FootprintSums(
        signal_nmgy=np.where(where, light, 0.0).sum(axis=axes),
        variance_nmgy2=variance.sum(axis=axes),
        light_variance_nmgy2=np.where(where, own, 0.0).sum(axis=axes),
    )


def target_scale(arc: Any, *, invvar: Any, good: Any, gain: Any | None, target_snr: Any) -> FloatArray:
    """Return the factor on the source flux, alike in all bands, that makes the footprint S/N the target.

    Parameters
    ----------
    arc, invvar, good, gain
        As in :func:`footprint_sums`.
    target_snr : array_like, shape (k,)
        Wanted footprint S/N in r.

    Returns
    -------
    ndarray of float64, shape (k,)
        Infinite where no flux reaches the target.

    Raises
    ------
    DataError
        If a target is not a positive number.
    """
    return footprint_sums(arc, invvar=invvar, good=good, gain=gain).scale(target_snr)


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
