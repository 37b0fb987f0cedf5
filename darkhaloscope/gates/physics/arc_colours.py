"""P3: have arcs colours like galaxies, and the colours that are recorded of them.

The stamp minus its host is the arc; its colours are held against the recorded
magnitudes of the source, and their scatter against one colour for all. Whether
the flux itself is right is P1's question.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.hosts import HostSums
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.physics.arcs import NOISE_INFLATION
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import per_band
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

COLOURS = ("g_r", "r_z")

_MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10.0)
_NOISE_SIGMAS = 3.0
_BOOTSTRAP = 300
_DRAWN_POINTS = 400
_STORED_DIGITS = 4


def measure_arc_colours(
    sample: Sample, hosts: HostSums, *, experiment: Experiment, limits: Thresholds
) -> Measured:
    """Measure the colours of the arcs on the stamps beside those recorded (P3).

    Arcs whose colours photon noise blurs by more than a stated limit say nothing
    and are counted as faint.

    Parameters
    ----------
    sample : Sample
        Rows and the sums of their pixels.
    hosts : HostSums
        The same sums before injection.
    experiment : Experiment
        Noise and seed.
    limits : Thresholds
        ``max_noise_mag``, and the row limit.

    Returns
    -------
    dict
        ``rows``, ``faint``, ``unrecorded``; per colour ``scatter`` (half of the range of the
        middle 68 %, noise removed in quadrature) and ``offset`` (median of
        measured minus recorded) with intervals; ``off``, rows that are off by
        more than the row limit beyond their noise; ``correlation`` of the two
        colours, and of each with the recorded one (None where one is constant).
    """
    at = hosts.rows(sample.table["host_id"].to_pylist())
    kind = np.asarray(sample.table["control_kind"].to_pylist(), dtype=object)
    arcs = np.flatnonzero((kind == POSITIVE) & (at >= 0))
    added = sample.total_nmgy[arcs] - hosts.total_nmgy[at[arcs]]
    mags = np.stack([sample.column(name)[arcs] for name in per_band("src_mag_{b}")], axis=1)
    noise = _relative_noise(hosts, at[arcs], added, experiment)
    sigma = _MAG_PER_RELATIVE_FLUX * np.hypot(noise[:, :-1], noise[:, 1:])
    bright = (sigma < limits.value("P3", "max_noise_mag")).all(axis=1)
    known = np.isfinite(mags).all(axis=1)
    seen = bright & known
    measured: Measured = {
        "rows": int(seen.sum()),
        "faint": int((~bright).sum()),
        "unrecorded": int((~known).sum()),
    }
    if not seen.any():
        return measured
    added, sigma = added[seen], sigma[seen]
    colour = -2.5 * np.log10(added[:, :-1] / added[:, 1:])
    recorded = (mags[:, :-1] - mags[:, 1:])[seen]
    error = colour - recorded
    off = (np.abs(error) > limits.value("P3", "max_offset_mag") + _NOISE_SIGMAS * sigma).any(axis=1)
    picks = _resamples(len(colour), experiment.seed)
    measured["off"] = int(off.sum())
    measured["scatter"] = {
        name: _interval(intrinsic_scatter, picks, colour[:, c], sigma[:, c]).to_dict()
        for c, name in enumerate(COLOURS)
    }
    measured["offset"] = {
        name: _interval(_median, picks, error[:, c]).to_dict() for c, name in enumerate(COLOURS)
    }
    measured["correlation"] = {
        "g_r with r_z": _correlation(colour[:, 0], colour[:, 1]),
        **{
            f"{name} with recorded": _correlation(colour[:, c], recorded[:, c])
            for c, name in enumerate(COLOURS)
        },
    }
    some = slice(0, _DRAWN_POINTS)
    measured["points"] = {
        "measured": np.round(colour[some], _STORED_DIGITS).tolist(),
        "recorded": np.round(recorded[some], _STORED_DIGITS).tolist(),
    }
    return measured


def judge_arc_colours(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail on one colour for all arcs, or on colours that are not the recorded ones (P3)."""
    least, scatter = limits.get("P3", "min_galaxies"), limits.get("P3", "min_scatter_mag")
    offset, share = limits.get("P3", "max_offset_mag"), limits.get("P3", "max_row_share")
    n = measured["rows"]
    if measured["unrecorded"]:
        reason = f"{measured['unrecorded']} arcs have no recorded colour"
        return failed(None, reason, measured, n=n)
    if n < least.value:
        reason = f"{n} arcs bright enough for a colour, {measured['faint']} fainter; {least.value:g} needed"
        return failed(least, reason, measured, n=n)
    for name in COLOURS:
        shift = Interval(**measured["offset"][name])
        if shift.magnitude().above(offset.value):
            reason = (
                f"{_label(name)} of the arcs is {shift.value:+.3f} mag off the recorded one in the median"
            )
            return failed(offset, reason, measured).measured(shift)
    rows = clopper_pearson(measured["off"], n)
    if rows.above(share.value):
        reason = f"{measured['off']} of {n} arcs are more than {offset.value:g} mag off their recorded colour"
        return failed(share, reason, measured).measured(rows)
    for name in COLOURS:
        spread = Interval(**measured["scatter"][name])
        if not spread.value >= scatter.value or spread.below(scatter.value):
            reason = f"{_label(name)} of the arcs scatters by {spread.value:.3f} mag: one colour for all"
            return failed(scatter, reason, measured).measured(spread)
    narrowest = min((Interval(**raw) for raw in measured["scatter"].values()), key=lambda s: s.value)
    reason = f"colours scatter by {narrowest.value:.2f} mag or more and are the recorded ones over {n} arcs"
    return passed(scatter, reason, measured).measured(narrowest)


def _relative_noise(
    hosts: HostSums, at: NDArray[np.intp], added: FloatArray, experiment: Experiment
) -> FloatArray:
    """Return the photon noise of the flux of an arc, relative to it; infinite without flux."""
    light = np.maximum(added, 0.0)
    photons = NOISE_INFLATION / hosts.gain[at] if experiment.noise.arc_shot_noise else np.zeros_like(light)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(light > 0.0, np.sqrt(photons / light), np.inf))


def _resamples(n: int, seed: int) -> NDArray[np.intp]:
    """Return bootstrap resamples of n arcs; each has a host of its own."""
    rng = generator(seed, "arc_colours", str(n))
    return np.asarray(rng.integers(0, n, (_BOOTSTRAP, n)), dtype=np.intp)


def _interval(statistic: Any, picks: NDArray[np.intp], *columns: FloatArray) -> Interval:
    """Return a statistic of columns with its bootstrap interval, simultaneous for the two colours."""
    drawn = [statistic(*(column[pick] for column in columns)) for pick in picks]
    tail = 0.5 * (1.0 - simultaneous(len(COLOURS)))
    lower, upper = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(float(statistic(*columns)), float(lower), float(upper), len(columns[0]))


def intrinsic_scatter(colour: FloatArray, sigma: FloatArray) -> float:
    """Return the scatter of colours without their noise.

    Parameters
    ----------
    colour : ndarray, shape (n,)
        Measured. Unit: mag.
    sigma : ndarray, shape (n,)
        Standard deviation of its noise.
    """
    low, high = np.quantile(colour, [0.16, 0.84])
    return float(np.sqrt(max(0.0, (0.5 * (high - low)) ** 2 - float(np.median(sigma**2)))))


def _median(values: FloatArray) -> float:
    return float(np.median(values))


def _correlation(a: FloatArray, b: FloatArray) -> float | None:
    if len(a) < 3 or a.std() == 0.0 or b.std() == 0.0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _label(name: str) -> str:
    return name.replace("_", " - ")
