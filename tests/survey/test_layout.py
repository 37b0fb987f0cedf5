import pytest

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey import layout
from darkhaloscope.survey.release import DR10_SOUTH, get_release
from darkhaloscope.survey.roots import open_root


@pytest.mark.parametrize(("release", "region"), [("dr10-south", "south"), ("dr9-north", "north")])
def test_coadd_paths_follow_the_release(release, region):
    path = layout.coadd_file(get_release(release), "1126p222", "image", "r")
    assert path == f"{region}/coadd/112/1126p222/legacysurvey-1126p222-image-r.fits.fz"
    assert layout.coadd_name("1126p222", "maskbits") == "legacysurvey-1126p222-maskbits.fits.fz"


def test_required_coadds_are_three_products_per_band_and_the_mask():
    wanted = layout.required_coadds("1126p222", ("g", "r", "z"))
    assert len(wanted) == 10
    assert wanted["psfsize-z"] == "legacysurvey-1126p222-psfsize-z.fits.fz"


def test_brick_name_of_a_documented_brick():
    # 1126p222 of the DR10 files page is centred at RA 112.63, Dec 22.25.
    assert layout.brick_name(112.63, 22.25) == "1126p222"
    assert layout.brick_name(0.125, -0.125) == "0001m001"


def test_sweep_name_and_box_agree(tmp_path):
    directory = tmp_path / DR10_SOUTH.sweep_directory
    directory.mkdir(parents=True)
    name = layout.sweep_name(350, -5, 360, 0)
    assert name == "sweep-350m005-360p000.fits"
    (directory / name).touch()
    (sweep,) = layout.sweep_files(open_root(tmp_path), DR10_SOUTH)
    assert (sweep.ra1, sweep.ra2, sweep.dec1, sweep.dec2) == (350.0, 360.0, -5.0, 0.0)


def test_no_sweeps_says_what_to_copy(tmp_path):
    with pytest.raises(MissingDataError, match=r"south/sweep/10\.1"):
        layout.sweep_files(open_root(tmp_path), DR10_SOUTH)


@pytest.mark.parametrize("name", ["sweep-1-2.fits", "sweep-010p000-000p005.fits"])
def test_sweep_without_a_box_in_its_name_is_refused(tmp_path, name):
    directory = tmp_path / DR10_SOUTH.sweep_directory
    directory.mkdir(parents=True)
    (directory / name).touch()
    with pytest.raises(DataError, match="box"):
        layout.sweep_files(open_root(tmp_path), DR10_SOUTH)
