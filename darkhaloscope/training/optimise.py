"""The optimisation: losses, learning rate, optimiser, and the machine's arithmetic.

Each is a function the loop calls by name; none of them knows about data or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from darkhaloscope.config import Training
from darkhaloscope.errors import ConfigError, describe

_FOCAL_GAMMA = 2.0


@dataclass(frozen=True)
class Machine:
    """Where and in which arithmetic the network is trained."""

    device: torch.device
    bf16: bool

    @property
    def precision(self) -> str:
        """Name of the arithmetic."""
        return "bf16" if self.bf16 else "fp32"


def learning_rate(step: int, steps: int, training: Training) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to zero.

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        Of the whole run.
    """
    warmup = max(1, round(training.warmup_fraction * steps))
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return training.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def build_optimiser(network: nn.Module, training: Training) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and kernels but no bias and no normalisation."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": training.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=training.learning_rate,
    )


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy in nats."""
    return binary_cross_entropy_with_logits(logits.float(), labels)


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean focal loss with gamma = 2 (Lin et al. 2017, eq. 4).

    Easy rows count less, so a score is no longer a calibrated probability.
    """
    cross_entropy = binary_cross_entropy_with_logits(logits.float(), labels, reduction="none")
    return ((1.0 - torch.exp(-cross_entropy)) ** _FOCAL_GAMMA * cross_entropy).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bce": binary_cross_entropy, "focal": focal_loss}


def choose_machine(device: str, precision: str) -> Machine:
    """Pick device and arithmetic.

    Parameters
    ----------
    device : str
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    precision : str
        ``auto`` (bfloat16 only where the hardware multiplies it), ``fp32`` or ``bf16``.

    Raises
    ------
    ConfigError
        If a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ConfigError(describe("Training device", expected="a CUDA device", got="none visible"))
    chosen = torch.device("cuda" if device != "cpu" and has_gpu else "cpu")
    if precision != "auto":
        return Machine(chosen, precision == "bf16")
    return Machine(chosen, torch.cuda.is_bf16_supported() if chosen.type == "cuda" else cpu_has_bf16())


def cpu_has_bf16() -> bool:
    """Say whether the processor multiplies bfloat16 natively (AVX512-BF16 or AMX).

    Emulated bfloat16 is slower than float32. Older torch cannot tell: then no.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Use ``count`` CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def autocast(machine: Machine) -> Any:
    """Return the context in which one forward pass runs in the machine's arithmetic.

    It must be entered anew for every step: autocast keeps the rounded weights
    until its block ends, so inside a longer block the network would be evaluated
    with the weights of the first step.
    """
    if not machine.bf16:
        return nullcontext()
    return torch.autocast(machine.device.type, dtype=torch.bfloat16)
