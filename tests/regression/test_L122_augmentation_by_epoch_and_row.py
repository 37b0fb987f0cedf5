"""The augmentation of a row is keyed by (epoch, row): over the epochs it takes every value."""

import numpy as np
from test_spec import spec

from darkhaloscope.config import Augmentation
from darkhaloscope.preprocess.augment import SYMMETRIES, draw, row_keys

ROWS = row_keys([f"t{i}" for i in range(50)])


def symmetries(seed: int, epoch: int) -> np.ndarray:
    return draw(ROWS, seed=seed, epoch=epoch, spec=spec(), how=Augmentation()).symmetry


def test_every_row_meets_every_symmetry():
    codes = np.stack([symmetries(7, epoch) for epoch in range(1, 101)])
    assert all(len(np.unique(row)) == SYMMETRIES for row in codes.T)
    assert codes.std(axis=1).min() > 1.5, "every epoch mixes them"


def test_the_key_gives_it_back():
    np.testing.assert_array_equal(symmetries(7, 3), symmetries(7, 3))
    assert not np.array_equal(symmetries(7, 3), symmetries(8, 3))
