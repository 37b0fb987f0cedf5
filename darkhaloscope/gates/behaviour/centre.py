"""B3: how much of the score is the centre.

The predecessor replaced the disc r < 10 px of every stamp by sky. Two things are
wrong with that. At 0.262 arcsec/px the disc reaches 2.62 arcsec and holds
nearly all the light of arcs with theta_E < 2.5 arcsec, so a model of arcs loses
its score as it should (a drop of 0.6 here) while a model of bright centres may
keep it; and a galaxy with a hole in it is a ring, so controls rise for a reason
of the test's own making.

What must not carry the score is the centre *inside the arc*. So each disc ends
where the arc begins: at the largest radius, at most 8, 10 or 12 px, that holds
no more than a tenth of the arc's r-band light. Inside it the galaxy's peak is
levelled: its pixels are drawn from the host's own annulus of 2 px just outside,
arc not included. A positive keeps its arc and loses its core; the bare host of
the same galaxy, treated alike, is its control. The whole discs are measured too,
beside the share of arc light they hold, and inform.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.behaviour.scored import FloatArray, Images, Score
from darkhaloscope.gates.behaviour.trial import Trial, starved
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.population import floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, mean_interval, mean_ratio_interval
from darkhaloscope.streams import generator

RADII_PX = (8.0, 10.0, 12.0)
JUDGED_PX = 10.0
ANNULUS_PX = 2.0
"""Width of the annulus whose pixels fill the disc."""

MIN_RADIUS_PX = 3.0
"""A smaller disc is half a PSF at most, and levels nothing."""

_STEP_PX = 0.5


def measure_centre(trial: Trial, score: Score, *, limits: Thresholds, seed: int, panel: int) -> Measured:
    """Score positives and their bare hosts with levelled centres (B3).

    Parameters
    ----------
    trial : Trial
        Positives and their hosts.
    score : callable
        The model.
    limits : Thresholds
        ``B3.max_arc_share`` says where the arc begins.
    seed : int
        Key of the resampled pixels.
    panel : int
        Positives for the whole discs, which inform.

    Returns
    -------
    dict
        ``inside`` and ``whole``: by radius the mean scores, the relative
        ``drop`` of positives and the absolute ``rise`` of bare hosts.
    """
    measured: Measured = {"galaxies": 0, "inside": {}, "whole": {}}
    if trial.rows.num_rows < 2:
        return measured
    inner = arc_inner_radius(trial, limits.value("B3", "max_arc_share"))
    few = np.arange(trial.rows.num_rows) < panel
    for radius in RADII_PX:
        reach = np.minimum(inner, radius)
        wide = reach >= MIN_RADIUS_PX
        if np.unique(trial.galaxies[wide]).size >= 2:
            measured["inside"][f"{radius:g}"] = _levelled(trial.where(wide), reach[wide], score, seed)
        full = np.full(int(few.sum()), radius)
        measured["whole"][f"{radius:g}"] = _levelled(trial.where(few), full, score, seed)
    judged = measured["inside"].get(f"{JUDGED_PX:g}")
    measured["galaxies"] = judged["drop"]["n"] if judged else 0
    return measured


def judge_centre(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when levelling the centre inside the arc costs score, or gives it to a bare host (B3)."""
    short = starved(measured, limits, "positives whose arc begins beyond 3 px")
    if short is not None:
        return short
    judged = measured["inside"][f"{JUDGED_PX:g}"]
    drop, rise = Interval(**judged["drop"]), Interval(**judged["rise"])
    limit = limits.get("B3", "max_drop")
    if drop.above(limit.value):
        reason = f"the mean score falls by a share {drop} when only the centre inside the arc is levelled"
        return failed(limit, reason, measured).measured(drop)
    ceiling = limits.get("B3", "max_rise")
    if rise.above(ceiling.value):
        reason = f"hosts without an arc score {rise} more when their centre is levelled"
        return failed(ceiling, reason, measured).measured(rise)
    return passed(
        limit, f"levelled centres cost positives a share {drop} and give hosts {rise}", measured
    ).measured(drop)


def arc_inner_radius(trial: Trial, share: float) -> FloatArray:
    """Return the largest radius about the host that holds at most a share of the r-band arc light.

    Returns
    -------
    ndarray, shape (n,)
        In pixels, in steps of 0.5.
    """
    radius = _radius_px(trial)
    arc = np.maximum(trial.image - trial.bare, 0.0)[:, BANDS.index("r")].astype(np.float64)
    step = np.minimum((radius / _STEP_PX).astype(np.intp), int(trial.image.shape[-1] / _STEP_PX))
    held = np.stack(
        [
            np.bincount(s.ravel(), weights=a.ravel(), minlength=step.max() + 1)
            for s, a in zip(step, arc, strict=True)
        ]
    )
    inside = np.cumsum(held, axis=1) / np.maximum(held.sum(axis=1, keepdims=True), 1e-30)
    return np.asarray((inside <= share).sum(axis=1) * _STEP_PX, dtype=np.float64)


def level_centre(
    images: Images,
    hosts: Images,
    radius: FloatArray,
    reach_px: FloatArray,
    task_ids: Sequence[str],
    seed: int,
) -> Images:
    """Return stamps whose centre is filled with host pixels from the annulus around it.

    All bands take the same pixels, so galaxy colours and noise stay together.

    Parameters
    ----------
    images : ndarray, shape (n, bands, size, size)
        Stamps.
    hosts : ndarray, shape (n, bands, size, size)
        The same galaxies with nothing added.
    radius : ndarray, shape (n, size, size)
        Distance of each pixel from the galaxy, in pixels.
    reach_px : ndarray, shape (n,)
        Radius of the disc.
    task_ids : sequence of str
        Keys of the draws.
    seed : int
        Seed of the draws.
    """
    out = images.copy()
    for image, host, r, reach, task in zip(out, hosts, radius, reach_px, task_ids, strict=True):
        disc = r < reach
        around = np.flatnonzero(((r >= reach) & (r < reach + ANNULUS_PX)).ravel())
        drawn = generator(seed, "centre_level", task).choice(around, size=int(disc.sum()))
        image[:, disc] = host.reshape(len(host), -1)[:, drawn]
    return out


def _levelled(trial: Trial, reach: FloatArray, score: Score, seed: int) -> Measured:
    radius, tasks = _radius_px(trial), trial.rows["task_id"].to_pylist()
    before, bare = score(trial.image, trial.rows), score(trial.bare, trial.rows)
    after = score(level_centre(trial.image, trial.bare, radius, reach, tasks, seed), trial.rows)
    host = score(level_centre(trial.bare, trial.bare, radius, reach, tasks, seed), trial.rows)
    confidence = simultaneous(2)
    left = mean_ratio_interval(after, np.maximum(before, 1e-12), trial.galaxies, trial.galaxies, confidence)
    return {
        "positives": [float(before.mean()), float(after.mean())],
        "hosts": [float(bare.mean()), float(host.mean())],
        "drop": Interval(1.0 - left.value, 1.0 - left.upper, 1.0 - left.lower, left.n).to_dict(),
        "rise": mean_interval(host - bare, trial.galaxies, confidence).to_dict(),
        "arc_share": float(np.median(_share_inside(trial, radius, reach))),
        "median_radius_px": float(np.median(reach)),
    }


def _share_inside(trial: Trial, radius: FloatArray, reach: FloatArray) -> FloatArray:
    arc = np.maximum(trial.image - trial.bare, 0.0)[:, BANDS.index("r")].astype(np.float64)
    inside = (arc * (radius < reach[:, None, None])).sum(axis=(1, 2))
    return np.asarray(inside / np.maximum(arc.sum(axis=(1, 2)), 1e-30))


def _radius_px(trial: Trial) -> NDArray[np.float64]:
    """Return the distance of every pixel from the host, shape (n, size, size)."""
    geometry = StampGeometry(trial.image.shape[-1], 1.0)
    x, y = floats(trial.rows["x_offset_px"]), floats(trial.rows["y_offset_px"])
    return np.stack([geometry.radius_px(*centre) for centre in zip(x, y, strict=True)])
