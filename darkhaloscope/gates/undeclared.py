"""A data set of which no experiment is known: what can be assumed, and what cannot.

A seed, a view and the default limits are enough to measure. What somebody
promised (shares, splits, S/N, sources) is not assumed: a gate that needs it is
deferred.
"""

from __future__ import annotations

from typing import Any

from darkhaloscope.config import Experiment
from darkhaloscope.errors import MissingInputError
from darkhaloscope.hashing import hash_json
from darkhaloscope.profiles import Profile

NAME = "none"
_ASSUMED = ("seed", "survey", "preprocess", "gates")


class UndeclaredExperiment(Experiment):
    """An experiment whose promises are unknown; reading one raises.

    Made by :meth:`assuming`.
    """

    @classmethod
    def assuming(cls, **sections: Any) -> UndeclaredExperiment:
        """Return one that declares nothing but the given sections.

        Parameters
        ----------
        **sections
            Sections of an experiment that hold whoever made the data.
        """
        fields = Experiment.model_fields
        assumed = {name: fields[name].default for name in _ASSUMED} | sections
        title = "No experiment was declared"
        return cls.model_construct(
            {"name", "title", "description", *assumed}, name=NAME, title=title, description=title, **assumed
        )

    def __getattribute__(self, name: str) -> Any:
        """Return what is declared.

        Raises
        ------
        MissingInputError
            If a section is read that nobody declared.
        """
        if name in Experiment.model_fields and name not in self.model_fields_set:
            raise MissingInputError(f"the experiment's {name}: none was declared")
        return super().__getattribute__(name)

    def config_hash(self, profile: Profile) -> str:
        """Return the hash of what is assumed."""
        declared = {name: str(getattr(self, name)) for name in sorted(self.model_fields_set)}
        return hash_json([declared, profile.as_dict()])
