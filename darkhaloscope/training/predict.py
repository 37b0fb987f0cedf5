"""Scoring: stamps and conditions in, probabilities out, by a checkpoint's own spec.

Training's validation, gates and evaluation all score through here. Scores are
computed in float32 in batches of a fixed size (the last one padded), so a row's
score does not depend on its neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from darkhaloscope.errors import DataError, describe
from darkhaloscope.hashing import sha256_file
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.training.checkpoint import Checkpoint, load_checkpoint

BATCH_ROWS = 64
"""Rows per forward pass unless the caller says otherwise."""

Conditions: TypeAlias = "pa.Table | NDArray[np.float32] | None"


class LoadedModel:
    """A checkpoint ready to score.

    Parameters
    ----------
    checkpoint : Checkpoint
        Weights and specs.
    sha256 : str
        Hash of the checkpoint file.
    device : str
        ``cpu`` or ``cuda``.

    Attributes
    ----------
    checkpoint, sha256
        As given.
    preprocess : PreprocessSpec
        What the network is shown.
    """

    def __init__(self, checkpoint: Checkpoint, sha256: str, device: str = "cpu") -> None:
        self.checkpoint = checkpoint
        self.sha256 = sha256
        self.preprocess: PreprocessSpec = checkpoint.preprocess
        self._device = torch.device(device)
        self._network = checkpoint.network().to(self._device).to(memory_format=torch.channels_last)

    def score(
        self,
        images: NDArray[Any],
        conditions: Conditions = None,
        *,
        invvar: NDArray[Any] | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> NDArray[np.float64]:
        """Return the probability of a lens for every stamp, at the prior of training.

        Parameters
        ----------
        images : ndarray, shape (n, bands, side, side)
            nMgy per pixel, unprocessed; side >= the spec's ``crop_px``.
        conditions : pyarrow.Table or ndarray, shape (n, k)
            Rows with the spec's metadata columns, or what
            ``PreprocessSpec.metadata`` made of them. None if the model has none.
        invvar : ndarray, shape (n, bands, side, side), optional
            1/nMgy^2; needed by a spec that divides by the noise.
        batch_rows : int
            Rows per forward pass: the limit on memory.

        Returns
        -------
        ndarray of float64, shape (n,)
            In (0, 1), monotonic in the logit.

        Raises
        ------
        DataError
            If a stamp or a condition is not usable, or a score is not finite.
        """
        logits = self.logits(images, conditions, invvar=invvar, batch_rows=batch_rows)
        return np.asarray(expit(logits), dtype=np.float64)

    def logits(
        self,
        images: NDArray[Any],
        conditions: Conditions = None,
        *,
        invvar: NDArray[Any] | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> NDArray[np.float64]:
        """Return the logits behind :meth:`score`, shape (n,), which never saturate."""
        if batch_rows < 1:
            raise DataError(describe("Rows per forward pass", expected="at least 1", got=batch_rows))
        metadata = self._metadata(conditions, len(images))
        out = np.empty(len(images), dtype=np.float64)
        for start in range(0, len(images), batch_rows):
            rows = slice(start, start + batch_rows)
            seen = self.preprocess.images(images[rows], None if invvar is None else invvar[rows])
            out[rows] = forward_logits(
                self._network, torch.from_numpy(seen), metadata[rows], batch_rows, self._device
            )
        bad = np.flatnonzero(~np.isfinite(out))
        if len(bad):
            raise DataError(
                describe("Score is not finite", row=int(bad[0]), got=f"{len(bad)} rows of {len(out)}")
            )
        return out

    def features(
        self, images: NDArray[Any], conditions: Conditions = None, *, batch_rows: int = BATCH_ROWS
    ) -> NDArray[np.float64]:
        """Return what the last layer reads of every stamp; arguments as in :meth:`score`.

        Returns
        -------
        ndarray of float64, shape (n, features)
            Of encoder and metadata branch, side by side.

        Raises
        ------
        DataError
            If a stamp or a condition is not usable, or a feature is not finite.
        """
        metadata = self._metadata(conditions, len(images))
        parts = []
        for start in range(0, len(images), batch_rows):
            rows = slice(start, start + batch_rows)
            shown = torch.from_numpy(self.preprocess.images(images[rows])).to(
                self._device, memory_format=torch.channels_last
            )
            with torch.inference_mode():
                seen = self._network.features(shown, torch.from_numpy(metadata[rows]).to(self._device))
            parts.append(seen.to("cpu", torch.float64).numpy())
        out: NDArray[np.float64] = np.concatenate(parts)
        if not np.isfinite(out).all():
            raise DataError(describe("Feature is not finite", got=f"{int((~np.isfinite(out)).sum())} values"))
        return out

    def _metadata(self, conditions: Conditions, rows: int) -> NDArray[np.float32]:
        columns = self.preprocess.metadata_columns
        if isinstance(conditions, pa.Table):
            metadata = self.preprocess.metadata(conditions)
        elif conditions is None:
            metadata = np.empty((rows, 0), dtype=np.float32)
        else:
            metadata = np.asarray(conditions, dtype=np.float32)
        if metadata.shape != (rows, len(columns)) or not np.isfinite(metadata).all():
            raise DataError(
                describe(
                    "Conditions of the stamps",
                    expected=f"finite values of shape {(rows, len(columns))}: {list(columns)}",
                    got=f"shape {metadata.shape}",
                    hint="pass the rows' table; a missing condition is never filled in",
                )
            )
        return metadata


def forward_logits(
    network: nn.Module,
    images: Tensor,
    metadata: NDArray[np.float32],
    batch_rows: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """Run one batch of at most ``batch_rows`` preprocessed rows, padded to that size.

    Parameters
    ----------
    network : LensFinder
        In evaluation mode.
    images : Tensor of float32, shape (n, bands, side, side)
        Normalised, on any device.
    metadata : ndarray of float32, shape (n, k)
        Standardised.
    batch_rows : int
        n is padded to this, because kernels are chosen by the size of a batch.
    device : torch.device
        Where the network lies.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    n = len(images)
    padded_images = torch.zeros((batch_rows, *images.shape[1:]), device=device)
    padded_metadata = np.zeros((batch_rows, metadata.shape[1]), dtype=np.float32)
    padded_images[:n] = images
    padded_metadata[:n] = metadata
    with torch.inference_mode():
        logits = network(
            padded_images.contiguous(memory_format=torch.channels_last),
            torch.from_numpy(padded_metadata).to(device),
        )
    return np.asarray(logits[:n].to("cpu", torch.float64).numpy(), dtype=np.float64)


def load_model(path: str | Path, device: str = "cpu") -> LoadedModel:
    """Load a checkpoint for scoring.

    Parameters
    ----------
    path : path
        ``checkpoint.pt``.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    ArtifactError
        If the file is absent, damaged or of another format.
    """
    checkpoint = load_checkpoint(path)
    return LoadedModel(checkpoint, sha256_file(path), device)
