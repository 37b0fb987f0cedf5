"""P8: is the noise the same in both classes, where no light was added.

Every stamp is held against its own host: how much sky variance, correlation of
neighbours and the steps between pixel values changed on the way to the stamp. The
host's own sky cancels, and so does what storage did to both classes. The classes
must have changed alike. Noise under the arc is the arc's own: ``photon_noise`` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.judging import Measured, failed, passed, simultaneous
from darkhaloscope.gates.physics import photon_noise
from darkhaloscope.gates.population import COMPARED_KINDS, POSITIVE, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.geometry import StampGeometry, outer_pixels
from darkhaloscope.schema import BANDS, per_band
from darkhaloscope.stamps.hostpixels import HostStamps
from darkhaloscope.statistics import Interval
from darkhaloscope.statistics.intervals import normal_quantile
from darkhaloscope.streams import generator
from darkhaloscope.survey.release import get_release
from darkhaloscope.tabular import pixels

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

P8 = "P8"

MEASURES = ("variance", "correlation")

STEP_EDGES = np.concatenate([[-np.inf], np.arange(-14.0, 1.0, 2.0), [np.inf]])
"""log2 of the gap between neighbouring sorted pixel values in units of the sky's sigma; equal values
fall into the lowest bin."""

MIN_PIXELS = 300
"""A plane with fewer pixels outside the arc is left out: a variance to 8 %."""

_REACH_FWHM = 3.0
_CLIP_SIGMA = 4.0
_BOOTSTRAP = 200
_MAD_TO_SIGMA = 1.482602218505602


@dataclass(frozen=True)
class NoiseRows:
    """What changed between host and stamp, for n rows.

    Parameters
    ----------
    kind, host : ndarray of object, shape (n,)
        Class and galaxy.
    variance, correlation : ndarray, shape (n, 3)
        Relative change of the sky variance and change of the lag-1
        autocorrelation; NaN where too few pixels are left.
    stamp_steps, host_steps : ndarray, shape (n, k)
        Gaps between sorted pixel values by size, as shares, over all bands.
    """

    kind: NDArray[np.object_]
    host: NDArray[np.object_]
    variance: FloatArray
    correlation: FloatArray
    stamp_steps: FloatArray
    host_steps: FloatArray


def measure_noise(table: pa.Table, hosts: HostStamps, *, experiment: Experiment) -> Measured:
    """Compare the noise of stamps with that of their hosts, class by class (P8).

    Parameters
    ----------
    table : pyarrow.Table
        STAMPS rows with pixels, as the shards give them.
    hosts : HostStamps
        Their hosts.
    experiment : Experiment
        Noise, release and seed.

    Returns
    -------
    dict
        ``rows`` by class; ``without_sky`` by class (rows with no plane that has
        enough pixels outside the arc); ``effects``: per control kind, positives
        minus controls of the change of each measure in each band, and the total
        variation of the steps, with simultaneous intervals; ``means`` and
        ``steps`` by class, for the figure.
    """
    rows = noise_rows(table, hosts, experiment)
    present = [kind for kind in (POSITIVE, *COMPARED_KINDS) if (rows.kind == kind).any()]
    blind: BoolArray = np.logical_not(np.isfinite(rows.variance).any(axis=1))
    measured: Measured = {
        "rows": {kind: int(((rows.kind == kind) & ~blind).sum()) for kind in present},
        "galaxies": {kind: int(np.unique(rows.host[(rows.kind == kind) & ~blind]).size) for kind in present},
        "without_sky": {kind: int(((rows.kind == kind) & blind).sum()) for kind in present},
        "effects": {},
        "means": {},
        "steps": {},
    }
    seen = [kind for kind in present if measured["rows"][kind] >= 2]
    for kind in seen:
        chosen = (rows.kind == kind) & ~blind
        measured["means"][kind] = {
            name: {band: _mean(getattr(rows, name)[chosen, b]) for b, band in enumerate(BANDS)}
            for name in MEASURES
        }
        measured["steps"][kind] = {
            of: np.round(getattr(rows, f"{of}_steps")[chosen].mean(axis=0), 6).tolist()
            for of in ("stamp", "host")
        }
    controls = [kind for kind in seen if kind != POSITIVE]
    coverage = simultaneous(len(controls) * (len(BANDS) * len(MEASURES) + 1))
    if POSITIVE in seen:
        for kind in controls:
            measured["effects"][kind] = _effects(rows, np.logical_not(blind), kind, coverage, experiment.seed)
    return measured


def judge_noise(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when one class has more, smoother or otherwise stepped noise than the other (P8)."""
    least, limit = limits.get(P8, "min_galaxies"), limits.get(P8, "max_effect")
    galaxies = measured["galaxies"]
    n = galaxies.get(POSITIVE, 0)
    blind = measured["without_sky"].get(POSITIVE, 0)
    if n < least.value:
        reason = (
            f"{n} galaxies with an arc and sky beside it; {least.value:g} needed, {blind} arcs leave no sky"
        )
        return failed(least, reason, measured, n=n)
    compared = {
        kind: effects for kind, effects in measured["effects"].items() if galaxies[kind] >= least.value
    }
    if not compared:
        return failed(least, f"too few galaxies in every control kind: {galaxies}", measured, n=n)
    worst = _largest_effect(compared, limits, measured)
    if isinstance(worst, Verdict):
        return worst
    fault = photon_noise.fault_of(measured["arcs"], limits, measured) if "arcs" in measured else None
    if fault is not None:
        return fault
    reason = f"noise changed alike in {len(compared) + 1} classes: largest effect {worst.value:+.4f}"
    return passed(limit, reason, measured).measured(worst)


def _largest_effect(
    compared: dict[str, Measured], limits: Thresholds, measured: Measured
) -> Interval | Verdict:
    """Return the largest effect, or why one of them is too large or was not seen."""
    least, limit = limits.get(P8, "min_galaxies"), limits.get(P8, "max_effect")
    n = measured["galaxies"][POSITIVE]
    told = {
        "variance": "the sky variance of positives is {:+.1%} off that of {} controls",
        "correlation": "neighbouring sky pixels of positives correlate by {:+.3f} off those of {} controls",
        "steps": "pixel values of positives stand on other steps than those of {1} controls: {0:.3f}",
    }
    worst: Interval | None = None
    for kind, effects in compared.items():
        for name, by_band in effects.items():
            for band, raw in by_band.items():
                if raw is None:
                    reason = f"no sky to compare in {band} between positives and {kind} controls"
                    return failed(least, reason, measured, n=n)
                effect = Interval(**raw)
                if effect.magnitude().above(limit.value):
                    where = "" if band == "all" else f" in {band}"
                    reason = told[name].format(effect.value, kind) + where
                    return failed(limit, reason, measured).measured(effect)
                if worst is None or abs(effect.value) > abs(worst.value):
                    worst = effect
    assert worst is not None
    return worst


def noise_rows(table: pa.Table, hosts: HostStamps, experiment: Experiment) -> NoiseRows:
    """Return what changed between the hosts and the stamps of some rows; rows without a host are left out.

    Outside the arc is where the stamp has the inverse variance of its host:
    photon noise shows in it wherever light adds 0.05 % of the sky. Where light
    carries no photon noise, it is beyond every image of the source.
    """
    names = table["host_id"].to_pylist()
    found = np.array([hosts.row_of.get(name, -1) for name in names], dtype=np.intp)
    found[[i for i, at in enumerate(found.tolist()) if at >= 0 and hosts.status[at] != "ok"]] = -1
    kept = found >= 0
    table, at = table.filter(pa.array(kept)), found[kept]
    kind = np.asarray(table["control_kind"].to_pylist(), dtype=object)
    n, bands, bins = len(at), len(BANDS), len(STEP_EDGES) - 1
    variance, correlation = np.full((2, n, bands), np.nan)
    steps = np.zeros((2, n, bins))
    if n:
        image, invvar = pixels(table, "image"), pixels(table, "invvar")
        reach = _reach_px(table, hosts, at, experiment)
        for i in range(n):
            bare, dark = hosts.image[at[i]], hosts.good[at[i]] & (invvar[i] == hosts.invvar[at[i]]) & reach[i]
            for b in range(bands):
                changed = _changes(image[i, b], bare[b], dark[b])
                if changed is None:
                    continue
                variance[i, b], correlation[i, b] = changed[:2]
                steps[0, i] += changed[2]
                steps[1, i] += changed[3]
    total = np.maximum(steps.sum(axis=2, keepdims=True), 1.0)
    stamp_steps, host_steps = steps / total
    host = np.asarray(table["host_id"].to_pylist(), dtype=object)
    return NoiseRows(kind, host, variance, correlation, stamp_steps, host_steps)


def lag_one(values: FloatArray, where: BoolArray) -> float:
    """Return the correlation of horizontal and vertical neighbours that both lie in a region.

    Values further than 4 sigma from the middle, stars and galaxies, count as that far.
    """
    inside = values[where]
    middle = float(np.median(inside))
    sigma = _MAD_TO_SIGMA * float(np.median(np.abs(inside - middle)))
    if sigma == 0.0:
        return float("nan")
    clipped = np.clip((values - middle) / sigma, -_CLIP_SIGMA, _CLIP_SIGMA)
    clipped = clipped - clipped[where].mean()
    across = where[:, 1:] & where[:, :-1]
    down = where[1:] & where[:-1]
    products = np.concatenate(
        [(clipped[:, 1:] * clipped[:, :-1])[across], (clipped[1:] * clipped[:-1])[down]]
    )
    return float(products.mean() / (clipped[where] ** 2).mean())


def step_counts(values: FloatArray, sigma: float) -> FloatArray:
    """Return how many gaps between sorted values fall into each of ``STEP_EDGES``.

    Values that stand on a lattice coincide; values that do not hardly ever do.
    """
    gaps = np.diff(np.sort(values)) / sigma
    with np.errstate(divide="ignore"):
        return np.histogram(np.maximum(np.log2(gaps), -1000.0), STEP_EDGES)[0].astype(np.float64)


def _changes(
    stamp: NDArray[np.float32], host: NDArray[np.float32], where: BoolArray
) -> tuple[float, float, FloatArray, FloatArray] | None:
    """Return relative change of the variance, change of the correlation, and steps of stamp and host."""
    if int(where.sum()) < MIN_PIXELS or not np.isfinite(stamp[where]).all():
        return None
    ours, theirs = stamp.astype(np.float64), host.astype(np.float64)
    spread = [float(np.median(np.abs(values[where] - np.median(values[where])))) for values in (ours, theirs)]
    if min(spread) == 0.0:
        return None
    sigma = _MAD_TO_SIGMA * spread[1]
    return (
        (spread[0] / spread[1]) ** 2 - 1.0,
        lag_one(ours, where) - lag_one(theirs, where),
        step_counts(ours[where], sigma),
        step_counts(theirs[where], sigma),
    )


def _reach_px(table: pa.Table, hosts: HostStamps, at: NDArray[np.intp], experiment: Experiment) -> BoolArray:
    """Return the pixels of each row that are sky and that no image of its source reaches."""
    size = hosts.image.shape[-1]
    outer = np.zeros(size * size, dtype=bool)
    outer[outer_pixels(size)] = True
    sky = np.broadcast_to(outer.reshape(1, 1, size, size), (len(at), 1, size, size)).copy()
    if experiment.noise.arc_shot_noise:
        return sky
    scale = get_release(experiment.survey.release).pixel_scale_arcsec
    geometry = StampGeometry(size, scale)
    seeing = np.max([floats(table[name]) for name in per_band("psf_fwhm_{b}_arcsec")], axis=0)
    theta_e = floats(table["theta_e_arcsec"])
    offset = np.hypot(floats(table["src_x_arcsec"]), floats(table["src_y_arcsec"]))
    for i in np.flatnonzero(np.isfinite(theta_e)):
        reach_px = (theta_e[i] + offset[i] + _REACH_FWHM * seeing[i]) / scale
        sky[i, 0] &= geometry.radius_px(*hosts.offset_px[at[i]]) > reach_px
    return sky


def _effects(rows: NoiseRows, seen: BoolArray, kind: str, coverage: float, seed: int) -> Measured:
    """Return positives minus controls of one kind, by measure and band."""
    positive, control = seen & (rows.kind == POSITIVE), seen & (rows.kind == kind)
    effects: Measured = {}
    for name in MEASURES:
        values = getattr(rows, name)
        effects[name] = {
            band: _difference(values[positive, b], values[control, b], coverage)
            for b, band in enumerate(BANDS)
        }
    change = rows.stamp_steps - rows.host_steps
    steps = _total_variation(
        change[positive], change[control], rows.host[positive], rows.host[control], coverage, seed
    )
    effects["steps"] = {"all": steps.to_dict()}
    return effects


def _mean(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _difference(a: FloatArray, b: FloatArray, coverage: float) -> Measured | None:
    """Return the difference of two means, None of too few; each row is held against a host of its own."""
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < 2:
        return None
    value = float(a.mean() - b.mean())
    half = normal_quantile(coverage) * float(np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))
    return Interval(value, value - half, value + half, min(len(a), len(b))).to_dict()


def _total_variation(
    a: FloatArray,
    b: FloatArray,
    hosts_a: NDArray[np.object_],
    hosts_b: NDArray[np.object_],
    coverage: float,
    seed: int,
) -> Interval:
    """Return half the summed difference of two mean changes of a histogram; galaxies are resampled.

    A distance is too large by its own scatter, and a resampled one by as much
    again: the interval is the basic bootstrap's, which takes that out.
    """
    _, group = np.unique(np.concatenate([hosts_a, hosts_b]).astype(str), return_inverse=True)
    n = int(group.max()) + 1
    rng = generator(seed, "noise_steps", str(n))
    value = float(0.5 * np.abs(a.mean(axis=0) - b.mean(axis=0)).sum())
    drawn = np.empty(_BOOTSTRAP)
    for i in range(_BOOTSTRAP):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)[group].astype(np.float64)
        mean_a, mean_b = (
            weight[part] @ values / max(weight[part].sum(), 1.0)
            for part, values in ((slice(0, len(a)), a), (slice(len(a), None), b))
        )
        drawn[i] = 0.5 * np.abs(mean_a - mean_b).sum()
    half = normal_quantile(coverage) * float(drawn.std())
    centre = max(0.0, 2.0 * value - float(drawn.mean()))
    return Interval(value, max(0.0, centre - half), centre + half, n)
