"""Classifiers that ask how much of the class a few numbers, or a small network, can tell.

A probe is never a model of the pipeline: it is trained and judged inside one
gate, with whole galaxies held out, and its only result is an AUC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from darkhaloscope.streams import generator, uniform
from darkhaloscope.training.optimise import cpu_threads

FloatArray = NDArray[np.float64]

FOLDS = 5
HOLD_OUT = 0.3
"""Share of galaxies on which the convolutional probe is judged."""

_LIMIT_SIGMA = 5.0
_BATCH_ROWS = 64


def folds_of(galaxies: NDArray[Any], seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each row: all rows of a galaxy share one, by keyed hash."""
    names, inverse = np.unique(np.asarray(galaxies).astype(str), return_inverse=True)
    draw = uniform(seed, "probe_fold", names.tolist())
    return np.asarray(np.floor(draw * folds), dtype=np.int64)[inverse]


def logistic_scores(
    features: FloatArray, positive: NDArray[np.bool_], galaxies: NDArray[Any], seed: int
) -> FloatArray:
    """Return the out-of-fold logit of every row from a logistic regression.

    Features are standardised on the training folds and limited to 5 sigma, so a
    single bright neighbour does not set the scale. Folds hold whole galaxies.

    Parameters
    ----------
    features : ndarray, shape (n, k)
        Numbers the probe may use.
    positive : ndarray of bool, shape (n,)
        Class.
    galaxies : ndarray, shape (n,)
        Host of each row.
    seed : int
        Key of the folds.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    fold = folds_of(galaxies, seed)
    scores = np.zeros(len(features))
    for i in range(FOLDS):
        held = fold == i
        if not held.any():
            continue
        train = ~held
        if positive[train].all() or not positive[train].any():
            continue
        median = np.median(features[train], axis=0)
        width = np.percentile(features[train], 84, axis=0) - np.percentile(features[train], 16, axis=0)
        width = np.where(width > 0.0, width / 2.0, 1.0)
        scaled = np.clip((features - median) / width, -_LIMIT_SIGMA, _LIMIT_SIGMA)
        model = LogisticRegression(solver="newton-cholesky", C=1.0, max_iter=200)
        model.fit(scaled[train], positive[train])
        scores[held] = model.decision_function(scaled[held])
    return scores


class _ProbeNetwork(nn.Module):
    """Three convolutions, the mean and the maximum of their response, one number.

    Parameters
    ----------
    bands : int
        Planes of the input.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(bands, 24, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(),
        )
        self.head = nn.Linear(96, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logit of every image, shape (n,)."""
        response = self.body(images)
        pooled = torch.cat([response.mean(dim=(2, 3)), response.amax(dim=(2, 3))], dim=1)
        logit: torch.Tensor = self.head(pooled).squeeze(1)
        return logit


def convolutional_scores(
    images: NDArray[np.float16],
    positive: NDArray[np.bool_],
    galaxies: NDArray[Any],
    *,
    epochs: int,
    seed: int,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Train a small convolutional probe and score the galaxies it has not seen.

    One CPU thread: batches are so small that a second one saves a fifth on a
    free machine and costs five times as much on a busy one.

    Parameters
    ----------
    images : ndarray of float16, shape (n, bands, side, side)
        Normalised stamps.
    positive : ndarray of bool, shape (n,)
        Class.
    galaxies : ndarray, shape (n,)
        Host of each row; a share of :data:`HOLD_OUT` of them is held out.
    epochs : int
        Passes over the training rows.
    seed : int
        Key of hold-out, initial weights, order and orientations.

    Returns
    -------
    scores : ndarray of float64, shape (m,)
        Mean logit over the eight orientations of each held-out row.
    held : ndarray of bool, shape (n,)
        Which rows were held out.
    """
    held = folds_of(galaxies, seed, folds=10) < round(HOLD_OUT * 10)
    with cpu_threads(1):
        return _trained_scores(images, positive, held, epochs=epochs, seed=seed), held


def _trained_scores(
    images: NDArray[np.float16],
    positive: NDArray[np.bool_],
    held: NDArray[np.bool_],
    *,
    epochs: int,
    seed: int,
) -> FloatArray:
    train = np.flatnonzero(~held)
    rng = generator(seed, "probe_order", str(len(images)))
    network = _seeded(images.shape[1], int(rng.integers(0, 2**31)))
    # compressing the clipped range keeps the core of a bright host from drowning its arc
    data = torch.asinh(torch.from_numpy(np.asarray(images, dtype=np.float32)))
    labels = torch.from_numpy(positive.astype(np.float32))
    steps = max(1, epochs * -(-len(train) // _BATCH_ROWS))
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps + 1)
    weight = torch.tensor(float((~positive[train]).sum()) / max(1, int(positive[train].sum())))
    loss_of = nn.BCEWithLogitsLoss(pos_weight=weight)
    network.train()
    for _ in range(epochs):
        order = rng.permutation(train)
        for start in range(0, len(order), _BATCH_ROWS):
            rows = order[start : start + _BATCH_ROWS]
            if len(rows) < 2:
                continue  # a batch of one has no variance to normalise by
            batch = _oriented(data[rows], int(rng.integers(0, 8)))
            loss = loss_of(network(batch), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        test = data[np.flatnonzero(held)]
        logits = torch.stack([network(_oriented(test, k)) for k in range(8)]).mean(dim=0)
    return np.asarray(logits.numpy(), dtype=np.float64)


def _oriented(images: torch.Tensor, k: int) -> torch.Tensor:
    """Return one of the eight symmetries of the square."""
    turned = torch.rot90(images, k % 4, dims=(2, 3))
    return turned.flip(3) if k >= 4 else turned


def _seeded(bands: int, seed: int) -> _ProbeNetwork:
    """Build the network with its own initial weights, leaving torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _ProbeNetwork(bands)
