import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic
from PIL import Image

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.reports.stamps_rgb import anchor_sheet, host_sheet, picture_sheet, rgb, stamp_sheet
from darkhaloscope.schema import STAMPS


def one_band(band):
    image = np.zeros((1, 3, 8, 8))
    image[0, band, 4, 4] = 0.1
    return rgb(image)[0, 4, 4]


def test_blue_light_is_blue_and_red_light_is_red():
    # g goes to the blue plane, z to the red one
    assert np.argmax(one_band(0)) == 2
    assert np.argmax(one_band(1)) == 1
    assert np.argmax(one_band(2)) == 0


def test_the_stretch_is_fixed_so_brighter_is_brighter_on_any_sheet():
    faint, bright = (rgb(np.full((1, 3, 4, 4), level)).mean() for level in (0.01, 0.05))
    assert bright > faint
    mixed = rgb(np.stack([np.full((3, 4, 4), 0.01), np.full((3, 4, 4), 5.0)]))
    assert mixed[0].mean() == faint


def test_not_a_number_is_drawn_as_sky():
    image = np.zeros((1, 3, 4, 4))
    image[0, 1, 0, 0] = np.nan
    assert (rgb(image)[0, 0, 0] == rgb(image)[0, 1, 1]).all()


def test_north_is_up_on_the_sheet(tmp_path):
    def mean_row_of_sky(bright_rows):
        image = np.zeros((1, 3, 32, 32), np.float32)
        image[:, :, bright_rows] = 1.0
        path = picture_sheet(image, [""], tmp_path / "n.png")
        grey = np.asarray(Image.open(path).convert("L"))
        return np.nonzero(grey < 60)[0].mean()

    # The first row of a picture file is the top of the page; y rises to the north.
    assert mean_row_of_sky(slice(16, 32)) > mean_row_of_sky(slice(0, 16)) + 20


def test_a_sheet_holds_a_row_per_kind_and_stops_reading_when_it_has_enough(tmp_path):
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"{i}.parquet")
        table = synthetic.stamp_table(24, "train", key=f"k{i}", theta_e_arcsec=pa.array([1.0] * 24))
        tabular.write_table(paths[-1], STAMPS, table)
    first = stamp_sheet(paths[:1], tmp_path / "a.png", per_kind=2).read_bytes()
    paths[1].write_bytes(b"never read")
    assert stamp_sheet(paths, tmp_path / "b.png", per_kind=2).read_bytes() == first


def test_rows_without_pixels_are_left_out_and_none_at_all_is_an_error(tmp_path):
    bad = synthetic.stamp_table(6, "train", status=["no_psf_r"] * 6)
    tabular.write_table(tmp_path / "bad.parquet", STAMPS, bad)
    with pytest.raises(DataError, match="No stamp has pixels"):
        stamp_sheet([tmp_path / "bad.parquet"], tmp_path / "x.png")


def test_hosts_and_anchors_have_their_sheets(campaign, tmp_path):
    import stamp_world

    hosts = stamp_world.hosts()
    tabular.write_table(tmp_path / "hosts.parquet", stamp_world.HOSTS, hosts)
    assert host_sheet([tmp_path / "hosts.parquet"], tmp_path / "h.png").stat().st_size > 1000
    stamps = tabular.read_table(campaign.store.paths(campaign.store.record("anchor_stamps"), ".parquet"))
    plain = anchor_sheet(stamps, tmp_path / "p.png").read_bytes()
    scores = dict.fromkeys(stamps["anchor_id"].to_pylist(), 0.7)
    framed = anchor_sheet(stamps, tmp_path / "f.png", scores=scores, threshold=0.5).read_bytes()
    unframed = anchor_sheet(stamps, tmp_path / "u.png", scores=scores, threshold=0.9).read_bytes()
    assert len({plain, framed, unframed}) == 3
