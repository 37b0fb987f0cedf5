"""What a trainer is asked to do: one JSON object that any machine can run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from darkhaloscope.artifacts import write_json
from darkhaloscope.config import Experiment
from darkhaloscope.errors import ConfigError, MissingDataError, describe
from darkhaloscope.hashing import hash_json, sha256_file
from darkhaloscope.profiles import Profile

SPLITS = ("train", "val")
"""Splits a training run reads; it never sees the test split."""


@dataclass(frozen=True)
class TrainRequest:
    """One training run.

    Parameters
    ----------
    shards : dict of str to list of str
        Paths of the shards for ``train`` and ``val``.
    experiment : dict
        ``Experiment.model_dump(mode="json")``.
    profile : dict
        ``Profile.as_dict()``.
    output : str
        Directory for ``checkpoint.pt`` and ``record.json``.
    threads : int
        CPU threads; the weights are reproducible for a fixed number.
    inputs : dict of str to str
        Content hash of every input artefact, copied into the checkpoint.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    """

    shards: dict[str, list[str]]
    experiment: dict[str, Any]
    profile: dict[str, Any]
    output: str
    threads: int = 2
    inputs: dict[str, str] = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        if sorted(self.shards) != sorted(SPLITS):
            raise ConfigError(
                describe("Training request", field="shards", expected=list(SPLITS), got=sorted(self.shards))
            )
        if self.threads < 1:
            raise ConfigError(
                describe("Training request", field="threads", expected="at least 1", got=self.threads)
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(
                describe("Training request", field="device", expected="auto, cpu or cuda", got=self.device)
            )

    def parsed_experiment(self) -> Experiment:
        """Return the typed experiment.

        Raises
        ------
        ConfigError
            If it is not a valid experiment.
        """
        try:
            return Experiment.model_validate(self.experiment)
        except ValidationError as error:
            raise ConfigError(
                describe("Training request", field="experiment", got=str(error.errors()[0]["msg"]))
            ) from error

    def parsed_profile(self) -> Profile:
        """Return the typed profile.

        Raises
        ------
        ConfigError
            If its fields differ.
        """
        known = sorted(Profile.__dataclass_fields__)
        if sorted(self.profile) != known:
            raise ConfigError(
                describe("Training request", field="profile", expected=known, got=sorted(self.profile))
            )
        return Profile(**self.profile)

    def shards_sha256(self) -> str:
        """Return the hash over names and contents of all shards.

        Raises
        ------
        MissingDataError
            If a shard does not exist.
        """
        hashes = []
        for split in SPLITS:
            for shard in self.shards[split]:
                path = Path(shard)
                if not path.is_file():
                    raise MissingDataError(describe("Shard not found", file=path, field=split))
                hashes.append([split, path.name, sha256_file(path)])
        return hash_json(hashes)

    def key(self, shards_sha256: str) -> str:
        """Return the identity of the run: equal key, equal weights on one kind of machine."""
        return hash_json(
            [self.experiment, self.profile, self.inputs, self.threads, self.device, shards_sha256]
        )

    def write(self, path: str | Path) -> Path:
        """Write the request as JSON and return its path."""
        write_json(path, asdict(self))
        return Path(path)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a request.

        Raises
        ------
        MissingDataError
            If there is no such file.
        ConfigError
            If it is not JSON or its fields differ.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingDataError(describe("Training request not found", file=path))
        try:
            return cls(**json.loads(path.read_text()))
        except (json.JSONDecodeError, TypeError) as error:
            raise ConfigError(
                describe(
                    "Training request", file=path, expected=sorted(cls.__dataclass_fields__), got=str(error)
                )
            ) from error
