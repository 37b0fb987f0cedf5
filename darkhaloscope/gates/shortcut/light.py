"""S1, S2, S2p, S3, S6: can the class be told without seeing a lens.

Each measure is taken against every control kind. Against ``matched_light``,
which carries the same light unlensed, only morphology is left, so the limits
are tight; against controls with nothing added, physics forces a difference and
they are wide. The model view blocks, the raw view informs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.errors import DataError
from darkhaloscope.gates.features import Features, Sample, aperture_table
from darkhaloscope.gates.hosts import HostSums
from darkhaloscope.gates.judging import Measured, failed, not_applicable, passed, simultaneous
from darkhaloscope.gates.population import COMPARED_KINDS, POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut.probe import convolutional_scores, logistic_scores
from darkhaloscope.gates.thresholds import Threshold, Thresholds
from darkhaloscope.statistics import (
    Interval,
    cohen_d,
    grouped_auc_interval,
    grouped_auc_loss,
    mean_ratio_interval,
)

FloatArray = NDArray[np.float64]

MATCHED = "matched_light"


def measure_normalisation(sample: Sample) -> Measured:
    """Measure the effect size of every normalisation statistic per control kind (S1).

    The statistics are what normalisation divides out (median and scale of
    r > 16 px) and what it leaves behind (the clipped share of that region).
    """
    kinds = _kinds(sample)
    confidence = simultaneous(len(sample.normalisation) * max(1, len(kinds)))
    measured: Measured = {
        "effects": {},
        "constant": [],
        "galaxies": _galaxies(sample),
        "confidence": confidence,
    }
    for name, values in sample.normalisation.items():
        if values.min() == values.max():
            measured["constant"].append(name)
            continue
        for kind in kinds:
            a, b = _pair(sample, kind)
            try:
                d = cohen_d(values[a], values[b], _host(sample, a), _host(sample, b), confidence)
            except DataError:
                continue  # too few rows of the class, which the judge refuses by its galaxies
            measured["effects"].setdefault(kind, {})[name] = d.to_dict()
    return measured


def judge_normalisation(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when a normalisation statistic differs between the classes (S1)."""
    starved = _starved(measured, limits)
    if starved is not None:
        return starved
    limit = limits.get("S1", "max_abs_d_matched_light")
    fixed = [name for name in measured["constant"] if not name.startswith("clip_")]
    if fixed or not measured["effects"]:
        return failed(
            limit, f"{', '.join(fixed) or 'every statistic'} constant: nothing was tested", measured
        )
    effects = []
    for kind, by_name in measured["effects"].items():
        limit = limits.get("S1", f"max_abs_d_{'matched_light' if kind == MATCHED else 'nothing_added'}")
        for name, raw in by_name.items():
            d = Interval(**raw).magnitude()
            effects.append((d.lower - limit.value, d.value, limit, d, f"{name} of positives and {kind}"))
    excess, _, limit, worst, where = max(effects, key=lambda e: (e[0], e[1]))
    verdict = failed if excess > 0.0 else passed
    return verdict(limit, f"{where}: |d| = {worst}", measured).measured(worst)


def measure_aperture_light(sample: Sample, view: Features, *, seed: int, n_boot: int) -> Measured:
    """Cross-validate a logistic regression on aperture fluxes and colours (S2)."""
    return _measure_auc(sample, aperture_table(view), seed=seed, n_boot=n_boot)


def measure_core(sample: Sample, view: Features, *, seed: int, n_boot: int) -> Measured:
    """Cross-validate a logistic regression on seven statistics of the core per band (S2p)."""
    return _measure_auc(sample, np.arcsinh(_scaled(view.core)), seed=seed, n_boot=n_boot)


def judge_aperture_light(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when aperture light alone tells the class (S2)."""
    return _judge_auc(
        measured,
        limits,
        matched=limits.get("S2", "max_auc_matched_light"),
        nothing_added=limits.get("S2", "max_auc_nothing_added"),
        what="aperture light",
    )


def judge_core(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when core statistics tell positives from matched light; others inform (S2p)."""
    return _judge_auc(
        measured,
        limits,
        matched=limits.get("S2p", "max_auc_matched_light"),
        nothing_added=None,
        what="core statistics",
    )


def measure_brightness(sample: Sample, view: Features, hosts: HostSums) -> Measured:
    """Measure the ratio of mean core brightness, with the arcs and before them (S3).

    Parameters
    ----------
    sample : Sample
        Classes.
    view : Features
        The view whose r-band brightness within 8 px is compared.
    hosts : HostSums
        The hosts before injection.
    """
    measured: Measured = {"stamp": {}, "host": {}, "galaxies": _galaxies(sample)}
    at = hosts.rows(sample.table["host_id"].to_pylist())
    known = at >= 0
    before = np.where(known, hosts.brightness_r[at] if hosts.row_of else np.nan, np.nan)
    confidence = simultaneous(max(1, len(_kinds(sample))))
    for kind in _kinds(sample):
        a, b = _pair(sample, kind)
        try:
            measured["stamp"][kind] = mean_ratio_interval(
                view.brightness_r[a], view.brightness_r[b], _host(sample, a), _host(sample, b), confidence
            ).to_dict()
            a, b = a & known, b & known
            measured["host"][kind] = mean_ratio_interval(
                before[a], before[b], _host(sample, a), _host(sample, b), confidence
            ).to_dict()
        except DataError:
            continue  # too few rows of the class, which the judge refuses by its galaxies
    return measured


def judge_brightness(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when cores differ from matched light, or hosts differ before injection (S3)."""
    starved = _starved(measured, limits)
    if starved is not None:
        return starved
    low, high = limits.get("S3", "min_ratio_host"), limits.get("S3", "max_ratio_host")
    if not measured["host"]:
        return failed(low, "no host cutout to compare before injection", measured)
    for kind, raw in measured["host"].items():
        ratio = Interval(**raw)
        crossed = _crossed(ratio, low, high)
        if crossed is not None:
            reason = f"hosts of positives are {ratio} times as bright as {kind} hosts before injection"
            return failed(crossed, reason, measured).measured(ratio)
    if MATCHED not in measured["stamp"]:
        host = Interval(**next(iter(measured["host"].values())))
        stamps = "; ".join(f"{kind} {Interval(**raw)}" for kind, raw in measured["stamp"].items())
        reason = f"hosts alike before injection; no matched light, stamp ratio informs: {stamps}"
        return passed(high, reason, measured).measured(host)
    low, high = limits.get("S3", "min_ratio_matched_light"), limits.get("S3", "max_ratio_matched_light")
    ratio = Interval(**measured["stamp"][MATCHED])
    reason = f"cores of positives are {ratio} times as bright as of matched light"
    crossed = _crossed(ratio, low, high)
    if crossed is not None:
        return failed(crossed, reason, measured).measured(ratio)
    return passed(high, reason, measured).measured(ratio)


def measure_signal(sample: Sample, *, epochs: int, seed: int, n_boot: int, limits: Thresholds) -> Measured:
    """Train a convolutional probe on visible arcs against matched light, in both views (S6).

    Where the experiment treats no centre the views are one, and so is the probe.
    """
    measured: Measured = {"has_matched_light": MATCHED in _kinds(sample), "treated": False}
    if not measured["has_matched_light"]:
        return measured
    kind = np.asarray(sample.table["control_kind"].to_pylist(), dtype=object)[sample.probe_rows]
    positive = kind == POSITIVE
    galaxies = np.asarray(sample.table["host_id"].to_pylist(), dtype=object)[sample.probe_rows].astype(str)
    measured["galaxies"] = {
        POSITIVE: int(np.unique(galaxies[positive]).size),
        MATCHED: int(np.unique(galaxies[~positive]).size),
    }
    measured["treated"] = sample.probe_model is not sample.probe_raw
    if min(measured["galaxies"].values()) < limits.value("S6", "min_galaxies"):
        return measured
    raw, held = convolutional_scores(sample.probe_raw, positive, galaxies, epochs=epochs, seed=seed)
    model = raw
    if measured["treated"]:
        model, held = convolutional_scores(sample.probe_model, positive, galaxies, epochs=epochs, seed=seed)
    labels, groups = positive[held], galaxies[held]
    measured["raw"] = grouped_auc_interval(labels, raw, groups, n_boot, seed).to_dict()
    measured["model"] = grouped_auc_interval(labels, model, groups, n_boot, seed).to_dict()
    measured["loss"] = grouped_auc_loss(labels, raw, model, groups, n_boot, seed).to_dict()
    measured["roc"] = {"raw": _roc(labels, raw), "model": _roc(labels, model)}
    return measured


def judge_signal(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the model view hides the arc, or nothing can be seen in it (S6)."""
    if not measured["has_matched_light"]:
        return not_applicable("no matched-light controls to hold the arcs against", measured)
    least = limits.get("S6", "min_galaxies")
    n = min(measured["galaxies"].values())
    if n < least.value:
        reason = f"{n} galaxies with a visible arc or matched light; {least.value:g} needed"
        return failed(least, reason, measured, n=n)
    loss, model = Interval(**measured["loss"]), Interval(**measured["model"])
    limit = limits.get("S6", "max_auc_loss")
    if loss.above(limit.value):
        reason = f"the model view costs a probe {loss} of its AUC {measured['raw']['value']:.3f}"
        return failed(limit, reason, measured).measured(loss)
    floor = limits.get("S6", "min_auc")
    if model.below(floor.value):
        reason = f"a probe reaches AUC {model} in the model view: the arc cannot be seen"
        return failed(floor, reason, measured).measured(model)
    return passed(floor, f"a probe tells arcs from matched light with AUC {model}", measured).measured(model)


def _measure_auc(sample: Sample, features: FloatArray, *, seed: int, n_boot: int) -> Measured:
    measured: Measured = {"auc": {}, "roc": {}, "galaxies": _galaxies(sample)}
    varies = features.min(axis=0) < features.max(axis=0)
    measured["constant_features"] = int((~varies).sum())
    measured["features"] = int(varies.sum())
    if not varies.any():
        return measured
    for kind in _kinds(sample):
        a, b = _pair(sample, kind)
        rows = np.flatnonzero(a | b)
        if a.sum() < 2 or b.sum() < 2:
            continue
        labels, galaxies = a[rows], _host(sample, rows)
        scores = logistic_scores(features[rows][:, varies], labels, galaxies, seed)
        measured["auc"][kind] = grouped_auc_interval(labels, scores, galaxies, n_boot, seed).to_dict()
        measured["roc"][kind] = _roc(labels, scores)
    return measured


def _judge_auc(
    measured: Measured,
    limits: Thresholds,
    *,
    matched: Threshold,
    nothing_added: Threshold | None,
    what: str,
) -> Verdict:
    starved = _starved(measured, limits)
    if starved is not None:
        return starved
    if measured["features"] == 0:
        return failed(matched, "every feature is constant: nothing was tested", measured)
    aucs = {kind: Interval(**raw) for kind, raw in measured["auc"].items()}
    judged: list[tuple[float, Threshold, str, Interval]] = []
    for kind, value in aucs.items():
        limit = matched if kind == MATCHED else nothing_added
        if limit is not None:
            judged.append((value.lower - limit.value, limit, kind, value))
    if not judged:
        informs = "; ".join(f"{kind} {value}" for kind, value in aucs.items())
        return not_applicable(f"no matched-light controls; {what} informs: AUC {informs}", measured)
    excess, limit, kind, value = max(judged, key=lambda item: item[0])
    reason = f"{what} tells positives from {kind} with AUC {value}"
    return (failed if excess > 0.0 else passed)(limit, reason, measured).measured(value)


def _starved(measured: Measured, limits: Thresholds) -> Verdict | None:
    """Return a failure when a class has too few galaxies to be tested."""
    limit = limits.get("S", "min_galaxies")
    galaxies: dict[str, int] = measured["galaxies"]
    controls = {kind: n for kind, n in galaxies.items() if kind != POSITIVE}
    if not galaxies.get(POSITIVE) or not controls:
        return failed(limit, f"one class only: {galaxies}", measured)
    kind, n = min(galaxies.items(), key=lambda item: item[1])
    if n < limit.value:
        return failed(limit, f"{n} galaxies of class {kind}; {limit.value:g} needed", measured, n=n)
    return None


def _crossed(ratio: Interval, low: Threshold, high: Threshold) -> Threshold | None:
    if ratio.below(low.value):
        return low
    return high if ratio.above(high.value) else None


def _kinds(sample: Sample) -> list[str]:
    return sample.population.present(COMPARED_KINDS)


def _galaxies(sample: Sample) -> dict[str, int]:
    population = sample.population
    kinds = [*population.present([POSITIVE]), *_kinds(sample)]
    return {kind: population.galaxies(population.where(kind)) for kind in kinds}


def _pair(sample: Sample, kind: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return sample.population.where(POSITIVE), sample.population.where(kind)


def _host(sample: Sample, rows: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(sample.population.host[rows])


def _scaled(values: FloatArray) -> FloatArray:
    """Return columns in units of a twentieth of their median size."""
    scale = np.median(np.abs(values), axis=0)
    return values / np.where(scale > 0.0, 0.1 * scale, 1.0)


def _roc(labels: NDArray[np.bool_], scores: FloatArray, points: int = 101) -> dict[str, list[float]]:
    """Return the ROC curve at fixed false-positive rates, for the figure."""
    threshold = np.quantile(scores[~labels], 1.0 - np.linspace(0.0, 1.0, points))
    tpr = [float((scores[labels] >= t).mean()) for t in threshold]
    return {"fpr": [float(x) for x in np.linspace(0.0, 1.0, points)], "tpr": tpr}
