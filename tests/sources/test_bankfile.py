"""The bank file as workers read it: aligned, shared, and no larger in memory than what is asked for."""

import os
import sys

import h5py
import numpy as np
import pytest

from darkhaloscope.errors import MissingDataError
from darkhaloscope.sources import bankfile
from darkhaloscope.sources.library import shared_sources

COUNT = 1500


def write(path, level=1.0, count=COUNT):
    templates = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None] + level, (count, 96, 96))
    columns = {name: np.ones(count) for name in bankfile.NUMBER_COLUMNS}
    columns |= {name: [f"{i:05d}" for i in range(count)] for name in bankfile.TEXT_COLUMNS}
    bankfile.write_bank(
        path,
        templates=templates,
        order=np.arange(count),
        columns=columns,
        rejected=[],
        metadata={
            "pixel_scale_arcsec": 0.03,
            "template_px": 96,
            "psf_fwhm_arcsec": 0.13,
            "deconvolved": False,
            "limits": {},
            "bank_id": str(level),
        },
    )
    return path


@pytest.fixture(scope="module")
def bank_path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("bank") / "bank.h5")


def resident_file_mb() -> float:
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith("RssFile")]
    return int(line.split()[1]) / 1e3


def test_templates_begin_on_a_page(bank_path):
    """A map of floats at odd addresses is copied whole by whoever wants an aligned one."""
    with h5py.File(bank_path) as file:
        assert file["templates"].id.get_offset() % 4096 == 0


def test_templates_are_those_of_their_rows(bank_path):
    rows = [7, 1499, 7, 0]
    with bankfile.SourceBank.open(bank_path) as bank:
        templates = bank.templates(rows)
    assert type(templates) is np.ndarray
    assert templates.flags.c_contiguous
    np.testing.assert_array_equal(templates[:, 50, 3], np.array(rows) + 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_worker_does_not_grow_to_the_size_of_the_bank(bank_path):
    size_mb = bank_path.stat().st_size / 1e6
    with bankfile.SourceBank.open(bank_path) as bank:
        before = resident_file_mb()
        for start in range(0, COUNT, 50):
            bank.templates(range(start, start + 50))
        assert size_mb > 50
        assert resident_file_mb() - before < 0.2 * size_mb


def test_units_of_a_process_share_the_open_bank(bank_path):
    assert shared_sources("cosmos", bank_path) is shared_sources("cosmos", str(bank_path))
    assert shared_sources("sersic", bank_path) is not shared_sources("cosmos", bank_path)


def test_a_bank_that_was_replaced_is_opened_anew(tmp_path):
    path = write(tmp_path / "bank.h5", count=3)
    first = shared_sources("cosmos", path)
    os.utime(write(path, level=5.0, count=3), ns=(1, 1))
    second = shared_sources("cosmos", path)
    assert (first.bank_id, second.bank_id) == ("1.0", "5.0")
    assert second.templates([0])[0, 0, 0] == 5.0
    assert first.templates([0])[0, 0, 0] == 1.0


def test_a_bank_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.h5"):
        shared_sources("cosmos", tmp_path / "none.h5")
