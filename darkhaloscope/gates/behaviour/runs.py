"""The behaviour gates: what each asks of a trained model, and which figure it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from darkhaloscope.config import Experiment
from darkhaloscope.gates import figures
from darkhaloscope.gates.behaviour import trial
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.profiles import Profile
from darkhaloscope.stamps.shards import ShardSet


@dataclass
class Model:
    """A trained model under judgement and what its gates share.

    Parameters
    ----------
    score : callable
        Stamps to scores, see :class:`trial.Score`.
    shards : ShardSet
        The shards it was trained on.
    experiment : Experiment
        What they were meant to be.
    profile : Profile
        Sample sizes.
    hosts_paths : sequence of path
        Parts of ``host_cutouts`` of all tiles.
    folder : Path
        Where figures go.
    """

    score: trial.Score
    shards: ShardSet
    experiment: Experiment
    profile: Profile
    hosts_paths: Sequence[str | Path]
    folder: Path

    @cached_property
    def limits(self) -> Thresholds:
        """Limits of the experiment, overrides applied."""
        return Thresholds.of(self.experiment.gates)

    @cached_property
    def trial(self) -> trial.Trial:
        """Positives and controls of the validation split with their bare hosts."""
        return trial.read_trial(
            self.shards,
            self.hosts_paths,
            experiment=self.experiment,
            n_hosts=self.profile.gate_hosts_per_class,
            size_px=self.profile.stamp_px,
        )


def ask_null_injection(model: Model) -> list[Verdict]:
    """B1: injections of nothing."""
    measured = trial.measure_null_injection(
        model.trial, model.score, experiment=model.experiment, n_boot=model.profile.bootstrap
    )
    name = figures.draw_scores(model.folder / "B1.png", measured, "null injections and their hosts")
    return [replace(trial.judge_null_injection(measured, model.limits), figure=name)]


def ask_arc_removed(model: Model) -> list[Verdict]:
    """B2: positives without their arc."""
    measured = trial.measure_arc_removed(model.trial, model.score, experiment=model.experiment)
    name = figures.draw_scores(model.folder / "B2.png", measured, "positives with and without their arc")
    return [replace(trial.judge_arc_removed(measured, model.limits), figure=name)]


GATES: dict[str, Callable[[Model], list[Verdict]]] = {
    "B1": ask_null_injection,
    "B2": ask_arc_removed,
}
"""The gates of this family, in the order they run."""
