"""An epoch is a permutation of all rows: nothing of the order of shards or of the last epoch stays."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from darkhaloscope.training.order import epoch_order

ROWS = 4000


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_neighbours_in_an_epoch_are_strangers_in_the_shards(epoch):
    order = epoch_order(7, epoch, ROWS)
    assert sorted(order.tolist()) == list(range(ROWS))
    # two random rows lie a third of the set apart; rows shuffled inside a shard stay close
    assert np.abs(np.diff(order)).mean() == pytest.approx(ROWS / 3, rel=0.05)
    assert abs(spearmanr(order, np.arange(ROWS)).statistic) < 0.06


def test_the_orders_of_two_epochs_are_not_correlated():
    places = [np.argsort(epoch_order(7, epoch, ROWS)) for epoch in (1, 2)]
    assert abs(spearmanr(*places).statistic) < 0.06
