"""B7: is a gap between validation and test difficulty or leakage.

Splits may differ in how hard their lenses are, and then their AUCs differ
honestly. Inside a bin of S/N and of theta_E over PSF they may not. The test
split is looked at only to be compared: nothing is chosen by it.
"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.behaviour.scored import Scored
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.statistics import Interval, linearised_auc_interval

SNR_EDGES = (0.0, 8.0, 20.0, np.inf)
OVER_PSF_EDGES = (0.0, 0.75, np.inf)
"""Below, arcs and host share one PSF."""

_MIN_SHARED = 5
"""Positives that a bin needs in both splits to belong to the common mix."""

Flags = NDArray[np.bool_]


def measure_split_gap(val: Scored, test: Scored, *, limits: Thresholds) -> Measured:
    """Measure the AUC of both splits within bins of signal, against all controls of the split (B7).

    Returns
    -------
    dict
        ``bins``: for each, its edges, the positive galaxies of either split and,
        where it is well filled, both AUCs and their ``gap``; ``even``, the gap of
        all positives weighted to one mix of bins, the smaller count of each;
        ``plain``, the AUC of all rows of either split, which informs.
    """
    splits = (val, test)
    measured: Measured = {
        "galaxies": min(split.galaxies_of(split.positive) for split in splits),
        "controls": min(split.galaxies_of(~split.positive) for split in splits),
        "bins": [],
    }
    least = limits.value("B7", "min_galaxies")
    if min(measured["galaxies"], measured["controls"]) < least:
        return measured
    measured["plain"] = {
        name: _auc(split, np.ones(len(split.p), bool), 0.95).to_dict()
        for name, split in zip(("val", "test"), splits, strict=True)
    }
    cells = [(edges, tuple(_inside(split, *edges) for split in splits)) for edges in _edges()]
    filled = [
        min(s.galaxies_of(w) for s, w in zip(splits, inside, strict=True)) >= least for _, inside in cells
    ]
    confidence = simultaneous(1 + sum(filled))
    for (edges, inside), well in zip(cells, filled, strict=True):
        entry: Measured = {
            "snr": [_finite(edge) for edge in edges[0]],
            "theta_e_over_psf": [_finite(edge) for edge in edges[1]],
            "galaxies": [s.galaxies_of(w) for s, w in zip(splits, inside, strict=True)],
        }
        if well:
            aucs = [
                _auc(split, chosen | ~split.positive, confidence)
                for split, chosen in zip(splits, inside, strict=True)
            ]
            entry |= {"val": aucs[0].to_dict(), "test": aucs[1].to_dict(), "gap": _gap(*aucs).to_dict()}
        measured["bins"].append(entry)
    shared = [inside for _, inside in cells if all(int(chosen.sum()) >= _MIN_SHARED for chosen in inside)]
    if shared:
        mix = [min(int(chosen.sum()) for chosen in inside) for inside in shared]
        measured["even"] = _gap(
            *(
                _even(split, [inside[i] for inside in shared], mix, confidence)
                for i, split in enumerate(splits)
            )
        ).to_dict()
    return measured


def judge_split_gap(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the splits differ at equal signal (B7)."""
    least, limit = limits.get("B7", "min_galaxies"), limits.get("B7", "max_gap")
    n = min(measured["galaxies"], measured["controls"])
    if n < least.value:
        return failed(least, f"{n} galaxies of a class in a split; {least.value:g} needed", measured, n=n)
    if "even" not in measured:
        return failed(least, "the splits share no bin of signal", measured, n=n)
    asked = [(Interval(**measured["even"]), "at the same mix of signal")] + [
        (Interval(**entry["gap"]), _name(entry)) for entry in measured["bins"] if "gap" in entry
    ]
    gap, where = max(asked, key=lambda item: (item[0].magnitude().lower, item[0].magnitude().value))
    plain = measured["plain"]["val"]["value"] - measured["plain"]["test"]["value"]
    reason = f"AUC of val minus test {where}: {gap}; of all rows {plain:+.3f}"
    return (failed if gap.magnitude().above(limit.value) else passed)(limit, reason, measured).measured(gap)


def _edges() -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return list(product(pairwise(SNR_EDGES), pairwise(OVER_PSF_EDGES)))


def _inside(split: Scored, snr: tuple[float, float], over_psf: tuple[float, float]) -> Flags:
    signal = split.column("arc_snr_footprint_r")
    size = split.column("theta_e_arcsec") / split.column("psf_fwhm_r_arcsec")
    inside = (signal >= snr[0]) & (signal < snr[1]) & (size >= over_psf[0]) & (size < over_psf[1])
    return np.asarray(split.positive & inside)


def _auc(split: Scored, chosen: Flags, confidence: float) -> Interval:
    return linearised_auc_interval(
        split.positive[chosen], split.p[chosen], split.galaxies[chosen], confidence
    )


def _gap(a: Interval, b: Interval) -> Interval:
    """Return the difference of two independent estimates."""
    value = a.value - b.value
    half = float(np.hypot(a.upper - a.lower, b.upper - b.lower)) / 2.0
    return Interval(value, value - half, value + half, min(a.n, b.n))


def _even(split: Scored, bins: list[Flags], mix: list[int], confidence: float) -> Interval:
    """Return the AUC of a split whose positives are weighted to a mix of bins."""
    weight = np.where(split.positive, 0.0, 1.0)
    for chosen, count in zip(bins, mix, strict=True):
        weight[chosen] = count / chosen.sum()
    return linearised_auc_interval(split.positive, split.p, split.galaxies, confidence, weight)


def _finite(edge: float) -> float | None:
    return float(edge) if np.isfinite(edge) else None


def _name(entry: Measured) -> str:
    parts = []
    for label, (low, high) in (("S/N", entry["snr"]), ("theta_E/PSF", entry["theta_e_over_psf"])):
        parts.append(f"{label} {low:g}-{high:g}" if high is not None else f"{label} above {low:g}")
    return "at " + ", ".join(parts)
