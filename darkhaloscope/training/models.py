"""The network: an encoder by name, a branch for the conditions, one logit.

Encoders come from timm; only the fusion head is ours. A :class:`ModelSpec` is
the constructor call and travels in the checkpoint, so nobody rebuilds a network
from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from darkhaloscope.config import Model
from darkhaloscope.errors import ConfigError, DataError, describe
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import Profile
from darkhaloscope.streams import generator


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to build the network again.

    Parameters
    ----------
    encoder : str
        timm model name.
    bands : int
        Image planes.
    metadata_features : int
        Condition columns; 0 for images only.
    metadata_width : int
        Width of the metadata branch.
    dropout : float
        Before the last layer.
    """

    encoder: str
    bands: int
    metadata_features: int
    metadata_width: int
    dropout: float

    @classmethod
    def from_config(cls, model: Model, profile: Profile, preprocess: PreprocessSpec) -> ModelSpec:
        """Combine the experiment's section, the profile's encoder and the inputs."""
        return cls(
            encoder=model.encoder or profile.encoder,
            bands=len(preprocess.bands),
            metadata_features=len(preprocess.metadata_columns) if model.metadata_width else 0,
            metadata_width=model.metadata_width,
            dropout=model.dropout,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Restore a spec from :meth:`to_dict`.

        Raises
        ------
        DataError
            If the fields differ.
        """
        known = sorted(cls.__dataclass_fields__)
        if sorted(value) != known:
            raise DataError(describe("Model spec", expected=f"fields {known}", got=sorted(value)))
        return cls(**value)


class LensFinder(nn.Module):
    """Encoder and metadata branch, fused into one logit.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.

    Raises
    ------
    ConfigError
        If timm knows no encoder of that name.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        import timm

        if not timm.is_model(spec.encoder):
            near = timm.list_models(f"{spec.encoder.split('_')[0][:6]}*")[:8]
            raise ConfigError(
                describe(
                    "Unknown encoder",
                    field="model.encoder",
                    expected="a timm model name" + (f", for example {near}" if near else ""),
                    got=repr(spec.encoder),
                )
            )
        self.encoder: nn.Module = timm.create_model(
            spec.encoder, pretrained=False, in_chans=spec.bands, num_classes=0
        )
        features = int(self.encoder.num_features)  # type: ignore[arg-type]  # timm models carry an int
        self.conditions: nn.Module | None = None
        if spec.metadata_features:
            self.conditions = nn.Sequential(
                nn.Linear(spec.metadata_features, spec.metadata_width),
                nn.GELU(),
                nn.Linear(spec.metadata_width, spec.metadata_width),
                nn.GELU(),
            )
            features += spec.metadata_width
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(features, 1)

    def forward(self, images: Tensor, metadata: Tensor) -> Tensor:
        """Return one logit per stamp.

        Parameters
        ----------
        images : Tensor, shape (n, bands, side, side)
            From ``PreprocessSpec.images``.
        metadata : Tensor, shape (n, k)
            From ``PreprocessSpec.metadata``; ignored by a model without a metadata branch.

        Returns
        -------
        Tensor, shape (n,)
        """
        logits: Tensor = self.head(self.dropout(self.features(images, metadata))).squeeze(1)
        return logits

    def features(self, images: Tensor, metadata: Tensor) -> Tensor:
        """Return what the last layer reads, shape (n, features); arguments as in :meth:`forward`."""
        features: Tensor = self.encoder(images)
        if self.conditions is not None:
            features = torch.cat([features, self.conditions(metadata)], dim=1)
        return features


def build_model(spec: ModelSpec, seed: int) -> LensFinder:
    """Build a network whose initial weights depend on ``seed`` and ``spec`` alone.

    The global random state of torch is left as it was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(torch_seed(seed, "model_init", spec.encoder))
        return LensFinder(spec)


def torch_seed(seed: int, stream: str, identity: str) -> int:
    """Return a 63-bit seed for torch's own generators from a keyed stream."""
    return int(generator(seed, stream, identity).integers(0, 2**63 - 1))
