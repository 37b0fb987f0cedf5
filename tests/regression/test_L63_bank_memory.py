"""L63: every worker held the whole bank in memory and could read a half-written copy."""

import gc
import tracemalloc

import h5py
import numpy as np
import pytest
from cosmos_catalog import good_galaxies, write_catalogue

from darkhaloscope.errors import StorageError
from darkhaloscope.sources import bankfile
from darkhaloscope.sources.bank import SourceBank, build_bank


def test_opening_reads_no_template_and_asking_reads_only_those_asked(tmp_path):
    count = 2000
    columns = {name: np.ones(count) for name in bankfile.NUMBER_COLUMNS}
    columns |= {name: [f"{i:05d}" for i in range(count)] for name in bankfile.TEXT_COLUMNS}
    bankfile.write_bank(
        tmp_path / "bank.h5",
        templates=np.zeros((count, 96, 96), dtype=np.float32),
        order=np.arange(count),
        columns=columns,
        rejected=[],
        metadata={**dict.fromkeys(bankfile._METADATA), "pixel_scale_arcsec": 0.03, "template_px": 96},
    )
    gc.collect()
    tracemalloc.start()
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        bank.templates([3, 1999])
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.05 * count * 96 * 96 * 4


def test_a_failed_build_leaves_the_old_bank_whole(tmp_path, monkeypatch):
    write_catalogue(tmp_path / "cat", good_galaxies(5))
    path = tmp_path / "bank.h5"
    build_bank(tmp_path / "cat", path, max_galaxies=None, seed=1)
    before = path.read_bytes()

    def full_disk(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "create_group", full_disk)
    with pytest.raises(StorageError, match=r"bank\.h5"):
        build_bank(tmp_path / "cat", path, max_galaxies=None, seed=2)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bank.h5", "cat"]
