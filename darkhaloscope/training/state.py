"""Where a run is: everything that is needed to go on as if it had never stopped.

Order, augmentation, dropout and learning rate are functions of (seed, epoch,
step), so a state holds no generator; it holds the weights, their average, the
optimiser, the place in the epoch and what was found so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from darkhaloscope.training.checkpoint import load_tensors, save_tensors


@dataclass
class Progress:
    """The place of a run and what it found so far.

    Parameters
    ----------
    epoch, step : int
        Epochs that are whole, and steps of the next that are taken.
    loss_sum : float
        Loss of those steps, summed over their rows.
    history : list of dict
        One record per whole epoch.
    best : dict
        ``epoch``, ``score`` and ``weights`` of the best.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)

    @property
    def epochs_since_best(self) -> int:
        """Whole epochs since the best one."""
        return self.epoch - int(self.best.get("epoch", 0))


@dataclass
class Learner:
    """The network that learns, the optimiser that teaches it, and the average that is judged.

    Parameters
    ----------
    network : nn.Module
        Trained weights.
    optimiser : torch.optim.Optimizer
        Of the network.
    average : AveragedModel or None
        Exponential running average of the weights; None to judge the weights themselves.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None = None

    @classmethod
    def of(cls, network: nn.Module, optimiser: torch.optim.Optimizer, ema_decay: float) -> Learner:
        """Set up, with an average if its decay is not 0."""
        average = None
        if ema_decay > 0.0:
            average_step = get_ema_multi_avg_fn(ema_decay)  # type: ignore[no-untyped-call]  # torch
            average = AveragedModel(network, multi_avg_fn=average_step, use_buffers=True)
        return cls(network, optimiser, average)

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average.module

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the judged network's weights."""
        return {name: value.detach().cpu().clone() for name, value in self.judged.state_dict().items()}

    def step(self, gradient_clip: float) -> None:
        """Take one step down the gradient, no longer than allowed."""
        nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.network)

    def at_rate(self, rate: float) -> None:
        """Set the learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate


def save_state(path: Path, key: str, learner: Learner, progress: Progress) -> None:
    """Write the state of a run atomically."""
    save_tensors(
        path,
        {
            "key": key,
            "network": learner.network.state_dict(),
            "average": None if learner.average is None else learner.average.state_dict(),
            "optimiser": learner.optimiser.state_dict(),
            "progress": vars(progress),
        },
    )


def load_state(path: Path, key: str, learner: Learner) -> Progress:
    """Take up the state of the same run, or begin."""
    if not path.is_file():
        return Progress()
    state = load_tensors(path)
    if state["key"] != key:
        return Progress()
    learner.network.load_state_dict(state["network"])
    learner.optimiser.load_state_dict(state["optimiser"])
    if learner.average is not None:
        learner.average.load_state_dict(state["average"])
    return Progress(**state["progress"])
