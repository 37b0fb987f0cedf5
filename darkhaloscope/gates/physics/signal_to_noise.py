"""P5: does a recorded signal-to-noise mean what its name says.

Every estimator is computed twice, never by the code that recorded it: from
lenstronomy's noiseless arc, and from the pixels of the stamp minus its host,
with that arc as a template. Each estimator is a sum over pixels once its
template is given, so photon noise scatters the second and does not bias it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.physics.arcs import Arcs, sigma_of
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing import snr
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.statistics.intervals import normal_quantile
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

P5 = "P5"

ESTIMATORS = (
    *(
        (f"arc_snr_{name}_{band}", name, b)
        for name in ("matched", "footprint")
        for b, band in enumerate(BANDS)
    ),
    ("arc_snr_stamp_r", "stamp", BANDS.index("r")),
    ("arc_snr_max_r", "max", BANDS.index("r")),
)
"""Column, estimator and band."""

SOURCES = ("oracle", "pixels")

_NOISE_SIGMAS = 3.0
_BOOTSTRAP = 300
_DRAWN_POINTS = 300
_STORED_DIGITS = 4


def measure_snr(arcs: Arcs, *, seed: int, limits: Thresholds) -> Measured:
    """Compute every recorded signal-to-noise again (P5).

    Parameters
    ----------
    arcs : Arcs
        Pixels, inverse variance and oracle images.
    seed : int
        Of the bootstrap.
    limits : Thresholds
        Their row limit decides which rows count as off.

    Returns
    -------
    dict
        ``rows``; ``unrecorded`` (rows without a number in some column); for
        ``oracle`` and ``pixels`` by column ``median`` (relative error, simultaneous
        interval) and ``off`` (rows off by more than the row limit beyond their
        photon noise); ``points`` for the figure.
    """
    recorded = np.stack([arcs.column(column) for column, _, _ in ESTIMATORS], axis=1)
    known = (recorded > 0.0).all(axis=1)
    measured: Measured = {"rows": int(known.sum()), "unrecorded": int((~known).sum())}
    if not known.any():
        return measured
    recorded = recorded[known]
    n = len(recorded)
    picks = generator(seed, "arc_snr", str(n)).integers(0, n, (_BOOTSTRAP, n))
    coverage = simultaneous(len(SOURCES) * len(ESTIMATORS))
    row_limit = limits.value(P5, "max_row_error")
    usable = arcs.good[known] & (arcs.invvar[known] > 0.0)
    weight = np.where(usable, arcs.invvar[known].astype(np.float64), 0.0)
    for source in SOURCES:
        measured[source] = {}
    measured["points"] = {}
    for c, (column, name, b) in enumerate(ESTIMATORS):
        oracle, ivar = arcs.oracle[known, b], weight[:, b]
        template = _TEMPLATES[name](oracle, ivar)
        values = {
            "oracle": (template * oracle).sum(axis=(1, 2)),
            "pixels": (template * arcs.light[known, b]).sum(axis=(1, 2)),
        }
        noise = sigma_of(template, arcs.variance[known, b])
        for source, value in values.items():
            error = value / recorded[:, c] - 1.0
            allowed = row_limit + (_NOISE_SIGMAS * noise / recorded[:, c] if source == "pixels" else 0.0)
            half = normal_quantile(coverage) * float(np.std(np.median(error[picks], axis=1)))
            median = float(np.median(error))
            measured[source][column] = {
                "median": Interval(median, median - half, median + half, n).to_dict(),
                "off": int((np.abs(error) > allowed).sum()),
            }
        some = slice(0, _DRAWN_POINTS)
        measured["points"][column] = [
            [round(float(a), _STORED_DIGITS), round(float(p), _STORED_DIGITS)]
            for a, p in zip(recorded[some, c], values["pixels"][some], strict=True)
        ]
    return measured


def judge_snr(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a recorded signal-to-noise is not the estimator of its name (P5)."""
    n, least = measured["rows"], limits.get(P5, "min_rows")
    if measured["unrecorded"]:
        reason = f"{measured['unrecorded']} arcs lack a recorded signal-to-noise, or it is not positive"
        return failed(None, reason, measured, n=n)
    if n < least.value:
        return failed(least, f"{n} arcs to compare; {least.value:g} needed", measured, n=n)
    limit, share = limits.get(P5, "max_median_error"), limits.get(P5, "max_row_share")
    told = {"oracle": "of lenstronomy's arc", "pixels": "of the stamp's own pixels"}
    worst = None
    for source in SOURCES:
        for column, raw in measured[source].items():
            # what is computed again relative to the record; the record is what is wrong
            median = Interval(**raw["median"])
            if median.magnitude().above(limit.value):
                reason = (
                    f"{column} is not what it says: that {told[source]} is"
                    f" {1.0 + median.value:.3f} times as high in the median"
                )
                return failed(limit, reason, measured).measured(median)
            off = clopper_pearson(raw["off"], n)
            if off.above(share.value):
                reason = (
                    f"{column} of {raw['off']} of {n} arcs is more than"
                    f" {limits.value(P5, 'max_row_error'):.0%} off that {told[source]}"
                )
                return failed(share, reason, measured).measured(off)
            if worst is None or abs(median.value) > abs(worst[1].value):
                worst = (column, median)
    assert worst is not None
    reason = (
        f"{len(ESTIMATORS)} estimators agree over {n} arcs;"
        f" {worst[0]} least, by {worst[1].value:+.2%} in the median"
    )
    return passed(limit, reason, measured).measured(worst[1])


def _matched(oracle: FloatArray, ivar: FloatArray) -> FloatArray:
    return np.asarray(oracle * ivar / snr.matched(oracle, ivar)[:, None, None])


def _footprint(oracle: FloatArray, ivar: FloatArray) -> FloatArray:
    return _aperture((ivar > 0.0) & snr.footprint_mask(oracle), ivar)


def _stamp(oracle: FloatArray, ivar: FloatArray) -> FloatArray:
    del oracle
    return _aperture(ivar > 0.0, ivar)


def _brightest(oracle: FloatArray, ivar: FloatArray) -> FloatArray:
    flat = (oracle * np.sqrt(ivar)).reshape(len(oracle), -1)
    template = np.zeros_like(flat)
    rows, at = np.arange(len(flat)), flat.argmax(axis=1)
    template[rows, at] = np.sqrt(ivar.reshape(len(flat), -1)[rows, at])
    return template.reshape(oracle.shape)


def _aperture(inside: NDArray[np.bool_], ivar: FloatArray) -> FloatArray:
    variance = np.divide(1.0, ivar, out=np.zeros_like(ivar), where=inside).sum(axis=(1, 2), keepdims=True)
    return np.asarray(inside / np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny)))


_TEMPLATES: dict[str, Any] = {
    "matched": _matched,
    "footprint": _footprint,
    "stamp": _stamp,
    "max": _brightest,
}
"""Weights of each estimator: the signal-to-noise is the sum of weights times light."""
