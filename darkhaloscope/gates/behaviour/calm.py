"""B5: is the model calm under changes that a lens does not notice.

A panel of positives and their bare hosts is scored again at another zero point,
with one band off by 0.05 mag, moved by a pixel, turned and mirrored. Each change
is judged by the median change of the score, of either class on its own (what
moves arcs alone must not hide behind galaxies that stay), and by whether the
order of all stamps survives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from darkhaloscope.gates.behaviour.scored import FloatArray, Images, Score
from darkhaloscope.gates.behaviour.trial import Trial, starved
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval
from darkhaloscope.statistics.intervals import normal_quantile
from darkhaloscope.streams import generator

FLUX_FACTORS = (0.8, 1.25)
BAND_MAG = 0.05
"""Five times the survey's calibration error."""

Change = Callable[[Images], Images]
_CLASSES = ("positives", "hosts")


def changes() -> dict[str, dict[str, Change]]:
    """Return every change by kind and name."""
    bands: dict[str, Change] = {
        f"{band} {sign * BAND_MAG:+g} mag": _band_factor(b, 10.0 ** (-0.4 * sign * BAND_MAG))
        for b, band in enumerate(BANDS)
        for sign in (1, -1)
    }
    return {
        "zero point": {f"flux x {k:g}": _factor(k) for k in FLUX_FACTORS},
        "one band": bands,
        "shift": {"1 px right": _shift(0, 1), "1 px down": _shift(-1, 0)},
        "orientation": {
            "quarter turn": lambda images: np.ascontiguousarray(np.rot90(images, axes=(2, 3))),
            "half turn": lambda images: np.ascontiguousarray(images[:, :, ::-1, ::-1]),
            "mirror": lambda images: np.ascontiguousarray(images[:, :, :, ::-1]),
        },
    }


def measure_calm(trial: Trial, score: Score, *, n_boot: int, seed: int, panel: int) -> Measured:
    """Score changed stamps beside unchanged ones (B5).

    Parameters
    ----------
    trial : Trial
        Positives and their hosts.
    score : callable
        The model.
    n_boot : int
        Resamples of galaxies behind the error of a median or a correlation.
    seed : int
        Key of the resamples.
    panel : int
        Positives, one per galaxy.

    Returns
    -------
    dict
        ``changes``: by name, ``kind``, ``positives`` and ``hosts`` (median
        abs(dp) of each) and ``rank`` (Spearman's correlation with the scores of
        the stamps as they are).
    """
    _, first = np.unique(trial.galaxies, return_index=True)
    chosen = np.zeros(trial.rows.num_rows, dtype=bool)
    chosen[np.sort(first)[:panel]] = True
    few = trial.where(chosen)
    n = few.rows.num_rows
    measured: Measured = {"galaxies": n, "changes": {}}
    if n < 2:
        return measured
    images, rows = np.concatenate([few.image, few.bare]), pa.concat_tables([few.rows, few.rows])
    before = score(images, rows)
    measured["constant"] = bool(before.min() == before.max())
    every = changes()
    confidence = simultaneous(3 * sum(len(members) for members in every.values()))
    measured["points"] = {kind: [] for kind in every}
    for kind, members in every.items():
        for name, change in members.items():
            after = score(change(images), rows)
            compared = _compared(before, after, n_boot, seed, confidence)
            measured["changes"][name] = {"kind": kind, **compared}
            measured["points"][kind] += np.stack([before, after], axis=1).tolist()
    return measured


def judge_calm(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a harmless change moves the scores or their order (B5)."""
    short = starved(measured, limits)
    if short is not None:
        return short
    limit, floor = limits.get("B5", "max_median_change"), limits.get("B5", "min_rank_correlation")
    if measured["constant"]:
        return failed(
            floor, "every stamp has one score: nothing was tested", measured, n=measured["galaxies"]
        )
    moved = {
        (name, kind): Interval(**raw[kind]) for name, raw in measured["changes"].items() for kind in _CLASSES
    }
    ranks = {name: Interval(**raw["rank"]) for name, raw in measured["changes"].items()}
    most = max(moved, key=lambda key: (moved[key].lower, moved[key].value))
    if moved[most].above(limit.value):
        reason = f"{_told(measured, most[0])} moves scores of {most[1]} by {moved[most]}"
        return failed(limit, reason, measured).measured(moved[most])
    least = min(ranks, key=lambda name: (ranks[name].upper, ranks[name].value))
    if ranks[least].below(floor.value):
        reason = f"{_told(measured, least)} reorders the stamps: rank correlation {ranks[least]}"
        return failed(floor, reason, measured).measured(ranks[least])
    reason = (
        f"the largest median change of score is {moved[most]} ({most[0]}, {most[1]}), "
        f"the least rank correlation {ranks[least]} ({least})"
    )
    return passed(limit, reason, measured).measured(moved[most])


def _told(measured: Measured, name: str) -> str:
    return f"a change of {measured['changes'][name]['kind']} ({name})"


def _compared(before: FloatArray, after: FloatArray, n_boot: int, seed: int, confidence: float) -> Measured:
    """Compare scores of n positives followed by their n bare hosts; galaxies are resampled."""
    n = len(before) // 2
    draws = generator(seed, "calm_bootstrap", str(n)).integers(0, n, (n_boot, n))
    both = np.concatenate([draws, draws + n], axis=1)
    z = normal_quantile(confidence)
    out: Measured = {}
    for kind, moved in zip(_CLASSES, np.abs(after - before).reshape(2, n), strict=True):
        change, error = float(np.median(moved)), z * float(np.median(moved[draws], axis=1).std())
        out[kind] = Interval(change, max(0.0, change - error), change + error, n).to_dict()
    rank, error = float(_rank(before, after[None])[0]), z * float(_rank(before[both], after[both]).std())
    out["rank"] = Interval(rank, max(-1.0, rank - error), min(1.0, rank + error), n).to_dict()
    return out


def _rank(before: FloatArray, after: FloatArray) -> NDArray[np.float64]:
    """Return Spearman's correlation of each row of ``after`` with ``before``; 0 where one is constant."""
    a, b = (rankdata(x, axis=-1) for x in (before, after))
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.asarray((a * b).sum(axis=-1) / np.where(norm > 0.0, norm, 1.0))


def _factor(factor: float) -> Change:
    return lambda images: images * np.float32(factor)


def _band_factor(band: int, factor: float) -> Change:
    def change(images: Images) -> Images:
        out = images.copy()
        out[:, band] *= np.float32(factor)
        return out

    return change


def _shift(rows: int, columns: int) -> Change:
    """Move by whole pixels; what enters is the pixel at the edge."""

    def change(images: Images) -> Images:
        padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        size = images.shape[-1]
        return np.ascontiguousarray(
            padded[:, :, 1 - rows : 1 - rows + size, 1 - columns : 1 - columns + size]
        )

    return change
