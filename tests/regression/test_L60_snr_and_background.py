"""L60: without an S/N cut or a background subtraction, noise-dominated sources entered the bank."""

import numpy as np
import pytest
from cosmos_catalog import NOISE_SIGMA, Galaxy, good_galaxies, write_catalogue

from darkhaloscope.sources.bank import SourceBank, build_bank


def test_snr_and_background_are_stored_per_source_and_cut(tmp_path):
    faint = [Galaxy(200 + i, mag=25.0 + 0.4 * i, hlr_px=5.0, side=60) for i in range(5)]
    lifted = Galaxy(300, mag=22.0, sky=0.02, side=120)
    write_catalogue(tmp_path / "cat", [*good_galaxies(6), *faint, lifted])
    summary = build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    assert sum(summary["rejected"].values()) >= 3
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        assert bank.snr.min() >= summary["limits"]["min_snr"] == 30.0
        flux = 10.0 ** (0.4 * (25.94 - bank.mag_f814w))
        expected = flux / (NOISE_SIGMA * np.sqrt(bank.columns["segment_px"]))
        np.testing.assert_allclose(bank.snr, expected, rtol=0.15)
        row = bank.index_of("cosmos-300")
        assert bank.columns["background"][row] == pytest.approx(0.02, abs=0.0005)
        assert bank.columns["flux"][row] == pytest.approx(flux[row], rel=0.1)
