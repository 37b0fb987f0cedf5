"""L187: the cutout service answers "no overlap" with success and no image."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.evaluation.cutouts import read_cutouts
from darkhaloscope.survey.release import get_release


@pytest.mark.parametrize("band", [0, 1, 2])
def test_a_band_without_overlap_is_refused_and_named(tmp_path, band):
    cutout = np.random.Generator(np.random.Philox(key=1)).normal(0, 0.01, (101, 101, 3)).astype(np.float32)
    cutout[:, :, band] = 0.0
    np.savez(
        tmp_path / "c.npz",
        cutout=cutout,
        meta_ra=12.0,
        meta_dec=6.0,
        meta_pixel_scale=0.262,
        meta_layer="ls-dr10-south",
        meta_bands_requested="grz",
    )
    with pytest.raises(DataError, match=f"empty.*band {'grz'[band]}"):
        read_cutouts(tmp_path, release=get_release("dr10-south"), size_px=64)
