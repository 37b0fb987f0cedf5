"""What the behaviour gates are asked of: a model, the data it was made for, and what they share.

Each part is read when a gate first asks for it, and once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.behaviour.scored import RememberedScore, Score, Scored, score_split
from darkhaloscope.gates.behaviour.trial import Trial, read_trial
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import Profile
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.survey.release import get_release

PANEL_SHARE = 50
"""Galaxies of a whole sample per galaxy that is scored in many changed forms."""

MIN_PANEL = 40


@dataclass
class Model:
    """A trained model under judgement and what its gates share.

    Parameters
    ----------
    score : callable
        Stamps to scores, see :data:`scored.Score`.
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
    preprocess : PreprocessSpec, optional
        What the model is shown; None for a score that is no checkpoint's.
    """

    score: Score
    shards: ShardSet
    experiment: Experiment
    profile: Profile
    hosts_paths: Sequence[str | Path]
    folder: Path
    preprocess: PreprocessSpec | None = None

    @cached_property
    def limits(self) -> Thresholds:
        """Limits of the experiment, overrides applied."""
        return Thresholds.of(self.experiment.gates)

    @property
    def spec(self) -> PreprocessSpec:
        """What the experiment shows a model, not fitted."""
        return PreprocessSpec.from_config(self.experiment.preprocess, crop_px=self.profile.stamp_px)

    @cached_property
    def ask(self) -> RememberedScore:
        """The model's score of any stamp.

        Raises
        ------
        DataError
            If the model is shown something else than the experiment declares:
            its scores would be judged as those of another.
        """
        if self.preprocess is not None:
            shown = replace(self.preprocess, metadata_mean=(), metadata_scale=())
            if shown.sha256 != self.spec.sha256:
                raise DataError(
                    describe(
                        "Model of another PreprocessSpec",
                        field="preprocess_sha256",
                        expected=_differing(self.spec, shown),
                        got=_differing(shown, self.spec),
                        hint="score with the checkpoint's own spec, or train again",
                    )
                )
        return RememberedScore(self.score)

    @cached_property
    def trial(self) -> Trial:
        """Positives of the validation split with their bare hosts."""
        return read_trial(
            self.shards,
            self.hosts_paths,
            experiment=self.experiment,
            n_hosts=self.profile.gate_hosts_per_class,
            size_px=self.profile.stamp_px,
        )

    @cached_property
    def val(self) -> Scored:
        """Scores of the validation split."""
        return self._scored("val")

    @cached_property
    def test(self) -> Scored:
        """Scores of the test split, which nothing is chosen by."""
        return self._scored("test")

    @property
    def prior(self) -> float:
        """Share of positives among the training rows: where scores are probabilities."""
        kinds = self.shards.metadata(["control_kind"], "train")["control_kind"].to_pylist()
        return float(np.mean(np.asarray(kinds) == POSITIVE))

    @property
    def panel(self) -> int:
        """Galaxies scored in many changed forms."""
        return max(MIN_PANEL, self.profile.gate_hosts_per_class // PANEL_SHARE)

    @property
    def pixel_scale_arcsec(self) -> float:
        """Side of a pixel of the survey."""
        return get_release(self.experiment.survey.release).pixel_scale_arcsec

    def _scored(self, split: str) -> Scored:
        return score_split(
            self.shards,
            split,
            self.ask,
            n_hosts=self.profile.gate_hosts_per_class,
            seed=self.experiment.seed,
        )


def _differing(spec: PreprocessSpec, other: PreprocessSpec) -> dict[str, object]:
    """Return the fields of one spec that another has otherwise."""
    theirs = other.to_dict()
    return {name: value for name, value in spec.to_dict().items() if value != theirs[name]}
