import shutil

import numpy as np
import pytest
import sky_tree
from astropy.io import fits

from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.coadds import BrickCoadd, CoaddError, cut_positions
from darkhaloscope.survey.cutout import CORE_PX
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS

SIZE = 41


@pytest.fixture(scope="module")
def brick():
    return sky_tree.pair()[0]


@pytest.fixture(scope="module")
def bricks(pristine_tree):
    return read_footprint(pristine_tree, DR10_SOUTH)


def positions(brick):
    rows = sky_tree.sweep_rows(brick)[:-1]
    return rows["RA"].astype(float), rows["DEC"].astype(float)


def cut(root, brick, x, y, size=SIZE):
    with BrickCoadd(root, DR10_SOUTH, brick.name) as coadd:
        return coadd.cut(x, y, size)[0]


def rewrite(root, brick, product, band, change):
    """Write one plane again after ``change(data)``."""
    path = brick.file(root, product, band)
    with fits.open(path) as hdus:
        data = np.array(hdus[1].data)
    change(data)
    sky_tree.write_plane(path, data, brick.wcs, product)


def test_sky_positions_become_pixels_with_north_up_and_east_left(pristine_tree, brick):
    centre = (brick.size_px - 1) / 2.0
    with BrickCoadd(pristine_tree, DR10_SOUTH, brick.name) as coadd:
        assert coadd.shape == (brick.size_px, brick.size_px)
        arcsec = 1.0 / 3600.0
        ra = brick.ra + np.array([0.0, 26.2, 0.0]) * arcsec / np.cos(np.radians(brick.dec))
        x, y = coadd.pixel_positions(ra, brick.dec + np.array([0.0, 0.0, 26.2]) * arcsec)
    assert x == pytest.approx([centre, centre - 100.0, centre], abs=0.02)
    assert y == pytest.approx([centre, centre, centre + 100.0], abs=0.02)


@pytest.mark.parametrize("size", [40, 41, 64])
def test_offset_is_where_the_light_is(pristine_tree, brick, size):
    ra, dec = positions(brick)
    with BrickCoadd(pristine_tree, DR10_SOUTH, brick.name) as coadd:
        for stamp in coadd.cut(*coadd.pixel_positions(ra, dec), size):
            assert stamp.status == "ok"
            assert max(abs(stamp.x_offset_px), abs(stamp.y_offset_px)) <= 0.5 + 1e-6
            yy, xx = np.mgrid[:size, :size] - (size - 1) / 2.0
            near = np.hypot(xx - stamp.x_offset_px, yy - stamp.y_offset_px) < 8.0
            light = np.where(near, stamp.image.sum(axis=0), 0.0).astype(float)
            assert (light * xx).sum() / light.sum() == pytest.approx(stamp.x_offset_px, abs=0.05)
            assert (light * yy).sum() / light.sum() == pytest.approx(stamp.y_offset_px, abs=0.05)


def test_stamp_is_the_section_of_every_plane(pristine_tree, brick):
    stamp = cut(pristine_tree, brick, 200.0, 150.0)
    low_x, low_y = 180, 130
    for k, band in enumerate(sky_tree.BANDS):
        truth = sky_tree.planes(brick, band)
        window = np.s_[low_y : low_y + SIZE, low_x : low_x + SIZE]
        # Quantum of the lossy compression: 1e-4 nMgy.
        assert np.abs(stamp.image[k] - truth["image"][window]).max() <= 1e-4
        assert stamp.invvar[k] == pytest.approx(truth["invvar"][window], rel=1e-5)
        assert stamp.psf_fwhm_arcsec[k] == pytest.approx(truth["psfsize"][150, 200], abs=1e-6)
    assert stamp.image.dtype == np.float32
    assert stamp.maskbits.dtype == np.int32
    assert stamp.brickname == brick.name


def test_a_stamp_is_the_same_bytes_whatever_is_cut_with_it(pristine_tree, brick):
    # Neighbours share tiles of 100 x 100 px with the stamp, before and after it is cut.
    around = np.random.default_rng([5]).uniform(30.0, 380.0, (40, 2))
    alone = cut(pristine_tree, brick, 200.3, 150.7)
    with BrickCoadd(pristine_tree, DR10_SOUTH, brick.name) as coadd:
        x, y = np.insert(around, 20, (200.3, 150.7), axis=0).T
        crowded = coadd.cut(x, y, SIZE)[20]
    for name in ("image", "invvar", "maskbits", "psf_fwhm_arcsec", "bad_pixel_frac"):
        assert getattr(alone, name).tobytes() == getattr(crowded, name).tobytes()


@pytest.mark.parametrize(("x", "y"), [(10.0, 200.0), (200.0, 405.0), (-500.0, 200.0), (np.nan, 5.0)])
def test_stamp_over_the_edge_has_no_pixels(pristine_tree, brick, x, y):
    stamp = cut(pristine_tree, brick, x, y)
    assert stamp.status == "off_edge"
    assert stamp.image is None


def test_a_stamp_may_touch_the_edge_but_not_cross_it(pristine_tree, brick):
    first, last = (SIZE - 1) // 2, brick.size_px - 1 - (SIZE - 1) // 2
    for inside, outside in ((first, first - 1), (last, last + 1)):
        for x, y in ((inside, 200), (200, inside)):
            assert cut(pristine_tree, brick, float(x), float(y)).status == "ok"
        for x, y in ((outside, 200), (200, outside)):
            assert cut(pristine_tree, brick, float(x), float(y)).status == "off_edge"


def test_neighbour_gives_the_stamp_its_own_brick_cannot_hold(pristine_tree, bricks):
    east, west = sky_tree.pair()
    # 24 px inside the western edge of the eastern brick's image, well inside the western brick's.
    ra, dec = east.wcs.all_pix2world([[east.size_px - 24.0, 210.0]], 0)[0]
    own, other = (
        cut_positions(pristine_tree, DR10_SOUTH, bricks, [ra], [dec], size, [east.name])[0]
        for size in (41, 61)
    )
    assert (own.status, own.brickname) == ("ok", east.name)
    assert (other.status, other.brickname) == ("ok", west.name)
    # Nothing holds a stamp as wide as this: the own brick's status stands.
    none = cut_positions(pristine_tree, DR10_SOUTH, bricks, [ra], [dec], 301, [east.name])[0]
    assert (none.status, none.brickname) == ("off_edge", east.name)


def test_neighbour_is_used_when_the_own_brick_is_damaged(tree, bricks):
    east, west = sky_tree.pair()
    east.file(tree, "image", "r").unlink()
    ra, dec = east.wcs.all_pix2world([[east.size_px - 24.0, 210.0], [100.0, 210.0]], 0).T
    stamps = cut_positions(tree, DR10_SOUTH, bricks, ra, dec, SIZE, [east.name] * 2)
    assert [(s.status, s.brickname) for s in stamps] == [("ok", west.name), ("missing_band_r", east.name)]


def test_results_keep_the_order_asked_for(pristine_tree, bricks):
    east, west = sky_tree.pair()
    ra = np.concatenate([positions(east)[0], positions(west)[0]])
    dec = np.concatenate([positions(east)[1], positions(west)[1]])
    order = [3, 0, 5, 1, 4, 2]
    straight = cut_positions(pristine_tree, DR10_SOUTH, bricks, ra, dec, SIZE)
    mixed = cut_positions(pristine_tree, DR10_SOUTH, bricks, ra[order], dec[order], SIZE)
    assert [s.brickname for s in straight] == [east.name] * 3 + [west.name] * 3
    for k, i in enumerate(order):
        assert mixed[k].image.tobytes() == straight[i].image.tobytes()


def test_position_without_a_brick_is_outside_the_footprint(pristine_tree, bricks):
    (stamp,) = cut_positions(pristine_tree, DR10_SOUTH, bricks, [200.0], [-40.0], SIZE)
    assert stamp.status == "outside_footprint"


@pytest.mark.parametrize(
    ("product", "band", "status"),
    [
        ("image", "g", "missing_band_g"),
        ("image", "z", "missing_band_z"),
        ("invvar", "r", "missing_invvar_r"),
        ("psfsize", "r", "missing_psfsize_r"),
        ("maskbits", None, "missing_maskbits"),
    ],
)
def test_missing_files_are_statuses(tree, brick, product, band, status):
    brick.file(tree, product, band).unlink()
    assert cut(tree, brick, 200.0, 200.0).status == status


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    ("product", "band"), [("image", "z"), ("invvar", "g"), ("psfsize", "r"), ("maskbits", None)]
)
def test_truncated_files_are_statuses(tree, brick, product, band, fraction):
    path = brick.file(tree, product, band)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    label = product if band is None else f"{product}_{band}"
    assert cut(tree, brick, 200.0, 200.0).status == f"unreadable_{label}"


PLANES = [("image", "r"), ("psfsize", "g"), ("maskbits", None)]


def compressed(path):
    """Return byte offsets of the tile table and of its heap, and (bytes, offset in the heap) per tile."""
    with fits.open(path, disable_image_compression=True) as hdus:
        header, table = hdus[1].header, hdus[1].fileinfo()["datLoc"]
        rows, width = header["NAXIS2"], header["NAXIS1"]
    raw = path.read_bytes()[table : table + rows * width]
    tiles = np.frombuffer(raw, ">i4").reshape(rows, width // 4)[:, :2]
    return table, table + rows * width, width, tiles


@pytest.mark.parametrize(("product", "band"), PLANES)
def test_a_damaged_tile_costs_the_stamps_that_need_it_and_no_other(tree, brick, product, band):
    path = brick.file(tree, product, band)
    _, heap, _, tiles = compressed(path)
    count, offset = tiles[6]  # second row, second column of 5 x 5
    content = bytearray(path.read_bytes())
    content[heap + offset : heap + offset + count] = b"\xff" * count
    path.write_bytes(bytes(content))
    label = product if band is None else f"{product}_{band}"
    with BrickCoadd(tree, DR10_SOUTH, brick.name) as coadd:
        stamps = coadd.cut([150.0, 350.0, 210.0], [150.0, 350.0, 150.0], SIZE)
    inside, elsewhere, beside = (stamp.status for stamp in stamps)
    assert (inside, elsewhere) == (f"unreadable_{label}", "ok")
    assert beside == ("ok" if product == "psfsize" else f"unreadable_{label}")  # reaches x = 190


@pytest.mark.parametrize("value", [-1, 2**31 - 1, 10**6])
@pytest.mark.parametrize(("product", "band"), PLANES)
def test_tiles_that_point_out_of_the_file_are_refused_not_followed(tree, brick, product, band, value):
    path = brick.file(tree, product, band)
    table, _, width, _ = compressed(path)
    for word in (0, 4):  # bytes of the tile, and where they begin
        content = bytearray(path.read_bytes())
        at = table + 12 * width + word
        content[at : at + 4] = np.array(value, ">i4").tobytes()
        path.write_bytes(bytes(content))
        label = product if band is None else f"{product}_{band}"
        assert cut(tree, brick, 250.0, 250.0).status == f"unreadable_{label}"


def test_another_bricks_file_under_this_name_is_refused(tree, brick):
    other = sky_tree.pair()[1]
    shutil.copy(other.file(tree, "image", "z"), brick.file(tree, "image", "z"))
    assert cut(tree, brick, 200.0, 200.0).status == "unreadable_image_z"


def test_planes_of_another_size_are_refused(tree, brick):
    sky_tree.write_plane(brick.file(tree, "invvar", "r"), np.ones((300, 420), "f4"), brick.wcs, "invvar")
    assert cut(tree, brick, 200.0, 200.0).status == "unreadable_invvar_r"


@pytest.mark.parametrize(
    "change", [{"cd": [[1, 0], [0, 1]]}, {"cd": [[-2, 0], [0, 2]]}, {"cd": [[0, 1], [1, 0]]}]
)
def test_a_wcs_that_is_not_north_up_at_the_survey_scale_is_refused(tree, brick, change):
    wcs = brick.wcs
    wcs.wcs.cd = np.array(change["cd"]) * sky_tree.SCALE_DEG
    sky_tree.write_plane(brick.file(tree, "image", "g"), np.zeros((420, 420), "f4"), wcs, "image")
    with BrickCoadd(tree, DR10_SOUTH, brick.name) as coadd, pytest.raises(CoaddError) as caught:
        coadd.pixel_positions([brick.ra], [brick.dec])
    assert caught.value.status == "unreadable_wcs"


def test_bad_pixels_are_counted_band_by_band(tree, brick):
    def mask(data):
        data[200, 200:210] |= 1 << MASK_BITS["SATUR_G"]
        data[201, 200:205] |= 1 << MASK_BITS["ALLMASK_Z"]
        data[202, 200:202] |= 1 << MASK_BITS["MEDIUM"]
        data[203, 200:220] |= 1 << MASK_BITS["WISEM1"]

    rewrite(tree, brick, "maskbits", None, mask)
    rewrite(tree, brick, "invvar", "r", lambda data: data.__setitem__(np.s_[202:204, 200], 0.0))
    stamp = cut(tree, brick, 205.0, 205.0)
    # r: 2 MEDIUM pixels, one of them with zero invvar as well, and one more zero.
    assert stamp.bad_pixel_frac * SIZE**2 == pytest.approx([12.0, 3.0, 7.0])


def test_not_finite_pixels_are_counted_and_refused(tree, brick):
    rewrite(tree, brick, "image", "r", lambda data: data.__setitem__(np.s_[190:192, 200], np.nan))
    stamp = cut(tree, brick, 205.0, 205.0)
    assert (stamp.status, stamp.nan_pixels, stamp.image) == ("non_finite", 2, None)
    assert stamp.bad_pixel_frac[1] * SIZE**2 == pytest.approx(2.0)
    assert cut(tree, brick, 300.0, 300.0).status == "ok"


def test_a_band_not_observed_at_the_galaxy_is_refused(tree, brick):
    half = CORE_PX // 2
    rewrite(
        tree,
        brick,
        "invvar",
        "z",
        lambda data: data.__setitem__(np.s_[200 - half : 201 + half, 200 - half : 201 + half], 0.0),
    )
    assert cut(tree, brick, 200.0, 200.0).status == "zero_invvar_z"
    assert cut(tree, brick, 201.0, 200.0).status == "ok"  # one column of the core was observed


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_no_seeing_at_the_position_is_refused(tree, brick, value):
    rewrite(tree, brick, "psfsize", "g", lambda data: data.__setitem__((205, 200), value))
    assert cut(tree, brick, 200.2, 204.8).status == "no_psf_g"
    assert cut(tree, brick, 201.0, 205.0).status == "ok"
