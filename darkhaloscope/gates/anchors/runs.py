"""The gates of a grade on real objects: what each asks of it, and which figure it draws.

The pointing gate judges the stamps before anything is scored; see ``pointing``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.anchors import claims, figures, lookalikes, realism, regime
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.profiles import Profile
from darkhaloscope.stamps.kinds import POSITIVE
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.survey.release import get_release
from darkhaloscope.tabular import pixels
from darkhaloscope.training.predict import LoadedModel

REGIME_GALAXIES = (100, 500)
"""Fewest and most training positives whose deflector is subtracted for A2; each costs 40 ms."""

PROBE_GALAXIES = 2000
"""Test injections shown to the probe of A3."""


@dataclass
class Grade:
    """A grade under judgement and what its gates share.

    Parameters
    ----------
    record : dict
        Evaluation record.
    model : LoadedModel
        The model it grades.
    shards : ShardSet
        What the model was trained and tested on.
    anchor_stamps : pyarrow.Table
        ANCHOR_STAMPS.
    experiment : Experiment
        Limits, release and seed.
    profile : Profile
        Sample sizes.
    folder : Path
        Where figures go.
    """

    record: dict[str, Any]
    model: LoadedModel
    shards: ShardSet
    anchor_stamps: pa.Table
    experiment: Experiment
    profile: Profile
    folder: Path

    @cached_property
    def limits(self) -> Thresholds:
        """Limits of the experiment, overrides applied."""
        return Thresholds.of(self.experiment.gates)

    @cached_property
    def lenses(self) -> pa.Table:
        """Scored lenses, by the record's own list of objects."""
        scored = [item["anchor_id"] for item in self.record["objects"] if item["kind"] == "lens"]
        return self.anchor_stamps.filter(pc.is_in(self.anchor_stamps["anchor_id"], pa.array(scored)))

    @cached_property
    def training(self) -> tuple[regime.Measures, int]:
        """What A2 measures on positives of the train split, and their galaxies."""
        least, most = REGIME_GALAXIES
        galaxies = min(most, max(least, self.profile.gate_hosts_per_class // 20))
        rows = self.positives("train", galaxies, regime.COLUMNS)
        return self.describe(rows), int(np.unique(rows["host_id"].to_pylist()).size)

    @cached_property
    def real(self) -> regime.Measures:
        """What A2 measures on the lenses."""
        return self.describe(self.lenses)

    def describe(self, rows: pa.Table) -> regime.Measures:
        """Take the measures of A2 from stamps."""
        scale = get_release(self.experiment.survey.release).pixel_scale_arcsec
        return regime.describe_stamps(rows, self.model.preprocess, scale)

    def positives(self, split: str, galaxies: int, columns: tuple[str, ...]) -> pa.Table:
        """Return positives of a fixed number of galaxies of a split, chosen by id hash."""
        return self.shards.sample(
            galaxies, seed=self.experiment.seed, split=split, kinds=[POSITIVE], columns=list(columns)
        )


def ask_regime(grade: Grade) -> list[Verdict]:
    """A2: the regime of training."""
    known, galaxies = grade.training
    called = {item["anchor_id"]: bool(item["above"]) for item in grade.record["objects"]}
    measured = regime.measure_regime(
        known,
        grade.real,
        np.asarray(grade.lenses["tier"].to_pylist(), dtype=str),
        np.array([called[name] for name in grade.lenses["anchor_id"].to_pylist()], dtype=bool),
        galaxies=galaxies,
        coverage=grade.limits.value(regime.A2, "range_coverage"),
    )
    figure = figures.draw_regime(grade.folder / "A2.png", measured)
    return [replace(regime.judge_regime(measured, grade.limits), figure=figure, blocking=False)]


def ask_realism(grade: Grade) -> list[Verdict]:
    """A3: injected or real."""
    conditions = tuple(grade.model.preprocess.metadata_columns)
    read = tuple(dict.fromkeys(("host_id", "image", *conditions)))
    injected = grade.positives("test", min(PROBE_GALAXIES, grade.profile.gate_hosts_per_class), read)
    real = {
        tier: _features(grade.model, grade.lenses.filter(pc.equal(grade.lenses["tier"], tier)))
        for tier in regime.TIERS
    }
    features, galaxies = _features(grade.model, injected)
    measured = realism.measure_realism(
        features,
        galaxies,
        real,
        least=int(grade.limits.value(realism.A3, "min_lenses")),
        n_boot=grade.profile.bootstrap,
        seed=grade.experiment.seed,
    )
    figure = figures.draw_realism(grade.folder / "A3.png", measured)
    return [replace(realism.judge_realism(measured, grade.limits), figure=figure, blocking=False)]


def ask_claims(grade: Grade) -> list[Verdict]:
    """A4: claims and their samples."""
    measured = claims.measure_claims(grade.record)
    figure = figures.draw_claims(grade.folder / "A4.png", measured)
    return [replace(claims.judge_claims(measured, grade.limits), figure=figure)]


def ask_lookalikes(grade: Grade) -> list[Verdict]:
    """A5: look-alikes by class."""
    least = int(grade.limits.value(lookalikes.A5, "min_objects"))
    measured = lookalikes.measure_lookalikes(grade.record, least=least)
    limit = grade.limits.value(lookalikes.A5, "max_contamination")
    figure = figures.draw_lookalikes(grade.folder / "A5.png", measured, limit)
    return [replace(lookalikes.judge_lookalikes(measured, grade.limits), figure=figure, blocking=False)]


GATES: dict[str, Callable[[Grade], list[Verdict]]] = {
    "A2": ask_regime,
    "A3": ask_realism,
    "A4": ask_claims,
    "A5": ask_lookalikes,
}
"""The gates of a grade, in the order they run."""


def _features(model: LoadedModel, table: pa.Table) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return penultimate features and galaxies of rows with pixels."""
    galaxies = np.asarray(table["host_id"].to_pylist(), dtype=str)
    if not table.num_rows:
        return np.empty((0, 0)), galaxies
    return model.features(pixels(table, "image"), table), galaxies
