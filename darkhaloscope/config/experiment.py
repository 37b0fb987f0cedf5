"""An experiment: the sections together, what they must agree on, and their hashes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from darkhaloscope.config.base import Section
from darkhaloscope.config.sections import (
    Controls,
    Evaluation,
    Gates,
    Hosts,
    Lens,
    Noise,
    Rendering,
    Sources,
    Split,
    Storage,
    Survey,
)
from darkhaloscope.config.targeting import SnrTargeting
from darkhaloscope.config.training import Model, Preprocess, Training
from darkhaloscope.hashing import hash_json
from darkhaloscope.profiles import Profile


class Experiment(Section):
    """One experiment: everything that decides its bytes, but for the profile."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    description: str
    seed: int = 1
    survey: Survey = Survey()
    hosts: Hosts = Hosts()
    sources: Sources = Sources()
    lens: Lens = Lens()
    controls: Controls = Controls()
    noise: Noise = Noise()
    renderer: Rendering = Rendering()
    snr_targeting: SnrTargeting = SnrTargeting()
    split: Split = Split()
    storage: Storage = Storage()
    preprocess: Preprocess = Preprocess()
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _chosen_flux_has_a_prior(self) -> Self:
        if self.snr_targeting.mode == "choose_flux":
            low, high = self.sources.dimming_mag
            if self.sources.magnitude != "population" or low >= high:
                raise ValueError(
                    "snr_targeting.mode choose_flux weighs magnitudes against a density: it needs "
                    "sources.magnitude population and sources.dimming_mag [low, high] with low < high, "
                    f"got {self.sources.magnitude} and {[low, high]}"
                )
        return self

    @property
    def describes_galaxies(self) -> bool:
        """Whether redshifts and colours of the source galaxies decide anything."""
        return self.sources.colours == "galaxy" or self.lens.theta_e_draw == "population"

    def section_hash(self, profile: Profile, *sections: str) -> str:
        """Return the configuration hash of what the given sections decide.

        Parameters
        ----------
        profile : Profile
            Sizes.
        *sections : str
            Field names; ``name`` and ``seed`` always count.

        Returns
        -------
        str
            SHA-256 of the canonical JSON.
        """
        chosen = self.model_dump(mode="json", include={"name", "seed", *sections})
        return hash_json([chosen, profile.as_dict()])

    def dataset_hash(self, profile: Profile) -> str:
        """Return the hash of every choice that reaches a stamp or a shard."""
        return self.section_hash(profile, *DATASET_SECTIONS)

    def config_hash(self, profile: Profile) -> str:
        """Return the hash of the whole experiment."""
        return self.section_hash(profile, *type(self).model_fields)


DATASET_SECTIONS = (
    "survey",
    "hosts",
    "sources",
    "lens",
    "controls",
    "noise",
    "renderer",
    "snr_targeting",
    "split",
    "storage",
)
