"""In which order rows are learned: pure functions of (seed, epoch).

A true permutation of all rows, different in every epoch, divided into equal
batches. No worker holds a copy that could go stale, ranks take disjoint parts of
each batch, and a run that resumes in mid-epoch knows what it has seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.streams import generator

Rows = NDArray[np.intp]


def epoch_order(seed: int, epoch: int, n: int) -> Rows:
    """Return the order of all ``n`` rows in an epoch, a permutation keyed by (seed, epoch)."""
    return generator(seed, "train_order", f"epoch-{epoch}").permutation(n).astype(np.intp)


def batch_count(n: int, batch_size: int) -> int:
    """Return the number of batches in an epoch of ``n`` rows."""
    return -(-n // batch_size)


def epoch_batches(
    n: int,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    hard: Rows | None = None,
    hard_share: float = 0.0,
) -> list[Rows]:
    """Return the rows of every batch of an epoch.

    Batches are equal to within one row and none larger than ``batch_size``, so
    that no small remainder upsets a batch normalisation.

    Parameters
    ----------
    n : int
        Rows.
    batch_size : int
        Largest batch.
    seed, epoch : int
        Key of the order.
    hard : ndarray of int, optional
        Rows of hard negatives.
    hard_share : float
        Their share of each batch: few are repeated within the epoch, many are
        left for the next. 0 leaves them in the shuffle, once per epoch.

    Returns
    -------
    list of ndarray of int
        Every row once, but for hard negatives with a share of their own.
    """
    order = epoch_order(seed, epoch, n)
    if hard is None or len(hard) == 0 or hard_share == 0.0:
        return np.array_split(order, batch_count(n, batch_size))
    others = order[~np.isin(order, hard)]
    per_batch = max(1, round(hard_share * batch_size))
    steps = batch_count(len(others), batch_size - per_batch)
    wanted = steps * per_batch
    rounds = -(-wanted // len(hard))
    turns = [hard[epoch_order(seed, epoch * 1009 + k, len(hard))] for k in range(rounds)]
    drawn = np.array_split(np.concatenate(turns)[:wanted], steps)
    return [np.concatenate(parts) for parts in zip(np.array_split(others, steps), drawn, strict=True)]


def of_rank(batch: Rows, rank: int, world: int) -> Rows:
    """Return a rank's part of a batch; the parts of all ranks are the batch."""
    return batch[rank::world]
