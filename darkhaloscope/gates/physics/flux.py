"""P1: is the flux that was added the flux that an independent renderer adds.

The stamp minus its host is held against lenstronomy for positives and against
the recorded flux of the twin for matched light. Our own renderer is not called:
it must not grade itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.features import Sample
from darkhaloscope.gates.hosts import HostSums
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.population import POSITIVE, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.deviates import NEIGHBOUR_CORRELATION
from darkhaloscope.lensing.reference import oracle_flux_nmgy
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.sources.library import SourceLibrary
from darkhaloscope.stamps.scenes import LENS_COLUMNS
from darkhaloscope.statistics import Interval, clopper_pearson
from darkhaloscope.streams import generator, uniform
from darkhaloscope.survey.release import get_release

FloatArray = NDArray[np.float64]
Oracle = Callable[..., FloatArray]

_SUPERSAMPLING = 3
_MARGIN_PX = 8
"""lenstronomy at 9 rays per pixel and 8 px of margin: total flux to 0.3 %, 14 ms per row."""

_NOISE_SIGMAS = 3.0
_BOOTSTRAP = 200


def measure_flux(
    sample: Sample,
    hosts: HostSums,
    sources: SourceLibrary,
    *,
    experiment: Experiment,
    size_px: int,
    oracle_rows: int,
    limits: Thresholds,
    oracle: Oracle = oracle_flux_nmgy,
) -> Measured:
    """Compare added with expected flux, per row and band (P1).

    Parameters
    ----------
    sample : Sample
        Rows and the sums of their pixels.
    hosts : HostSums
        The same sums before injection.
    sources : SourceLibrary
        Templates for the oracle.
    experiment : Experiment
        Release, noise and seed.
    size_px : int
        Side of the stamps.
    oracle_rows : int
        Positives rendered again, chosen by id hash.
    limits : Thresholds
        Their row limit decides which rows count as off.
    oracle : callable
        Signature of :func:`darkhaloscope.lensing.reference.oracle_flux_nmgy`.

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
    measured: Measured = {"without_host": int((~known).sum())}

    positives = np.flatnonzero((kind == POSITIVE) & known)
    ids = np.asarray(table["task_id"].to_pylist(), dtype=object)[positives]
    draw = uniform(experiment.seed, "oracle_sample", [str(i) for i in ids])
    chosen = np.sort(positives[np.argsort(draw, kind="stable")[:oracle_rows]])
    expected = _oracle_flux(table.take(pa.array(chosen)), hosts, sources, experiment, size_px, oracle)
    judged: dict[str, Any] = {
        "noise": experiment.noise.arc_shot_noise,
        "seed": experiment.seed,
        "row_limit": limits.value("P1", "max_row_error"),
    }
    measured["oracle"] = _errors(added[chosen], expected, hosts.gain[at[chosen]], **judged)

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


def _noise_inflation(correlation: float) -> float:
    """Return the variance of a sum over correlated noise relative to independent pixels.

    Neighbours are joined along each axis by weights (a, 1, a) with
    2 a / (1 + 2 a^2) = correlation; a sum over many pixels then has
    (1 + 2 a)^2 / (1 + 2 a^2) times the variance, once per axis.
    """
    a = (1.0 - np.sqrt(1.0 - 2.0 * correlation**2)) / (2.0 * correlation)
    return float(((1.0 + 2.0 * a) ** 2 / (1.0 + 2.0 * a * a)) ** 2)


NOISE_INFLATION = _noise_inflation(NEIGHBOUR_CORRELATION)
"""Variance of a sum of photon noise over many pixels, relative to that of independent ones."""


def _oracle_flux(
    rows: pa.Table,
    hosts: HostSums,
    sources: SourceLibrary,
    experiment: Experiment,
    size_px: int,
    oracle: Oracle,
) -> FloatArray:
    if rows.num_rows == 0:
        return np.empty((0, len(BANDS)))
    scale = get_release(experiment.survey.release).pixel_scale_arcsec
    offset = hosts.offset_px[hosts.rows(rows["host_id"].to_pylist())] * scale
    index = np.array([sources.index_of(name) for name in rows["source_id"].to_pylist()], dtype=np.int64)
    magnitudes = np.stack([floats(rows[name]) for name in per_band("src_mag_{b}")], axis=1)
    return oracle(
        sources.templates(index),
        supersampling=_SUPERSAMPLING,
        margin_px=_MARGIN_PX,
        template_scale_arcsec=sources.pixel_scale_arcsec,
        size_px=size_px,
        pixel_scale_arcsec=scale,
        lens_x_arcsec=offset[:, 0] + floats(rows["lens_x_arcsec"]),
        lens_y_arcsec=offset[:, 1] + floats(rows["lens_y_arcsec"]),
        src_flip=np.asarray(rows["src_flip"].to_pylist(), dtype=bool),
        psf_fwhm_arcsec=np.stack([floats(rows[name]) for name in per_band("psf_fwhm_{b}_arcsec")], axis=1),
        flux_nmgy=10.0 ** (0.4 * (22.5 - magnitudes)),
        **{name: floats(rows[name]) for name in LENS_COLUMNS},
    )


def _twin_flux(table: pa.Table, matched: NDArray[np.intp]) -> FloatArray:
    """Return the recorded flux of the twin, or the row's own where the twin is not in the sample."""
    rows = table.take(pa.array(matched))
    names = per_band("arc_flux_{b}_nmgy")
    own = np.stack([floats(rows[name]) for name in names], axis=1)
    every = np.stack([floats(table[name]) for name in names], axis=1)
    place = pc.index_in(rows["twin_task_id"], value_set=table["task_id"].combine_chunks())
    twin = np.asarray(pc.fill_null(place, -1).to_numpy(), dtype=np.intp)
    return np.where((twin >= 0)[:, None], every[twin], own)
