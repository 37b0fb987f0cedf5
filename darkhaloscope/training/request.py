"""What a trainer is asked to do: one JSON object that any machine can run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from darkhaloscope.artifacts import write_json
from darkhaloscope.config import Experiment
from darkhaloscope.errors import ConfigError, DataError, MissingDataError, describe
from darkhaloscope.hashing import hash_json, sha256_file
from darkhaloscope.profiles import Profile

SPLITS = ("train", "val")
"""Splits a training run reads; it never sees the test split."""

DEVICES = ("auto", "cpu", "cuda")
"""Where a network may be trained; ``auto`` takes a GPU if there is one."""


@dataclass(frozen=True)
class TrainRequest:
    """One training run.

    Parameters
    ----------
    experiment : dict
        ``Experiment.model_dump(mode="json")``.
    profile : dict
        ``Profile.as_dict()``.
    shard_paths : list of str
        Shards named ``<split>-<number>.parquet``; those of other splits than
        train and val are not opened.
    shards_hash : str
        Content hash of the shards' artefact, copied into the checkpoint.
    output_dir : str
        Directory for ``checkpoint.pt`` and ``record.json``.
    threads : int
        CPU threads; the weights are reproducible for a fixed number.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    cache_dir : str
        Folder of scaled images that runs on this machine share; empty to make
        them anew and remove them at the end.
    save_seconds : float
        Seconds between saved states within an epoch.
    git_commit : str
        Commit of the code, kept in the checkpoint.
    """

    experiment: dict[str, Any]
    profile: dict[str, Any]
    shard_paths: list[str]
    shards_hash: str
    output_dir: str
    threads: int = 2
    device: str = "auto"
    cache_dir: str = ""
    save_seconds: float = 300.0
    git_commit: str = ""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(
                describe("Training request", field="threads", expected="at least 1", got=self.threads)
            )
        if self.device not in DEVICES:
            raise ConfigError(
                describe("Training request", field="device", expected=f"one of {DEVICES}", got=self.device)
            )

    def shards(self, split: str) -> list[Path]:
        """Return the shards of a split, sorted by name.

        Raises
        ------
        DataError
            If there are none.
        """
        paths = sorted(
            (p for p in map(Path, self.shard_paths) if p.name.startswith(f"{split}-")), key=lambda p: p.name
        )
        if not paths:
            raise DataError(
                describe(
                    "Split has no shards",
                    field=split,
                    expected=f"at least one {split}-*.parquet",
                    got=f"{len(self.shard_paths)} shards of other names",
                )
            )
        return paths

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

    def content_sha256(self) -> str:
        """Return the hash over names and contents of the shards that are read.

        Raises
        ------
        MissingDataError
            If a shard does not exist.
        """
        hashes = []
        for split in SPLITS:
            for path in self.shards(split):
                if not path.is_file():
                    raise MissingDataError(describe("Shard not found", file=path, field=split))
                hashes.append([path.name, sha256_file(path)])
        return hash_json(hashes)

    def key(self, content_sha256: str) -> str:
        """Return the identity of the run: equal key, equal weights on one kind of machine."""
        return hash_json(
            [self.experiment, self.profile, self.shards_hash, self.threads, self.device, content_sha256]
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
