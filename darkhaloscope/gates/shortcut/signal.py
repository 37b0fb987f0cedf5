"""S6: is the signal still there after the experiment's treatment of the centre.

A small network is trained to tell visible arcs from matched light, without and
with the treatment. It can only use morphology, so what it loses is signal. An
experiment that treats the centre and has no matched light is asked against its
own controls, which lack the arc: what is lost there was light of the arc,
shortcut and signal together, so a loss fails. What is kept may be the shortcut,
so nothing passes: without matched light this gate cannot open a question that
only matched light can answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.gates.features import MATCHED, Sample
from darkhaloscope.gates.judging import Measured, failed, not_applicable, passed
from darkhaloscope.gates.population import COMPARED_KINDS, KINDS, POSITIVE
from darkhaloscope.gates.result import GateStatus, Verdict
from darkhaloscope.gates.shortcut.classes import by_kind, column
from darkhaloscope.gates.shortcut.classifiers import roc_curve
from darkhaloscope.gates.shortcut.probe import convolutional_scores
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import BANDS
from darkhaloscope.statistics import Interval, grouped_auc_interval, grouped_auc_loss
from darkhaloscope.streams import uniform

PROBE_ROWS = 2500
"""Stamps of a class that a probe is trained and judged on: an AUC to +-0.02, and a bounded time."""

_STACK_DECIMALS = 3


def measure_signal(sample: Sample, *, epochs: int, seed: int, n_boot: int, limits: Thresholds) -> Measured:
    """Train a convolutional probe on visible arcs against matched light, in both views (S6).

    Where the experiment treats no centre the views are one, and so is the probe.
    Without matched light the kinds with nothing added stand in if there is a
    treatment; otherwise no probe is trained.

    Parameters
    ----------
    sample : Sample
        The probe's stamps and classes.
    epochs : int
        Length of each training.
    seed, n_boot : int
        Key of hold-out, weights and resamples; resamples of galaxies.
    limits : Thresholds
        How many galaxies a probe needs.

    Returns
    -------
    dict
        ``treated``; ``stacks`` (mean r image by class, raw view); and per kind
        in ``kinds`` the galaxies, the AUC in either view, the loss between them
        and the ROC curves.
    """
    kind = np.array(KINDS, dtype=object)[sample.population.kind[sample.probe_rows]]
    host = sample.population.host[sample.probe_rows]
    measured: Measured = {
        "treated": sample.probe_model is not sample.probe_raw,
        "kinds": {},
        "stacks": _stacks(sample, kind),
    }
    present = sample.population.present(COMPARED_KINDS)
    if MATCHED in present:
        present = [MATCHED]
    elif not measured["treated"]:
        present = []
    for name in present:
        rows = np.sort(np.concatenate([_fixed_share(sample, kind == of, seed) for of in (POSITIVE, name)]))
        positive = kind[rows] == POSITIVE
        galaxies = {
            POSITIVE: int(np.unique(host[rows][positive]).size),
            name: int(np.unique(host[rows][~positive]).size),
        }
        found: dict[str, Any] = {"galaxies": galaxies}
        if min(galaxies.values()) >= limits.value("S6", "min_galaxies"):
            views = {"raw": sample.probe_raw[rows]}
            views["model"] = sample.probe_model[rows] if measured["treated"] else views["raw"]
            found |= probe_views(views, positive, host[rows], epochs=epochs, seed=seed, n_boot=n_boot)
        measured["kinds"][name] = found
    return measured


def probe_views(
    views: dict[str, NDArray[np.float16]],
    positive: NDArray[np.bool_],
    galaxies: NDArray[Any],
    *,
    epochs: int,
    seed: int,
    n_boot: int,
) -> dict[str, Any]:
    """Return the AUC of a probe in the ``raw`` and the ``model`` view and what the latter loses."""
    raw, held = convolutional_scores(views["raw"], positive, galaxies, epochs=epochs, seed=seed)
    model = raw
    if views["model"] is not views["raw"]:
        model, held = convolutional_scores(views["model"], positive, galaxies, epochs=epochs, seed=seed)
    labels, groups = positive[held], galaxies[held]
    return {
        "raw": grouped_auc_interval(labels, raw, groups, n_boot, seed).to_dict(),
        "model": grouped_auc_interval(labels, model, groups, n_boot, seed).to_dict(),
        "loss": grouped_auc_loss(labels, raw, model, groups, n_boot, seed).to_dict(),
        "roc": {"raw": roc_curve(labels, raw), "model": roc_curve(labels, model)},
    }


def judge_signal(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the model view hides the arc, or nothing can be seen in it (S6)."""
    kinds = measured["kinds"]
    told = {**measured, "by_kind": by_kind({kind: _informing(found) for kind, found in kinds.items()})}
    if not kinds:
        return not_applicable("no matched light to hold the arcs against, and no treatment to judge", told)
    kind = MATCHED if MATCHED in kinds else next(iter(kinds))
    found = kinds[kind]
    least = limits.get("S6", "min_galaxies")
    n = min(found["galaxies"].values())
    if n < least.value:
        reason = f"{n} galaxies with a visible arc or as {kind} control; {least.value:g} needed"
        return failed(least, reason, told, n=n)
    loss, model = Interval(**found["loss"]), Interval(**found["model"])
    limit, floor = limits.get("S6", "max_auc_loss"), limits.get("S6", "min_auc")
    hidden, blind = loss.above(limit.value), kind == MATCHED and model.below(floor.value)
    if kind == MATCHED or hidden:
        status = GateStatus.FAIL if hidden or blind else GateStatus.PASS
        told["by_kind"][kind] = column(model, limit if hidden else floor, status)
    if hidden:
        reason = f"the model view costs a probe {loss} of its AUC {found['raw']['value']:.3f} against {kind}"
        return failed(limit, reason, told).measured(loss)
    if blind:
        reason = f"a probe reaches AUC {model} in the model view: the arc cannot be seen"
        return failed(floor, reason, told).measured(model)
    if kind != MATCHED:
        informs = (
            f"no matched light; against {kind} the model view costs a probe {loss}, what it keeps is light"
        )
        return not_applicable(informs, told).measured(loss)
    return passed(floor, f"a probe tells arcs from matched light with AUC {model}", told).measured(model)


def _fixed_share(sample: Sample, of_class: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    """Return at most :data:`PROBE_ROWS` of a class, by hash of the galaxy, as places among the stamps."""
    places = np.flatnonzero(of_class)
    if places.size <= PROBE_ROWS:
        return places
    names = sample.table["host_id"].take(pa.array(sample.probe_rows[places])).to_pylist()
    return places[np.argsort(uniform(seed, "probe_rows", names), kind="stable")[:PROBE_ROWS]]


def _informing(found: dict[str, Any]) -> dict[str, Any]:
    value = Interval(**found["model"]) if "model" in found else None
    return column(value, None, GateStatus.NOT_APPLICABLE)


def _stacks(sample: Sample, kind: NDArray[Any]) -> dict[str, list[list[float]]]:
    """Return the mean r image of each class the probe is shown, in units of the sky's scatter."""
    r = BANDS.index("r")
    stacks = {}
    for name in KINDS:
        rows = np.flatnonzero(kind == name)
        if rows.size:
            mean = sample.probe_raw[rows, r].mean(axis=0, dtype=np.float64)
            stacks[name] = np.round(mean, _STACK_DECIMALS).tolist()
    return stacks
