"""P1: is the flux that was added the flux that an independent renderer adds.

The stamp minus its host is held against lenstronomy for positives and against
the recorded flux of the twin for matched light. Our own renderer is not called:
it must not grade itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.hosts import HostSums
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.physics.arcs import NOISE_INFLATION
from darkhaloscope.gates.population import floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

_NOISE_SIGMAS = 3.0
_BOOTSTRAP = 200


class Expected(NamedTuple):
    """What an independent renderer adds to some rows.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Rows of the sample.
    flux_nmgy : ndarray, shape (n, 3)
        Light on the stamp.
    """

    rows: NDArray[np.intp]
    flux_nmgy: FloatArray


def measure_flux(
    sample: Sample,
    hosts: HostSums,
    oracle: Expected,
    *,
    experiment: Experiment,
    limits: Thresholds,
) -> Measured:
    """Compare added with expected flux, per row and band (P1).

    Parameters
    ----------
    sample : Sample
        Rows and the sums of their pixels.
    hosts : HostSums
        The same sums before injection.
    oracle : Expected
        Flux of positives by lenstronomy.
    experiment : Experiment
        Noise and seed.
    limits : Thresholds
        Their row limit decides which rows count as off.

    Returns
    -------
    dict
        For ``oracle`` and ``matched_light``: relative errors (median with
        interval, share of values off by more than the row limit beyond their
        photon noise); ``dark_rows`` whose sum changed though nothing was to be
        added; rows without a host.
    """
    table = sample.table
    at = hosts.rows(table["host_id"].to_pylist())
    added = sample.total_nmgy - hosts.total_nmgy[at]
    known = at >= 0
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    judged: dict[str, Any] = {
        "noise": experiment.noise.arc_shot_noise,
        "seed": experiment.seed,
        "row_limit": limits.value("P1", "max_row_error"),
    }
    seen = known[oracle.rows]
    chosen = oracle.rows[seen]
    measured: Measured = {
        "without_host": int((~known).sum()),
        "oracle": _errors(added[chosen], oracle.flux_nmgy[seen], hosts.gain[at[chosen]], **judged),
    }
    matched = np.flatnonzero((kind == "matched_light") & known)
    if matched.size:
        recorded = _twin_flux(table, matched)
        measured["matched_light"] = _errors(added[matched], recorded, hosts.gain[at[matched]], **judged)
    dark = known & np.isin(kind, ["paired", "unpaired", "hard_negative"])
    measured["dark_rows"] = int((added[dark] != 0.0).any(axis=1).sum()) if dark.any() else 0
    return measured


def judge_flux(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the added flux is off, or light lies where none was added (P1)."""
    median_limit, share_limit = limits.get("P1", "max_median_error"), limits.get("P1", "max_row_share")
    least = limits.get("P1", "min_rows")
    oracle = measured["oracle"]
    n = oracle["rows"]
    if n < least.value:
        return failed(least, f"{n} positives with a host to compare; {least.value:g} needed", measured, n=n)
    if measured["without_host"]:
        return failed(None, f"{measured['without_host']} rows have no host cutout", measured, n=n)
    for label in ("oracle", "matched_light"):
        if label not in measured:
            continue
        errors = measured[label]
        against = "lenstronomy" if label == "oracle" else "the recorded flux of the twin"
        median = Interval(**errors["median"])
        if median.magnitude().above(median_limit.value):
            reason = f"added flux is {median.value:+.2%} off {against} in the median"
            return failed(median_limit, reason, measured).measured(median)
        share = clopper_pearson(errors["off"], errors["rows"])
        if share.above(share_limit.value):
            reason = (
                f"{errors['off']} of {errors['rows']} rows are more than "
                f"{limits.value('P1', 'max_row_error'):.0%} off {against}"
            )
            return failed(share_limit, reason, measured).measured(share)
    if measured["dark_rows"]:
        reason = f"{measured['dark_rows']} controls differ from their host though nothing was added"
        return failed(None, reason, measured, n=n)
    median = Interval(**oracle["median"])
    return passed(median_limit, f"median error {median.value:+.2%} over {n} rows", measured).measured(median)


def _errors(
    added: FloatArray, expected: FloatArray, gain: FloatArray, *, noise: bool, seed: int, row_limit: float
) -> dict[str, Any]:
    """Return relative errors per row and band, less what photon noise explains."""
    usable = (expected > 0.0).all(axis=1) & np.isfinite(added).all(axis=1)
    added, expected, gain = added[usable], expected[usable], gain[usable]
    n = int(usable.sum())
    if n == 0:
        return {"rows": 0, "unusable": int((~usable).sum())}
    error = added / expected - 1.0
    sigma = np.sqrt(NOISE_INFLATION / np.maximum(gain * expected, 1e-12)) if noise else np.zeros_like(error)
    off = (np.abs(error) > row_limit + _NOISE_SIGMAS * sigma).any(axis=1)
    return {
        "rows": n,
        "unusable": int((~usable).sum()),
        "median": _median_interval(error, seed).to_dict(),
        "median_by_band": {band: float(np.median(error[:, b])) for b, band in enumerate(BANDS)},
        "off": int(off.sum()),
        "quantiles": [float(q) for q in np.quantile(error, [0.01, 0.16, 0.5, 0.84, 0.99])],
        "median_noise": float(np.median(sigma)),
        "histogram": [int(k) for k in np.histogram(error, bins=60, range=(-0.15, 0.15))[0]],
    }


def _median_interval(error: FloatArray, seed: int) -> Interval:
    """Return the median with a bootstrap interval over rows; the bands of a row stay together."""
    n = len(error)
    rng = generator(seed, "flux_median", str(n))
    medians = [float(np.median(error[rng.integers(0, n, n)])) for _ in range(_BOOTSTRAP)]
    lower, upper = np.quantile(medians, [0.025, 0.975])
    return Interval(float(np.median(error)), float(lower), float(upper), n)


def _twin_flux(table: pa.Table, matched: NDArray[np.intp]) -> FloatArray:
    """Return the recorded flux of the twin, or the row's own where the twin is not in the sample."""
    rows = table.take(pa.array(matched))
    names = per_band("arc_flux_{b}_nmgy")
    own = np.stack([floats(rows[name]) for name in names], axis=1)
    every = np.stack([floats(table[name]) for name in names], axis=1)
    place = pc.index_in(rows["twin_task_id"], value_set=table["task_id"].combine_chunks())
    twin = np.asarray(pc.fill_null(place, -1).to_numpy(), dtype=np.intp)
    return np.where((twin >= 0)[:, None], every[twin], own)
