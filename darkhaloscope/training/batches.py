"""From rows to tensors on the device: gather, augment, treat, clip.

One gather per batch from the memory map, nothing per row in Python; the next
batch is gathered in a thread while the network works on this one. Arithmetic is
that of ``preprocess.batch``, on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkhaloscope.config import Augmentation
from darkhaloscope.preprocess import augment
from darkhaloscope.preprocess import batch as tensors
from darkhaloscope.preprocess.centre import centre_pixels
from darkhaloscope.preprocess.spec import PreprocessSpec
from darkhaloscope.training.order import Rows
from darkhaloscope.training.rows import SplitData

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Rows of one step: images and metadata on the device, and their row numbers."""

    images: Tensor
    metadata: Tensor
    labels: Tensor
    rows: Rows


def training_batches(
    data: SplitData,
    plan: Sequence[Rows],
    *,
    preprocess: PreprocessSpec,
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield the batches of a plan, augmented for an epoch.

    Parameters
    ----------
    data : SplitData
        Rows.
    plan : sequence of ndarray of int
        Rows of each batch, from :func:`darkhaloscope.training.order.epoch_batches`.
    preprocess : PreprocessSpec
        What the model sees.
    augmentation : config.Augmentation
        How rows change.
    seed, epoch : int
        Key of the changes.
    device : torch.device
        Where the tensors are put.
    """
    for rows, images in zip(plan, prefetched(gather(data, rows, device) for rows in plan), strict=True):
        draws = augment.draw(data.keys[rows], seed=seed, epoch=epoch, spec=preprocess, how=augmentation)
        on_device = tensors.augment(images.to(device, non_blocking=True), draws)
        noise = _noise(data, rows, draws, preprocess, seed=seed, epoch=epoch)
        treated = torch.from_numpy(_to_treat(draws.treated, preprocess)).to(device)
        seen = tensors.finish(preprocess, on_device, treated, None if noise is None else noise.to(device))
        yield Batch(
            images=seen.contiguous(memory_format=torch.channels_last),
            metadata=torch.from_numpy(data.metadata[rows]).to(device, non_blocking=True),
            labels=torch.from_numpy(data.labels[rows]).to(device, non_blocking=True),
            rows=rows,
        )


def inference_images(data: SplitData, rows: Rows, preprocess: PreprocessSpec, device: torch.device) -> Tensor:
    """Return what the model sees of rows at inference, on the device."""
    images = gather(data, rows, device).to(device)
    treated = torch.from_numpy(_to_treat(np.full(len(images), preprocess.treats_always), preprocess))
    return tensors.finish(preprocess, images, treated.to(device), None)


def gather(data: SplitData, rows: Rows, device: torch.device) -> Tensor:
    """Return the linear images of rows, in memory that a GPU can copy from by itself."""
    shape = (len(rows), *data.linear.shape[1:])
    out = torch.empty(shape, dtype=torch.float32, pin_memory=device.type == "cuda")
    # 'clip' because the default mode copies by way of a buffer; the rows are in range
    np.take(data.linear, rows, axis=0, out=out.numpy(), mode="clip")
    return out


def prefetched(items: Iterable[T], ahead: int = 2) -> Iterator[T]:
    """Yield items in order while a thread makes the next ones."""
    iterator = iter(items)
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(next, iterator, end) for _ in range(ahead)]
        while (item := waiting.pop(0).result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]  # the end is not an item


def _to_treat(treated: NDArray[np.bool_], preprocess: PreprocessSpec) -> NDArray[np.bool_]:
    """Leave out centres of noise that the cache has drawn already."""
    drawn = preprocess.treats_always and preprocess.centre == "noise"
    return np.zeros_like(treated) if drawn else treated


def _noise(
    data: SplitData,
    rows: Rows,
    draws: augment.Draws,
    preprocess: PreprocessSpec,
    *,
    seed: int,
    epoch: int,
) -> Tensor | None:
    if preprocess.centre != "noise" or preprocess.treats_always:
        return None
    side = data.linear.shape[-1]
    shape = (data.linear.shape[1], int(centre_pixels(side, preprocess.centre_radius_px).sum()))
    tasks = data.task_ids[rows[draws.treated]]
    return torch.from_numpy(augment.centre_noise(tasks, seed=seed, epoch=epoch, shape=shape))
