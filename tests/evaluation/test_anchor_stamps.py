import anchor_world as world
import numpy as np
import pytest
import sky_tree
from astropy.io import fits

from darkhaloscope import tabular
from darkhaloscope.evaluation.anchor_stamps import summarise, tier_of
from darkhaloscope.schema import ANCHOR_STAMPS


@pytest.fixture
def tree(tmp_path):
    return sky_tree.write_tree(tmp_path / "sky", sky_tree.pair())


def set_plane(root, product, band, change):
    """Change a coadd of the first brick in place."""
    brick = sky_tree.pair()[0]
    path = brick.file(root, product, band)
    with fits.open(path) as hdus:
        data = hdus[1].data.copy()
    change(data)
    sky_tree.write_plane(path, data, brick.wcs, product)


def around(number, half=20):
    x, y = sky_tree.pair()[0].positions[number]
    return slice(round(y) - half, round(y) + half + 1), slice(round(x) - half, round(x) + half + 1)


def test_a_pointed_object_has_pixels_conditions_and_a_tier(survey_tree, tmp_path):
    rows = [world.at(world.galaxy(0, 1), 0.4), world.at(world.galaxy(1, 1), type="ring", ref=world.RINGS)]
    table = world.stamps(survey_tree, rows, tmp_path)
    ANCHOR_STAMPS.validate(table)
    lens, ring = table.drop_columns(["image", "invvar", "maskbits"]).to_pylist()
    assert (lens["status"], ring["status"]) == ("ok", "ok")
    assert lens["tier"] in {"A", "B"}
    assert ring["tier"] == "lookalike"
    assert lens["host_mag_r"] == pytest.approx(22.5 - 2.5 * np.log10(sky_tree.LRG_FLUX["r"]), abs=1e-3)
    assert lens["psfdepth_r_mag"] == pytest.approx(sky_tree.DEPTH_MAG["r"], abs=1e-3)
    # seeing at the position, not the catalogue's or the brick's
    assert sky_tree.SEEING["r"] < lens["psf_fwhm_r_arcsec"] < sky_tree.SEEING["r"] + 0.1
    assert lens["nexp_r"] == 3


def test_the_stamp_is_centred_on_the_survey_source_not_on_the_catalogue_position(survey_tree, tmp_path):
    table = world.stamps(survey_tree, [world.at(world.galaxy(0, 1), 0.9)], tmp_path)
    image = tabular.pixels(table, "image")[0, 1].astype(np.float64)
    y, x = np.mgrid[: world.SIZE_PX, : world.SIZE_PX] - (world.SIZE_PX - 1) / 2
    near = (np.hypot(x, y) < 8) * np.maximum(image - np.median(image), 0)
    assert (near * x).sum() / near.sum() == pytest.approx(table["x_offset_px"][0].as_py(), abs=0.15)
    assert (near * y).sum() / near.sum() == pytest.approx(table["y_offset_px"][0].as_py(), abs=0.15)


def test_unpointed_rows_keep_their_reason_and_get_no_pixels(survey_tree, tmp_path):
    rows = [
        world.at(world.galaxy(0, 0), 30.0),
        world.at(world.star()),
        world.at(world.galaxy(0, 1)),
        world.at(world.galaxy(1, 1), ref=world.QUASARS),
    ]
    table = world.stamps(survey_tree, rows, tmp_path)
    # the quasar never left the catalogue
    assert table["status"].to_pylist() == ["no_source", "point_source", "ok"]
    assert table["image"].is_null().to_pylist() == [True, True, False]
    assert summarise(table)["statuses"] == {"no_source": 1, "ok": 1, "point_source": 1}


def test_a_masked_centre_is_refused(tree, tmp_path):
    def halo(data):
        data[around(1, 3)] |= 1 << 1  # BRIGHT

    set_plane(tree, "maskbits", None, halo)
    table = world.stamps(tree, [world.at(world.galaxy(0, 1))], tmp_path)
    assert table["status"].to_pylist() == ["masked_g"]


def test_geometry_bits_are_no_damage(tree, tmp_path):
    def outside_primary(data):
        data[...] |= 1

    set_plane(tree, "maskbits", None, outside_primary)
    table = world.stamps(tree, [world.at(world.galaxy(0, 1))], tmp_path)
    assert table["status"].to_pylist() == ["ok"]


def test_an_unobserved_centre_is_refused(tree, tmp_path):
    def hole(data):
        data[around(1, 2)] = 0.0

    set_plane(tree, "invvar", "z", hole)
    table = world.stamps(tree, [world.at(world.galaxy(0, 1))], tmp_path)
    assert table["status"].to_pylist()[0].endswith("_z")


def test_a_blank_place_with_a_catalogued_galaxy_is_implausible(tree, tmp_path):
    def erase(data):
        noise = np.random.Generator(np.random.Philox(key=2)).normal(0, 0.003, data[around(1, 25)].shape)
        data[around(1, 25)] = noise

    set_plane(tree, "image", "r", erase)
    table = world.stamps(tree, [world.at(world.galaxy(0, 1))], tmp_path)
    assert table["status"].to_pylist() == ["magnitude_implausible"]


@pytest.mark.parametrize(
    ("kind", "use", "discovery", "snr", "tier"),
    [
        ("lens", "grade", "imaging", 2.5, "A"),
        ("lens", "grade", "network", 2.5, "A"),
        ("lens", "grade", "imaging", 1.5, "B"),
        ("lens", "grade", "imaging", None, "B"),
        ("lens", "grade", "spectroscopic", 50.0, "B"),
        ("lens", "grade", "space", 50.0, "B"),
        ("lookalike", "grade", "imaging", 50.0, "lookalike"),
        ("lookalike", "hard_negative", "imaging", 50.0, "lookalike_train"),
    ],
)
def test_tiers_select_on_provenance_and_visibility(kind, use, discovery, snr, tier):
    assert tier_of(kind, use, discovery, snr) == tier
