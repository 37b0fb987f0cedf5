import numpy as np
import pytest
import sky_tree
from astropy.io import fits

from darkhaloscope.errors import MissingDataError
from darkhaloscope.survey.planes import PlaneError, open_plane


class Recorder:
    """Notes which pixels are asked of the library."""

    def __init__(self, section):
        self.section = section
        self.asked = []

    def __getitem__(self, index):
        self.asked.append([(part.start, part.stop) for part in index])
        return self.section[index]


@pytest.fixture
def plane(pristine_tree):
    opened = open_plane(sky_tree.pair()[0].file(pristine_tree, "image", "g"), "Coadd image")
    yield opened
    opened.close()


def test_only_tiles_that_are_new_are_decoded(plane):
    recorder = plane._section = Recorder(plane._section)
    canvas = np.empty(plane.shape, dtype=np.float32)
    whole = recorder.section[0:420, 0:420]
    for y, x in [((110, 180), (120, 190)), ((150, 199), (101, 160)), ((110, 180), (160, 230)),
                 ((90, 110), (210, 299)), ((395, 420), (380, 420))]:  # fmt: skip
        assert np.array_equal(plane.section(y, x, canvas), whole[y[0] : y[1], x[0] : x[1]])
    assert recorder.asked == [
        [(100, 200), (100, 200)],
        [(100, 200), (200, 300)],
        [(0, 100), (200, 300)],
        [(300, 420), (300, 420)],
    ]


def test_tiles_are_those_of_the_file(tmp_path):
    data = np.arange(200 * 210, dtype=np.int32).reshape(200, 210)
    hdu = fits.CompImageHDU(data, compression_type="RICE_1", tile_shape=(60, 70))
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "p.fits.fz")
    plane = open_plane(tmp_path / "p.fits.fz", "Coadd image")
    recorder = plane._section = Recorder(plane._section)
    section = plane.section((70, 130), (60, 75), np.empty(plane.shape, dtype=np.int32))
    plane.close()
    assert np.array_equal(section, data[70:130, 60:75])
    assert recorder.asked == [[(60, 180), (0, 140)]]


def test_an_absent_file_is_missing_and_a_table_is_no_plane(pristine_tree, tmp_path):
    with pytest.raises(MissingDataError):
        open_plane(tmp_path / "none.fits.fz", "Coadd image")
    with pytest.raises(PlaneError, match="BinTableHDU"):
        open_plane(sky_tree.sweep_path(pristine_tree, sky_tree.pair()[0]), "Coadd image")
