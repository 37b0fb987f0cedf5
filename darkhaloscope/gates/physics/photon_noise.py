"""Has the light that was added the photon noise of light, correlated as a coadd's is (part of P8).

Arcs are smooth over three pixels and their noise is not: what a second difference
along both axes leaves of an arc is noise, whether or not the arc is where it
should be. Its variance is held against that of light over gain. Noise outside the
arcs is ``noise``'s business.
"""

from __future__ import annotations

import numpy as np

from darkhaloscope.gates.judging import Measured, failed
from darkhaloscope.gates.physics.arcs import Arcs
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.deviates import NEIGHBOUR_CORRELATION, neighbour_weight
from darkhaloscope.statistics import CONFIDENCE, Interval
from darkhaloscope.statistics.intervals import normal_quantile
from darkhaloscope.streams import generator

P8 = "P8"

_BOOTSTRAP = 300


def _roughness_of_noise(correlation: float) -> float:
    """Return the variance of the second difference of noise along both axes, relative to the noise's.

    Neighbours are joined by weights (a, 1, a), so pixels two apart share
    a^2 / (1 + 2 a^2); the weights of the difference are (1, -2, 1).
    """
    a = neighbour_weight(correlation)
    return float((6.0 - 8.0 * correlation + 2.0 * a * a / (1.0 + 2.0 * a * a)) ** 2)


def measure_photon_noise(arcs: Arcs, *, seed: int) -> Measured:
    """Measure the small-scale noise of arcs that carry photon noise.

    Parameters
    ----------
    arcs : Arcs
        Light, oracle images and the variance that light of that image has.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``rows`` (arcs with noise) and ``variance``: the median over arcs of the mean
        squared second difference (Immerkaer 1996, Computer Vision and Image
        Understanding 64, 300) over what photons correlated like coadd pixels give.
        Independent pixels give 2.2.
    """
    lit = arcs.variance > 0.0
    whole = np.ones((*lit.shape[:2], lit.shape[2] - 2, lit.shape[3] - 2), dtype=bool)
    for dy in range(3):
        for dx in range(3):
            whole &= lit[:, :, dy : dy + whole.shape[2], dx : dx + whole.shape[3]]
    count = whole.sum(axis=(1, 2, 3))
    seen = count > 0
    measured: Measured = {"rows": int(seen.sum())}
    if not seen.any():
        return measured
    rough = np.diff(np.diff((arcs.light - arcs.oracle)[seen], n=2, axis=-1), n=2, axis=-2)
    variance = np.where(whole, arcs.variance[:, :, 1:-1, 1:-1], 1.0)[seen]
    squares = np.where(whole[seen], rough**2 / variance, 0.0).sum(axis=(1, 2, 3))
    each = squares / (count[seen] * _roughness_of_noise(NEIGHBOUR_CORRELATION))
    n = len(each)
    picks = generator(seed, "photon_noise_gate", str(n)).integers(0, n, (_BOOTSTRAP, n))
    value = float(np.median(each))
    half = normal_quantile(CONFIDENCE) * float(np.std(np.median(each[picks], axis=1)))
    measured["variance"] = Interval(value, value - half, value + half, n).to_dict()
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
    limit, found = limits.get(P8, "max_arc_variance_error"), Interval(**measured["variance"])
    if found.above(1.0 + limit.value) or found.below(1.0 - limit.value):
        reason = (
            f"the small-scale noise of the arcs has {found.value:.3f} times the variance of photons"
            " correlated like coadd pixels"
        )
        return failed(limit, reason, everything).measured(found)
    return None
