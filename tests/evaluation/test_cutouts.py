import numpy as np
import pytest

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.evaluation.cutouts import read_cutouts, score_cutouts, sky_sigma
from darkhaloscope.survey.release import get_release

RELEASE = get_release("dr10-south")


def write(folder, name="a", **changes):
    """A cutout as the survey's viewer gives it: sky of known noise with one galaxy."""
    rng = np.random.Generator(np.random.Philox(key=5))
    cutout = rng.normal(0.0, [0.002, 0.003, 0.007], (101, 101, 3)).astype(np.float32)
    y, x = np.mgrid[:101, :101] - 50
    cutout += (0.1 * np.exp(-0.5 * (x**2 + y**2) / 9.0))[..., None].astype(np.float32)
    content = {
        "cutout": cutout,
        "meta_galaxy_id": name,
        "meta_ra": 12.0,
        "meta_dec": 6.0,
        "meta_pixel_scale": 0.262,
        "meta_layer": "ls-dr10-south",
        "meta_bands_requested": "grz",
    }
    content |= changes
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", **{k: v for k, v in content.items() if v is not None})
    return content["cutout"]


def read(folder):
    return read_cutouts(folder, release=RELEASE, size_px=64)


def test_pixels_are_moved_to_band_first_and_cropped_about_the_centre(tmp_path):
    stored = write(tmp_path / "c")
    cutouts = read(tmp_path / "c")
    assert cutouts.images.shape == (1, 3, 64, 64)
    assert np.array_equal(cutouts.images[0, 1], stored[18:82, 18:82, 1])


def test_depth_is_measured_from_the_sky(tmp_path):
    write(tmp_path / "c")
    conditions = read(tmp_path / "c").conditions(0.262)
    # point-source noise of a Gaussian PSF: sigma sqrt(4 pi s^2), s in pixels
    s = 1.33 / 0.262 / 2.3548
    expected = 22.5 - 2.5 * np.log10(5 * 0.003 * np.sqrt(4 * np.pi) * s)
    assert conditions["psfdepth_r_mag"][0].as_py() == pytest.approx(expected, abs=0.03)
    wider = read(tmp_path / "c").conditions(0.262, 1.1)
    assert wider["psf_fwhm_r_arcsec"][0].as_py() == pytest.approx(1.1 * 1.33)


def test_sky_noise_is_not_raised_by_sources():
    rng = np.random.Generator(np.random.Philox(key=6))
    plane = rng.normal(0.0, 0.01, (101, 101))
    plane[30:60, 30:60] += 1.0
    assert sky_sigma(plane) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cutout": np.zeros((101, 101, 3), np.float32)}, "empty"),
        ({"cutout": np.full((101, 101, 3), np.nan, np.float32)}, "not finite"),
        ({"cutout": np.ones((50, 50, 3), np.float32)}, "shape"),
        ({"cutout": np.ones((101, 101), np.float32)}, "shape"),
        ({"cutout": None}, "Not a cutout"),
        ({"meta_bands_requested": "gri"}, "bands"),
        ({"meta_pixel_scale": 0.4}, "pixel scale"),
        ({"meta_layer": "sdss"}, "another survey"),
        ({"meta_layer": "ls-dr10", "meta_ra": 150.0, "meta_dec": 40.0}, "another survey"),
        ({"meta_layer": None}, "meta_layer"),
    ],
)
def test_a_cutout_that_is_not_this_survey_is_refused_by_file(tmp_path, changes, word):
    write(tmp_path / "c", **changes)
    with pytest.raises(DataError, match=word) as error:
        read(tmp_path / "c")
    assert "a.npz" in str(error.value)


def test_a_merged_layer_is_this_survey_where_its_camera_looked(tmp_path):
    write(tmp_path / "c", meta_layer="ls-dr10")
    assert read(tmp_path / "c").ids == ("a",)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(MissingDataError, match="at least one"):
        read(tmp_path)


def test_scores_are_given_over_the_seeing_that_was_assumed(tmp_path, model):
    write(tmp_path / "c", "a")
    write(tmp_path / "c", "b")
    records = score_cutouts(model, read(tmp_path / "c"), release=RELEASE)
    assert [record["object_id"] for record in records] == ["a", "b"]
    for record in records:
        assert record["score_lowest"] <= record["score"] <= record["score_highest"]
        assert record["score_lowest"] < record["score_highest"]
    assert records[0]["sha256"] != records[1]["sha256"]


@pytest.mark.realdata
def test_the_real_cutouts_are_read_and_scored(realdata, model):
    cutouts = read(realdata / "dr10_cutouts")
    assert cutouts.ids == ("0001m060_2396", "0003m005_293", "3598m030_3212")
    # sky of these three, measured with sources masked: 2.30, 2.27, 3.19e-3 nMgy/px in r
    assert cutouts.sky_sigma_nmgy[:, 1] == pytest.approx([2.30e-3, 2.27e-3, 3.19e-3], rel=0.08)
    assert len(score_cutouts(model, cutouts, release=RELEASE)) == 3
