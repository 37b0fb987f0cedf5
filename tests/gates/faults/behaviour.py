"""Planted faults of trained models: what each has learned instead of lensing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gate_world import kinds
from gates.faults import Fault, models
from gates.faults.cases import ModelCase
from scipy.special import expit

from darkhaloscope.streams import normal

Make = Callable[[ModelCase], Callable[..., Any]]


def scored_by(make: Make) -> Callable[[ModelCase], ModelCase]:
    """Plant another score."""
    return lambda case: replace(case, model=replace(case.model, score=make(case)))


def on_top(change: Callable[..., Any]) -> Callable[[ModelCase], ModelCase]:
    """Plant a sound model whose score is changed by ``change(p, images, rows)``."""

    def make(case: ModelCase) -> Callable[..., Any]:
        sound = case.model.score
        return lambda images, rows: change(sound(images, rows), images, rows)

    return scored_by(make)


def bright_centre(case: ModelCase) -> Callable[..., Any]:
    """'Bright centre = lens': the core's light over the noise, whatever made it."""
    middle = np.median(models.core_light(case.model.trial.image))
    return lambda images, _rows: expit(6.0 * (models.core_light(images) / middle - 1.0) + 0.5)


def colour_only(case: ModelCase) -> Callable[..., Any]:
    """Blue is a lens."""
    image = case.model.trial.image
    middle = np.median(models.blue_light(image))
    return lambda images, _rows: np.clip(0.5 + 1.8 * (middle - models.blue_light(images)), 0.02, 0.98)


def absolute_flux(p: Any, images: Any, _rows: Any) -> Any:
    """A sound model that reads nMgy: sure of bright pixels only."""
    return p * np.clip(np.quantile(images[:, 1], 0.9, axis=(1, 2)) / 0.02, 0.0, 1.0)


def by_heart(case: ModelCase) -> Callable[..., Any]:
    """The galaxies of positives are known by their id, arc or not."""
    table = case.good.table
    seen = set(np.asarray(table["task_id"].to_pylist())[kinds(table) == "positive"].tolist())
    return lambda _images, rows: np.where([t in seen for t in rows["task_id"].to_pylist()], 0.95, 0.05)


def ignores_the_arc(case: ModelCase) -> Callable[..., Any]:
    """Every galaxy has its own low score."""
    return lambda _images, rows: expit(-2.0 + 0.5 * normal(1, "no_arc", rows["host_id"].to_pylist()))


def forgets_test(p: Any, _images: Any, rows: Any) -> Any:
    """Sound where its labels were seen, at chance elsewhere."""
    unseen = np.asarray(rows["split"].to_pylist()) == "test"
    return np.where(unseen, expit(-4.0 + 0.5 * normal(2, "unseen", rows["task_id"].to_pylist())), p)


def any_added_light(p: Any, _images: Any, rows: Any) -> Any:
    """What is added is a lens, lensed or not."""
    return np.where(kinds(rows) == "matched_light", 0.95, p)


def called_at_the_edge(p: Any, _images: Any, rows: Any) -> Any:
    """Some of the unlensed light is sure to be a lens, and few arcs are."""
    sure = normal(3, "sure", rows["task_id"].to_pylist()) > 0.75
    arcs = normal(4, "arcs", rows["task_id"].to_pylist()) > 1.6
    p = np.where((kinds(rows) == "positive") & ~arcs, 0.02 * p, p)
    return np.where((kinds(rows) == "matched_light") & sure, 0.97, p)


def another_spec(case: ModelCase) -> ModelCase:
    """The checkpoint was shown stamps over the scatter of all pixels, the experiment says outer ones."""
    assert case.model.preprocess is not None
    other = replace(case.model.preprocess, normalisation="raw_mad")
    return replace(case, model=replace(case.model, preprocess=other))


def fault(name: str, gate: str, says: str, plant: Callable[..., Any], **given: Any) -> Fault:
    """A fault of a checkpoint."""
    return Fault(name, "checkpoint", (gate, *given.pop("more", ())), says, plant, **given)


FAULTS: tuple[Fault, ...] = (
    fault(
        "every_galaxy_is_a_lens",
        "B1",
        "null injections score",
        on_top(lambda p, _images, _rows: 0.5 + 0.5 * p),
        more=("B2",),
        also=("B4", "B10"),
        lessons=("L106",),
    ),
    fault(
        "knows_its_galaxies_by_heart",
        "B2",
        "hosts alone score",
        scored_by(by_heart),
        also=("B1", "B4", "B5", "B8"),
        lessons=("L110",),
    ),
    fault(
        "bright_centre_is_a_lens",
        "B3",
        "only the centre inside the arc",
        scored_by(bright_centre),
        also=("B1", "B2", "B4", "B10"),
        lessons=("L94", "L95"),
    ),
    fault(
        "missing_core_is_a_lens",
        "B3",
        "when their centre is levelled",
        on_top(lambda p, images, _rows: np.where(models.levelled_core(images) < 1.15, 0.9, p)),
        also=("B2",),
    ),
    fault(
        "any_ring_is_a_lens",
        "B4",
        "rings of 15 px",
        on_top(lambda p, images, _rows: np.where(models.ring_contrast(images) > 0.5, 0.99, p)),
        lessons=("L105",),
    ),
    fault(
        "reads_only_colour",
        "B5",
        "one band",
        scored_by(colour_only),
        also=("B1", "B2", "B4", "B8", "B10"),
        lessons=("L35",),
    ),
    fault("reads_absolute_flux", "B5", "zero point", on_top(absolute_flux), lessons=("L133",)),
    fault(
        "knows_one_orientation",
        "B5",
        "orientation",
        scored_by(lambda case: models.sees_arcs(case.good.table, turned=False)),
        lessons=("L38",),
    ),
    fault(
        "one_score_for_all",
        "B8",
        "does not grow",
        on_top(lambda p, _images, _rows: np.full(len(p), 0.1)),
        more=("B5",),
    ),
    fault("ignores_the_arc", "B8", "does not grow", scored_by(ignores_the_arc)),
    fault(
        "has_seen_the_validation_labels", "B7", "val minus test", on_top(forgets_test), lessons=("L84", "L92")
    ),
    fault(
        "scores_are_no_probabilities",
        "B9",
        "calibration error",
        on_top(lambda p, _images, _rows: 0.6 * p),
        lessons=("L139", "L144"),
    ),
    fault("any_added_light_is_a_lens", "B10", "unlensed light scores", on_top(any_added_light)),
    fault("confident_of_unlensed_light", "B10", "unlensed share", on_top(called_at_the_edge)),
    fault(
        "another_preprocess_spec",
        "B1",
        "another PreprocessSpec.*outer_mad.*raw_mad",
        another_spec,
        more=("B2", "B3", "B4", "B5", "B7", "B8", "B9", "B10"),
        lessons=("L133",),
    ),
)
"""Every fault of this family."""
