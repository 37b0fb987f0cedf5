"""Has the light that was added the photon noise of light, correlated as a coadd's is (part of P8).

What is left of an arc without lenstronomy's image of it is noise. Its variance is
held against light over gain, its correlation against that of neighbouring coadd
pixels. Noise outside the arcs is ``noise``'s business.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.judging import Measured, failed, simultaneous
from darkhaloscope.gates.physics.arcs import Arcs
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.deviates import NEIGHBOUR_CORRELATION
from darkhaloscope.statistics import Interval
from darkhaloscope.statistics.intervals import normal_quantile
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

P8 = "P8"

_BOOTSTRAP = 300


def measure_photon_noise(arcs: Arcs, *, seed: int) -> Measured:
    """Measure the noise under arcs that carry photon noise.

    Parameters
    ----------
    arcs : Arcs
        Light, oracle images and the variance that light of that image has.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``rows`` (arcs with noise); ``variance``, the median over arcs of the mean
        squared residual in units of its variance, and ``correlation`` of
        neighbours, with simultaneous intervals.
    """
    lit = arcs.variance > 0.0
    seen = lit.any(axis=(1, 2, 3))
    measured: Measured = {"rows": int(seen.sum())}
    if not seen.any():
        return measured
    lit = lit[seen]
    sigma = np.sqrt(np.where(lit, arcs.variance[seen], 1.0))
    z = np.where(lit, (arcs.light[seen] - arcs.oracle[seen]) / sigma, 0.0)
    square = (z**2).sum(axis=(1, 2, 3))
    products, squares = np.zeros((2, len(z)))
    for ahead, behind in (
        ((..., slice(1, None)), (..., slice(None, -1))),
        ((..., slice(1, None), slice(None)), (..., slice(None, -1), slice(None))),
    ):
        both = lit[ahead] & lit[behind]
        products += np.where(both, z[ahead] * z[behind], 0.0).sum(axis=(1, 2, 3))
        squares += 0.5 * np.where(both, z[ahead] ** 2 + z[behind] ** 2, 0.0).sum(axis=(1, 2, 3))
    n = len(z)
    picks = generator(seed, "photon_noise_gate", str(n)).integers(0, n, (_BOOTSTRAP, n))
    tiny = np.finfo(np.float64).tiny
    for name, each in (
        ("variance", square / lit.sum(axis=(1, 2, 3))),
        ("correlation", products / np.maximum(squares, tiny)),
    ):
        measured[name] = _median(each, picks).to_dict()
    return measured


def fault_of(measured: Measured, limits: Thresholds, everything: Measured) -> Verdict | None:
    """Return why the photon noise is not that of the light, None where it is.

    Parameters
    ----------
    measured : dict
        Of :func:`measure_photon_noise`.
    limits : Thresholds
        Limits of P8.
    everything : dict
        What the verdict is to carry.
    """
    least = limits.get(P8, "min_arcs")
    if measured["rows"] < least.value:
        reason = f"{measured['rows']} arcs carry photon noise; {least.value:g} needed"
        return failed(least, reason, everything, n=measured["rows"])
    for name, expected, told in (
        ("variance", 1.0, "the photon noise of the arcs has {:.3f} times the variance of their light"),
        (
            "correlation",
            NEIGHBOUR_CORRELATION,
            "the photon noise of neighbouring pixels correlates by {:.3f}",
        ),
    ):
        limit, found = limits.get(P8, f"max_arc_{name}_error"), Interval(**measured[name])
        if found.above(expected + limit.value) or found.below(expected - limit.value):
            return failed(limit, told.format(found.value), everything).measured(found)
    return None


def _median(values: FloatArray, picks: NDArray[np.int64]) -> Interval:
    value = float(np.median(values))
    half = normal_quantile(simultaneous(2)) * float(np.std(np.median(values[picks], axis=1)))
    return Interval(value, value - half, value + half, len(values))
