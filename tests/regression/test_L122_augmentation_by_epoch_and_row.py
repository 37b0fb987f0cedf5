"""The augmentation of a row is keyed by (epoch, row): over the epochs it takes every value."""

import numpy as np

from darkhaloscope.training.data import SYMMETRIES, epoch_symmetries


def test_every_row_meets_every_symmetry():
    codes = np.stack([epoch_symmetries(7, epoch, 50) for epoch in range(1, 101)])
    assert all(len(np.unique(row)) == SYMMETRIES for row in codes.T)
    assert all(len(np.unique(epoch)) == SYMMETRIES for epoch in codes)


def test_the_key_gives_it_back():
    np.testing.assert_array_equal(epoch_symmetries(7, 3, 50), epoch_symmetries(7, 3, 50))
    assert not np.array_equal(epoch_symmetries(7, 3, 50), epoch_symmetries(8, 3, 50))
