"""B8: does the score grow with the signal.

Over a population it need not: a finder that is nearly always right has no room
left to grow in, and a weak one is dominated by the galaxies, whose own light
moves its score more than the arc does. Both gave rank correlations near 0.1
between score and S/N on sound data. So the signal is turned up where nothing
else changes: each positive is scored with its own arc at 0 to 2 times its
brightness on its own host. The rank correlation of score and arc brightness
within a galaxy, averaged over galaxies, is 1 for a model of arcs however good
it is, and 0 or less for one that does not look at them. Turning up an arc turns up
its S/N by the same factor; theta_E over PSF cannot be turned without another
lens, and informs together with the trends over the population.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression

from darkhaloscope.gates.behaviour.scored import FloatArray, Score, Scored
from darkhaloscope.gates.behaviour.trial import Trial, starved
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval, mean_interval

BRIGHTNESS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Arc brightness over its own."""

_DECIMALS = 3
"""A thousandth of probability more is no growth, however regular."""


def measure_growth(trial: Trial, scored: Scored, score: Score, *, panel: int) -> Measured:
    """Score positives with their arcs turned down and up (B8).

    Parameters
    ----------
    trial : Trial
        Positives and their hosts.
    scored : Scored
        Rows of the validation split, for the trends that inform.
    score : callable
        The model.
    panel : int
        Positives whose arc is turned.

    Returns
    -------
    dict
        ``correlation`` within galaxies, ``mean_p`` by brightness, and
        ``population``: Spearman's correlation and the isotonic trend of the
        score with footprint S/N and with theta_E over PSF.
    """
    few = trial.where(np.arange(trial.rows.num_rows) < panel)
    measured: Measured = {"galaxies": int(np.unique(few.galaxies).size)}
    if few.rows.num_rows < 2:
        return measured
    arc = few.image - few.bare
    p = np.stack([score(_lit(few, arc, k), few.rows) for k in BRIGHTNESS], axis=1)
    return {
        **measured,
        "brightness": list(BRIGHTNESS),
        "mean_p": p.mean(axis=0).tolist(),
        "flat": int((p.min(axis=1) == p.max(axis=1)).sum()),
        "correlation": mean_interval(within_rows(np.round(p, _DECIMALS)), few.galaxies).to_dict(),
        "population": _population(scored.where(scored.positive)),
    }


def judge_growth(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a brighter arc does not score higher (B8)."""
    short = starved(measured, limits)
    if short is not None:
        return short
    limit = limits.get("B8", "min_correlation")
    correlation = Interval(**measured["correlation"])
    first, last = measured["mean_p"][0], measured["mean_p"][-1]
    if correlation.below(limit.value):
        reason = (
            f"the score does not grow with the arc: rank correlation {correlation} within galaxies, "
            f"mean {first:.3f} without the arc and {last:.3f} with one twice as bright"
        )
        return failed(limit, reason, measured).measured(correlation)
    reason = f"mean score {first:.3f} to {last:.3f} as arcs brighten, rank correlation {correlation}"
    return passed(limit, reason, measured).measured(correlation)


def within_rows(p: FloatArray) -> FloatArray:
    """Return Spearman's correlation of each row with its column number; 0 for a constant row."""
    ranks = rankdata(p, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    order = np.arange(p.shape[1]) - (p.shape[1] - 1) / 2.0
    norm = np.sqrt((ranks**2).sum(axis=1) * (order**2).sum())
    return np.asarray((ranks @ order) / np.where(norm > 0.0, norm, 1.0))


def _lit(trial: Trial, arc: NDArray[np.float32], brightness: float) -> NDArray[np.float32]:
    # the stamps as they are keep every bit, so that they are not scored again
    if brightness == 0.0:
        return trial.bare
    return trial.image if brightness == 1.0 else trial.bare + np.float32(brightness) * arc


def _population(positives: Scored) -> Measured:
    snr = positives.column("arc_snr_footprint_r")
    over_psf = positives.column("theta_e_arcsec") / positives.column("psf_fwhm_r_arcsec")
    trends: Measured = {}
    for name, signal in (("snr", snr), ("theta_e_over_psf", over_psf)):
        known = np.isfinite(signal)
        if known.sum() < 2:
            continue
        x, p = signal[known], positives.p[known]
        trend = IsotonicRegression(out_of_bounds="clip").fit(x, p)
        grid = np.quantile(x, np.linspace(0.0, 1.0, 21))
        trends[name] = {
            "spearman": float(within_rows(p[np.argsort(x, kind="stable")][None, :])[0]),
            "isotonic": {"x": grid.tolist(), "p": trend.predict(grid).tolist()},
            "points": {"x": x.tolist()[:2000], "p": p.tolist()[:2000]},
        }
    return trends
