import matplotlib.image
import numpy as np
import pytest
from cosmos_catalog import good_galaxies, write_catalogue

from darkhaloscope.errors import MissingDataError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.reports.figures_bank import contact_sheet
from darkhaloscope.sources.bank import build_bank


@pytest.mark.parametrize("count", [3, 45])
def test_sheet_shows_galaxies_and_is_reproducible(tmp_path, count):
    write_catalogue(tmp_path / "cat", good_galaxies(count))
    build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    first = contact_sheet(tmp_path / "bank.h5", tmp_path / "a.png")
    contact_sheet(tmp_path / "bank.h5", tmp_path / "b.png")
    assert sha256_file(first) == sha256_file(tmp_path / "b.png")
    picture = matplotlib.image.imread(first)[..., :3]
    stamps = picture[: picture.shape[0] // 3]
    assert np.unique(stamps.reshape(-1, 3), axis=0).shape[0] > 200


def test_missing_bank_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.h5"):
        contact_sheet(tmp_path / "none.h5", tmp_path / "a.png")
