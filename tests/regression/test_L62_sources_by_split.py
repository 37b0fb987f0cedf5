"""L62: train, val and test drew from the same templates, so validation measured memory."""

import numpy as np
from cosmos_catalog import good_galaxies, write_catalogue

from darkhaloscope.sources.bank import SourceBank, build_bank
from darkhaloscope.sources.population import draw_source_rows
from darkhaloscope.sources.sersic import SersicSources


def test_no_source_is_drawn_in_two_splits_in_any_bank(tmp_path):
    write_catalogue(tmp_path / "cat", good_galaxies(30))
    used = {"train": set(), "val": set(), "test": set()}
    for size in (None, 12):
        build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=size, seed=1)
        with SourceBank.open(tmp_path / "bank.h5") as bank, SersicSources.open(bank.path) as sersic:
            np.testing.assert_array_equal(bank.split, sersic.split)
            for split, seen in used.items():
                ids = [f"{split}-{i}" for i in range(200)]
                seen |= set(bank.ids[draw_source_rows(bank.ids, bank.split, split=split, ids=ids, seed=1)])
    assert all(used.values())
    assert not used["train"] & used["val"]
    assert not (used["train"] | used["val"]) & used["test"]
