"""A2: are real lenses in the regime that training covers.

Five measures are taken of training positives and of real lenses by the same
functions; a lens outside the range of training in any of them is one on which
the model extrapolates. Recall is split by it. Tiers are never pooled.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.evaluation.photometry import APERTURE_RADIUS_PX, aperture_flux_nmgy
from darkhaloscope.evaluation.visibility import SUBTRACTION, arc_visibility
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.gates.views import OUTER_PX
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import clopper_pearson, ks_two_sample
from darkhaloscope.statistics.rates import Rate
from darkhaloscope.tabular import pixels

FloatArray = NDArray[np.float64]
Measures: TypeAlias = dict[str, FloatArray]
"""Measure by name, one value per stamp."""

A2 = "A2"
TIERS = ("A", "B")

MEASURES = {
    "aperture_flux_r_nmgy": "flux in r within 8 px [nMgy]",
    "arc_snr_r": "arc S/N in r, deflector subtracted",
    "centre": "normalised mean in r, within 8 px",
    "inner": "normalised mean in r, 8 to 16 px",
    "outer": "normalised mean in r, beyond 16 px",
}
"""Measure to its meaning."""

COLUMNS = ("host_id", "image", "invvar", "x_offset_px", "y_offset_px", "psf_fwhm_r_arcsec")
"""Columns of stamps that the measures read."""

_BINS = 24
_R = BANDS.index("r")


def measure_regime(
    known: Measures,
    real: Measures,
    tier: NDArray[np.str_],
    above: NDArray[np.bool_],
    *,
    galaxies: int,
    coverage: float,
) -> Measured:
    """Say where each real lens lies in the range of training, and split recall by it.

    Parameters
    ----------
    known, real : dict of str to ndarray
        :func:`describe_stamps` of training positives and of n scored lenses.
    tier : ndarray of str, shape (n,)
        Tier of each lens.
    above : ndarray of bool, shape (n,)
        Whether the model calls it a lens.
    galaxies : int
        Galaxies behind the training positives.
    coverage : float
        Share of training inside the range of all measures together (Bonferroni).

    Returns
    -------
    dict
        ``training`` and per tier in ``tiers``: ``n``, ``outside``, the measures
        out of range and the recall inside and outside; ``measures``: range,
        histograms and KS distance per tier.
    """
    tail = (1.0 - coverage) / len(MEASURES) / 2.0
    outside = np.zeros(tier.size, dtype=bool)
    measures: dict[str, Any] = {}
    reasons: dict[str, dict[str, int]] = {name: {} for name in TIERS}
    for name in MEASURES:
        kept = known[name][np.isfinite(known[name])]
        if kept.size < 2:
            continue
        low, high = (float(edge) for edge in np.quantile(kept, [tail, 1.0 - tail]))
        # What could not be measured on a lens is not known to lie inside.
        out = ~((real[name] >= low) & (real[name] <= high))
        outside |= out
        for of in TIERS:
            reasons[of][name] = int((out & (tier == of)).sum())
        measures[name] = {"range": [low, high], **_shapes(kept, real[name], tier)}
    return {
        "training": galaxies,
        "coverage": coverage,
        "subtraction": SUBTRACTION,
        "measures": measures,
        "tiers": {
            of: {
                "n": int((tier == of).sum()),
                "outside": int((outside & (tier == of)).sum()),
                "outside_by_measure": reasons[of],
                "recall_inside": _recall(above, (tier == of) & ~outside),
                "recall_outside": _recall(above, (tier == of) & outside),
            }
            for of in TIERS
        },
    }


def judge_regime(measured: Measured, limits: Thresholds) -> Verdict:
    """Report the share of Tier A outside training; fail where most of it is, or nothing can be said."""
    limit = limits.get(A2, "max_outside")
    least = limits.get(A2, "min_training")
    if measured["training"] < least.value:
        reason = f"{measured['training']} galaxies of training positives; {least.value:g} needed"
        return failed(least, reason, measured, n=measured["training"])
    least, tier = limits.get(A2, "min_lenses"), measured["tiers"]["A"]
    if tier["n"] < least.value:
        return failed(least, f"{tier['n']} Tier A lenses; {least.value:g} needed", measured, n=tier["n"])
    share = clopper_pearson(tier["outside"], tier["n"])
    worst = max(tier["outside_by_measure"].items(), key=lambda item: item[1])
    told = (
        f"{Rate.exact(tier['outside'], tier['n'])} of Tier A outside the range of training"
        f" (most by {MEASURES[worst[0]]}: {worst[1]}); recall"
        f" inside {_text(tier['recall_inside'])}, outside {_text(tier['recall_outside'])}"
    )
    verdict = failed if share.above(limit.value) else passed
    return verdict(limit, told, measured).measured(share)


def describe_stamps(table: pa.Table, spec: PreprocessSpec, pixel_scale_arcsec: float) -> Measures:
    """Return every measure of n stamps; NaN where the deflector could not be fitted.

    Parameters
    ----------
    table : pyarrow.Table
        :data:`COLUMNS`.
    spec : PreprocessSpec
        Normalisation of the last three measures.
    pixel_scale_arcsec : float
        Arcsec per pixel.
    """
    if not table.num_rows:
        return {name: np.empty(0) for name in MEASURES}
    image, invvar = pixels(table, "image"), pixels(table, "invvar")
    x, y = (pc.fill_null(table[f"{axis}_offset_px"], 0.0).to_numpy() for axis in "xy")
    seeing = table["psf_fwhm_r_arcsec"].to_numpy()
    rows = range(table.num_rows)
    arcs = [
        arc_visibility(
            image[i][_R],
            invvar[i][_R],
            x_offset_px=float(x[i]),
            y_offset_px=float(y[i]),
            psf_fwhm_arcsec=float(seeing[i]),
            pixel_scale_arcsec=pixel_scale_arcsec,
        )
        for i in rows
    ]
    shown = spec.images(image)[:, _R].astype(np.float64)
    radius = StampGeometry(shown.shape[-1], 1.0).radius_px()
    zones = {
        "centre": radius < APERTURE_RADIUS_PX,
        "inner": (radius >= APERTURE_RADIUS_PX) & (radius <= OUTER_PX),
        "outer": radius > OUTER_PX,
    }
    return {
        "aperture_flux_r_nmgy": np.array(
            [aperture_flux_nmgy(image[i][_R], x_offset_px=float(x[i]), y_offset_px=float(y[i])) for i in rows]
        ),
        "arc_snr_r": np.array([np.nan if arc is None else arc.snr for arc in arcs]),
        **{name: shown[:, zone].mean(axis=1) for name, zone in zones.items()},
    }


def _shapes(training: FloatArray, real: FloatArray, tier: NDArray[np.str_]) -> dict[str, Any]:
    """Return histograms on common edges, and the KS distance of each tier from training."""
    finite = np.isfinite(real)
    every = np.concatenate([training, real[finite]])
    low, high = np.quantile(every, [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    shapes: dict[str, Any] = {"edges": edges.tolist(), "counts": {"training": _counts(training, edges)}}
    for of in TIERS:
        values = real[finite & (tier == of)]
        shapes["counts"][of] = _counts(values, edges)
        if values.size >= 2:
            shapes.setdefault("ks", {})[of] = ks_two_sample(values, training).to_dict()
    return shapes


def _counts(values: FloatArray, edges: FloatArray) -> list[int]:
    counts: list[int] = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)[0].tolist()
    return counts


def _recall(above: NDArray[np.bool_], rows: NDArray[np.bool_]) -> dict[str, Any]:
    return Rate.exact(int(above[rows].sum()), int(rows.sum())).to_dict()


def _text(raw: dict[str, Any]) -> str:
    return str(Rate.from_dict(raw))
