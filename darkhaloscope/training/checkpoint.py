"""The checkpoint file: weights together with all that is needed to use them.

A checkpoint carries its own constructor (:class:`~darkhaloscope.training.models.ModelSpec`),
its preprocessing and the hashes of what it was trained on. It holds plain values
and tensors only, is loaded with ``weights_only=True``, and equal content gives
equal bytes.
"""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.errors import ArtifactError, describe
from darkhaloscope.hashing import canonical_json
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.training.models import LensFinder, ModelSpec

CHECKPOINT_NAME = "checkpoint.pt"
RECORD_NAME = "record.json"

_FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A trained network and its provenance.

    Parameters
    ----------
    model : ModelSpec
        How to build the network.
    preprocess : PreprocessSpec
        What it must be shown.
    weights : dict of str to Tensor
        State of the network.
    experiment : str
        Experiment name.
    config_hash : str
        Hash of the experiment and the profile.
    inputs : dict of str to str
        Content hash of every input artefact.
    epoch : int
        Epoch the weights come from, from 1.
    prior : float
        Share of positives in training: the prior at which scores are probabilities.
    metrics : dict
        Validation metrics of that epoch.
    config : dict
        The whole experiment, ``Experiment.model_dump(mode="json")``.
    git_commit : str
        Commit of the code, empty where there is no repository.
    """

    model: ModelSpec
    preprocess: PreprocessSpec
    weights: dict[str, Tensor]
    experiment: str
    config_hash: str
    inputs: dict[str, str]
    epoch: int
    prior: float
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    git_commit: str = ""

    def network(self) -> LensFinder:
        """Build the network with these weights, in evaluation mode."""
        network = LensFinder(self.model)
        network.load_state_dict(self.weights, strict=True)
        return network.eval()


def save_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Write plain values and tensors atomically; equal content gives equal bytes."""
    # torch names the archive after the file, which here is temporary; a buffer has no name
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_tensors(path: str | Path) -> dict[str, Any]:
    """Read what :func:`save_tensors` wrote, refusing anything but values and tensors.

    Raises
    ------
    ArtifactError
        If the file is absent, damaged or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(
            describe("Checkpoint not found", file=path, hint="materialise the checkpoint first")
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise ArtifactError(
            describe(
                "Checkpoint cannot be read",
                file=path,
                expected="tensors and plain values written by this package",
                got=str(error).split("\n", maxsplit=1)[0][:200],
                hint="train again",
            )
        ) from error
    return content


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically."""
    save_tensors(
        path,
        {
            "format": _FORMAT,
            "model": checkpoint.model.to_dict(),
            "preprocess": checkpoint.preprocess.to_dict(),
            "weights": checkpoint.weights,
            "experiment": checkpoint.experiment,
            "config_hash": checkpoint.config_hash,
            "inputs": checkpoint.inputs,
            "epoch": checkpoint.epoch,
            "prior": checkpoint.prior,
            "metrics": checkpoint.metrics,
            # as text: equal bytes whichever strings of a dict happen to be one object
            "config": canonical_json(checkpoint.config),
            "git_commit": checkpoint.git_commit,
        },
    )


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    ArtifactError
        If the file is absent, damaged or of another format.
    DataError
        If its specs were written by another version.
    """
    content = load_tensors(path)
    if content.get("format") != _FORMAT:
        raise ArtifactError(
            describe(
                "Checkpoint format",
                file=path,
                expected=_FORMAT,
                got=repr(content.get("format")),
                hint="train again with this version",
            )
        )
    return Checkpoint(
        model=ModelSpec.from_dict(content["model"]),
        preprocess=PreprocessSpec.from_dict(content["preprocess"]),
        weights=content["weights"],
        experiment=content["experiment"],
        config_hash=content["config_hash"],
        inputs=content["inputs"],
        epoch=content["epoch"],
        prior=content["prior"],
        metrics=content["metrics"],
        config=json.loads(content["config"]),
        git_commit=content["git_commit"],
    )
