"""The behaviour gates: what each asks of a trained model, and which figure it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from darkhaloscope.gates import figures as shared
from darkhaloscope.gates.behaviour import (
    calibration,
    calm,
    centre,
    figures,
    growth,
    matched,
    representation,
    rings,
    strata,
    trial,
)
from darkhaloscope.gates.behaviour.model import Model
from darkhaloscope.gates.result import Verdict

__all__ = ["GATES", "Model"]

PROBE_SHARE = 16
"""Galaxies of a whole sample per galaxy that the probe of B6 is trained on."""

MIN_PROBE = 60


def ask_null_injection(model: Model) -> list[Verdict]:
    """B1: injections of nothing."""
    measured = trial.measure_null_injection(
        model.trial, model.ask, experiment=model.experiment, n_boot=model.profile.bootstrap
    )
    name = shared.draw_scores(model.folder / "B1.png", measured, "null injections and their hosts")
    return [replace(trial.judge_null_injection(measured, model.limits), figure=name)]


def ask_arc_removed(model: Model) -> list[Verdict]:
    """B2: positives without their arc."""
    measured = trial.measure_arc_removed(model.trial, model.ask, experiment=model.experiment)
    name = shared.draw_scores(model.folder / "B2.png", measured, "positives with and without their arc")
    return [replace(trial.judge_arc_removed(measured, model.limits), figure=name)]


def ask_centre(model: Model) -> list[Verdict]:
    """B3: levelled centres."""
    measured = centre.measure_centre(
        model.trial, model.ask, limits=model.limits, seed=model.experiment.seed, panel=model.panel
    )
    name = figures.draw_centre(model.folder / "B3.png", measured)
    return [replace(centre.judge_centre(measured, model.limits), figure=name)]


def ask_rings(model: Model) -> list[Verdict]:
    """B4: rings and shuffled arcs."""
    measured = rings.measure_rings(
        model.trial,
        model.ask,
        pixel_scale_arcsec=model.pixel_scale_arcsec,
        seed=model.experiment.seed,
        panel=model.panel,
    )
    name = figures.draw_rings(model.folder / "B4.png", measured)
    return [replace(rings.judge_rings(measured, model.limits), figure=name)]


def ask_calm(model: Model) -> list[Verdict]:
    """B5: changes that a lens does not notice."""
    measured = calm.measure_calm(
        model.trial,
        model.ask,
        n_boot=model.profile.bootstrap,
        seed=model.experiment.seed,
        panel=model.panel,
    )
    name = figures.draw_calm(model.folder / "B5.png", measured)
    return [replace(calm.judge_calm(measured, model.limits), figure=name)]


def ask_representation(model: Model) -> list[Verdict]:
    """B6: units of the noise."""
    measured = representation.measure_representation(
        model.shards,
        model.spec,
        n_hosts=max(MIN_PROBE, model.profile.gate_hosts_per_class // PROBE_SHARE),
        epochs=model.profile.gate_probe_epochs,
        n_boot=model.profile.bootstrap,
        seed=model.experiment.seed,
    )
    return [replace(representation.judge_representation(measured, model.limits), blocking=False)]


def ask_split_gap(model: Model) -> list[Verdict]:
    """B7: validation against test at equal signal."""
    measured = strata.measure_split_gap(model.val, model.test, limits=model.limits)
    limit = model.limits.value("B7", "max_gap")
    name = figures.draw_split_gap(model.folder / "B7.png", measured, limit)
    return [replace(strata.judge_split_gap(measured, model.limits), figure=name)]


def ask_growth(model: Model) -> list[Verdict]:
    """B8: brighter arcs."""
    measured = growth.measure_growth(model.trial, model.val, model.ask, panel=model.panel)
    name = figures.draw_growth(model.folder / "B8.png", measured)
    return [replace(growth.judge_growth(measured, model.limits), figure=name)]


def ask_calibration(model: Model) -> list[Verdict]:
    """B9: scores as probabilities."""
    measured = calibration.measure_calibration(
        model.val, prior=model.prior, n_boot=model.profile.bootstrap, seed=model.experiment.seed
    )
    name = figures.draw_calibration(model.folder / "B9.png", measured)
    return [replace(calibration.judge_calibration(measured, model.limits), figure=name, blocking=False)]


def ask_matched_light(model: Model) -> list[Verdict]:
    """B10: light that is not lensed."""
    measured = matched.measure_matched_light(model.val, fpr=model.experiment.evaluation.fpr)
    name = figures.draw_matched_light(model.folder / "B10.png", measured)
    return [replace(matched.judge_matched_light(measured, model.limits), figure=name)]


GATES: dict[str, Callable[[Model], list[Verdict]]] = {
    "B1": ask_null_injection,
    "B2": ask_arc_removed,
    "B3": ask_centre,
    "B4": ask_rings,
    "B5": ask_calm,
    "B6": ask_representation,
    "B7": ask_split_gap,
    "B8": ask_growth,
    "B9": ask_calibration,
    "B10": ask_matched_light,
}
"""The gates of this family, in the order they run."""
