"""L65: sources were drawn with replacement, about 270 uses each, and duplicates were not looked for."""

from dataclasses import replace

import numpy as np
from cosmos_catalog import Galaxy, good_galaxies, write_catalogue

from darkhaloscope.sources.bank import SourceBank, build_bank
from darkhaloscope.sources.population import draw_source_rows


def test_no_source_is_used_more_than_its_share():
    sources = np.array([f"cosmos-{i}" for i in range(37)])
    split = np.full(37, "train")
    for count in (5, 37, 100, 1000):
        rows = draw_source_rows(
            sources, split, split="train", ids=[f"task-{i}" for i in range(count)], seed=1
        )
        uses = np.bincount(rows, minlength=37)
        assert uses.max() - uses.min() <= 1


def test_one_galaxy_under_two_identifiers_is_one_source(tmp_path):
    galaxies = good_galaxies(6)
    twin = Galaxy(77, stamp=galaxies[0].pixels(), mag=galaxies[0].mag, hlr_px=galaxies[0].hlr_px)
    shifted = replace(galaxies[1], ident=78, dec_deg=2.001 + 0.3 / 3600.0)
    write_catalogue(tmp_path / "cat", [*galaxies, twin, shifted])
    summary = build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    assert summary["rejected"] == {"duplicate_pixels": 1, "duplicate_position": 1}
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        assert len(bank) == 6
