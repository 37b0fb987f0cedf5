"""Every row once, in another order each epoch, in equal batches, divided among ranks."""

import numpy as np
import pytest

from darkhaloscope.training.order import batch_count, epoch_batches, epoch_order, of_rank


def plan(n=50, size=8, *, seed=1, epoch=1, **hard):
    return epoch_batches(n, size, seed=seed, epoch=epoch, **hard)


@pytest.mark.parametrize("n", [1, 8, 50, 257])
def test_every_row_comes_once(n):
    assert sorted(np.concatenate(plan(n)).tolist()) == list(range(n))


def test_batches_are_equal_and_within_the_limit():
    sizes = [len(rows) for rows in plan()]
    assert len(sizes) == batch_count(50, 8) == 7
    assert max(sizes) <= 8
    assert max(sizes) - min(sizes) <= 1


def test_the_key_decides_the_order():
    first = np.concatenate(plan())
    np.testing.assert_array_equal(first, np.concatenate(plan()))
    np.testing.assert_array_equal(first, epoch_order(1, 1, 50))
    for other in (plan(seed=2), plan(epoch=2)):
        assert not np.array_equal(first, np.concatenate(other))


def test_ranks_divide_every_batch():
    for rows in plan(203, 16):
        parts = [of_rank(rows, rank, 4) for rank in range(4)]
        assert sorted(np.concatenate(parts).tolist()) == sorted(rows.tolist())
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("count", [3, 40, 900])
def test_hard_negatives_have_their_share_of_every_batch(count):
    n, hard = 2000, np.arange(1000, 1000 + count)
    batches = plan(n, 64, hard=hard, hard_share=0.1)
    assert {int(np.isin(rows, hard).sum()) for rows in batches} == {6}
    assert max(map(len, batches)) <= 64
    others = np.concatenate([rows[~np.isin(rows, hard)] for rows in batches])
    assert sorted(others.tolist()) == [i for i in range(n) if i not in set(hard.tolist())]
    drawn = np.bincount(np.concatenate(batches), minlength=n)[hard]
    assert drawn.max() - drawn.min() <= 1
