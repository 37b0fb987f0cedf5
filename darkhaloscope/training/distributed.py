"""Which of several processes this is, as torchrun says, and what they have to tell each other.

One process is the rule; then nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn


@dataclass(frozen=True)
class Ranks:
    """One process among those of a run.

    Parameters
    ----------
    rank, world : int
        Number of this process and of all.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return the network whose gradients are averaged over all processes."""
        if self.world == 1:
            return network
        ids = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def gathered(self, own: NDArray[Any]) -> NDArray[Any]:
        """Return the arrays of all processes, interleaved as ``rows[rank::world]`` took them apart."""
        if self.world == 1:
            return own
        parts: list[NDArray[Any]] = [np.empty(0)] * self.world
        distributed.all_gather_object(parts, own)
        out = np.empty(sum(map(len, parts)), dtype=own.dtype)
        for rank, part in enumerate(parts):
            out[rank :: self.world] = part
        return out

    def total(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        return float(np.sum(self.gathered(np.array([value]))))

    def agreed(self, value: Any) -> Any:
        """Return what the first process says."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def ranks(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that torchrun started, and give each its own GPU.

    Yields
    ------
    tuple of (Ranks, torch.device)
        Alone and the given device where torchrun did not start this process.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world), device
    finally:
        distributed.destroy_process_group()
