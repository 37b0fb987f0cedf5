"""B10: does the model fire on light that is not lensed.

Matched-light controls carry the source of an arc unlensed, with its flux, colour
and radius. Their mean score is judged, and what the model calls at its operating
point: among as many arcs as unlensed twins, the share that is unlensed.

That share stands for "half of the false positives are of this kind". Counted
among the controls of a set, false positives are mostly of the hardest kind
whatever the model, and the more so the more such controls were drawn; a sound
model of the demo has two thirds. Among twins the share is 0.5 for a model of
light, whatever the mix, and falls with every arc told from its twin.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.behaviour.scored import NOTHING_ADDED, FloatArray, Scored, operating_threshold
from darkhaloscope.gates.judging import Measured, failed, not_applicable, passed, simultaneous
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import per_band
from darkhaloscope.statistics import (
    Interval,
    clopper_pearson,
    linearised_auc_interval,
    mean_interval,
)

MATCHED = "matched_light"
_BINS = ("faint, red", "faint, blue", "bright, red", "bright, blue")


def measure_matched_light(scored: Scored, *, fpr: float) -> Measured:
    """Score the unlensed twins of arcs (B10).

    Parameters
    ----------
    scored : Scored
        Rows of the validation split.
    fpr : float
        Share of galaxies with nothing added that the operating point lets pass.

    Returns
    -------
    dict
        ``mean_p`` and ``auc`` against positives; at the operating point the
        ``share`` of unlensed among called twins, and of matched light among all
        false positives; both by added flux and colour.
    """
    matched, positive = scored.kind == MATCHED, scored.positive
    measured: Measured = {
        "has_matched_light": bool(matched.any()),
        "galaxies": min(scored.galaxies_of(matched), scored.galaxies_of(positive)),
    }
    if measured["galaxies"] < 2:
        return measured
    threshold = operating_threshold(scored, fpr)
    called = scored.p > threshold
    confidence = simultaneous(2)
    both = matched | positive
    plain = called & np.isin(scored.kind, NOTHING_ADDED)
    return {
        **measured,
        "threshold": threshold,
        "mean_p": mean_interval(scored.p[matched], scored.galaxies[matched], confidence).to_dict(),
        "auc": linearised_auc_interval(positive[both], scored.p[both], scored.galaxies[both]).to_dict(),
        "called": {POSITIVE: int((called & positive).sum()), MATCHED: int((called & matched).sum())},
        "share": _share_unlensed(called, positive, matched, confidence),
        "false_positives": {MATCHED: int((called & matched).sum()), "nothing_added": int(plain.sum())},
        "by_light": _by_light(scored, called, positive, matched),
    }


def judge_matched_light(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when unlensed light scores like a lens (B10)."""
    if not measured["has_matched_light"]:
        return not_applicable("no matched-light controls to score", measured)
    least = limits.get("B", "min_galaxies")
    n = measured["galaxies"]
    if n < least.value:
        return failed(
            least, f"{n} galaxies with an arc or with matched light; {least.value:g} needed", measured, n=n
        )
    mean_p, limit = Interval(**measured["mean_p"]), limits.get("B10", "max_mean_p")
    if mean_p.above(limit.value):
        return failed(limit, f"unlensed light scores {mean_p} in the mean", measured).measured(mean_p)
    ceiling = limits.get("B10", "max_share")
    called = f"{measured['called'][MATCHED]} unlensed twins and {measured['called'][POSITIVE]} arcs"
    if measured["share"] is not None:
        share = Interval(**measured["share"])
        if share.above(ceiling.value):
            reason = f"at the operating point {called} are called lenses: unlensed share {share}"
            return failed(ceiling, reason, measured).measured(share)
    reason = f"unlensed light scores {mean_p} in the mean; at the operating point {called} are called lenses"
    return passed(limit, reason, measured).measured(mean_p)


def _share_unlensed(
    called: NDArray[np.bool_], positive: NDArray[np.bool_], matched: NDArray[np.bool_], confidence: float
) -> dict[str, float] | None:
    """Return the share of unlensed among called objects, were both kinds equally many."""
    k_positive, k_matched = int((called & positive).sum()), int((called & matched).sum())
    if k_positive + k_matched == 0:
        return None
    # a different number of arcs and twins turns a share s into odds times n_positive / n_matched
    odds = positive.sum() / matched.sum()
    share = clopper_pearson(k_matched, k_matched + k_positive, confidence)
    value, lower, upper = (s * odds / (s * odds + 1.0 - s) for s in (share.value, share.lower, share.upper))
    return Interval(float(value), float(lower), float(upper), share.n).to_dict()


def _by_light(
    scored: Scored, called: NDArray[np.bool_], positive: NDArray[np.bool_], matched: NDArray[np.bool_]
) -> list[Measured]:
    g, r, _ = (scored.column(name) for name in per_band("arc_flux_{b}_nmgy"))
    colour = -2.5 * np.log10(np.maximum(g, 1e-30) / np.maximum(r, 1e-30))
    both = matched | positive
    bright, blue = r > np.median(r[both]), colour < np.median(colour[both])
    out: list[Measured] = []
    for name, chosen in zip(
        _BINS, (~bright & ~blue, ~bright & blue, bright & ~blue, bright & blue), strict=True
    ):
        entry: Measured = {"light": name}
        for kind, rows in ((MATCHED, matched & chosen), (POSITIVE, positive & chosen)):
            entry[kind] = {
                "rows": int(rows.sum()),
                "mean_p": _mean(scored.p[rows]),
                "called": int((called & rows).sum()),
            }
        out.append(entry)
    return out


def _mean(p: FloatArray) -> float | None:
    return float(p.mean()) if p.size else None
