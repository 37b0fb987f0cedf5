"""Host cutouts are found by id, cropped about their galaxy, and judged from pixels alone."""

import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.stamps.hostpixels import load_host_stamps, locate_hosts
from darkhaloscope.survey.release import get_release

SIZE = stamp_world.PROFILE.stamp_px
RELEASE = get_release("dr10-south")


def load(paths, ids, *, size_px=SIZE, limit=0.2, photon_noise=True):
    return load_host_stamps(
        locate_hosts(paths, ids),
        size_px=size_px,
        release=RELEASE,
        max_bad_pixel_frac=limit,
        photon_noise=photon_noise,
    )


@pytest.mark.parametrize("size", [64, 65])
def test_stamps_are_the_hosts_own_pixels_about_the_galaxy(world, size):
    table = stamp_world.hosts()
    ids = table["host_id"].to_pylist()
    chosen = [ids[i] for i in (90, 3, 47, 48)]
    found = load(world.paths("hosts"), chosen, size_px=size)
    image = tabular.pixels(table, "image")
    centre = (stamp_world.HOST_PX - 1) / 2
    for host_id in chosen:
        at, row = found.row_of[host_id], ids.index(host_id)
        x, y = (table[name][row].as_py() for name in ("x_offset_px", "y_offset_px"))
        dx, dy = found.offset_px[at]
        assert max(abs(dx), abs(dy)) <= 0.5
        # The galaxy is at the same pixel of the survey, seen from either stamp.
        left = centre + x - ((size - 1) / 2 + dx)
        low = centre + y - ((size - 1) / 2 + dy)
        assert left == pytest.approx(round(left), abs=1e-9)
        left, low = round(left), round(low)
        np.testing.assert_array_equal(found.image[at], image[row, :, low : low + size, left : left + size])
    assert found.status == ["ok"] * 4
    assert sorted(found.row_of) == sorted(chosen)


def test_only_the_wanted_rows_are_located(world):
    ids = stamp_world.hosts()["host_id"].to_pylist()
    located = locate_hosts(world.paths("hosts"), [ids[0], ids[-1], "10000-0-0"])
    assert [part["rows"] for part in located] == [[0], [47]]


def poke_nan(image, invvar, mask):
    image[1, 50, 50] = np.nan


def mask_corner(image, invvar, mask):
    mask[:40, :] |= 1 << 7  # ALLMASK_Z: rows 0-21 of the stamp


def only_geometry(image, invvar, mask):
    mask[:] |= 1  # NPRIMARY


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (stamp_world.clear_band(2), "missing_band_z"),
        (stamp_world.clear_band(0), "missing_band_g"),
        (poke_nan, "non_finite"),
        (mask_corner, "bad_pixels_z"),
        (only_geometry, "ok"),
    ],
)
def test_bad_pixels_are_named(tmp_path, change, status):
    table = stamp_world.hosts().slice(0, 4)
    ids = table["host_id"].to_pylist()
    path = stamp_world.damaged_hosts(tmp_path, table, change, {ids[1]})
    found = load([path], ids)
    assert found.status == ["ok", status, "ok", "ok"]


def test_a_nan_outside_the_stamp_does_not_matter(tmp_path):
    def far(image, invvar, mask):
        image[1, 2, 2] = np.nan

    table = stamp_world.hosts().slice(0, 1)
    path = stamp_world.damaged_hosts(tmp_path, table, far, set(table["host_id"].to_pylist()))
    assert load([path], table["host_id"].to_pylist()).status == ["ok"]


def test_photon_noise_needs_a_sky_level_for_every_class_alike(tmp_path):
    table = stamp_world.replace(stamp_world.hosts().slice(0, 1), sky_g_nmgy=[0.0])
    path = stamp_world.damaged_hosts(tmp_path, table, None, set())
    ids = table["host_id"].to_pylist()
    assert load([path], ids).status == ["no_sky_level_g"]
    assert load([path], ids, photon_noise=False).status == ["ok"]


def test_a_cutout_smaller_than_the_stamp_is_named(world):
    ids = stamp_world.hosts()["host_id"].to_pylist()[:1]
    assert load(world.paths("hosts"), ids, size_px=102).status == ["cutout_too_small"]


def test_a_host_in_two_files_is_refused(tmp_path):
    table = stamp_world.hosts().slice(0, 2)
    path = stamp_world.damaged_hosts(tmp_path, table, None, set())
    with pytest.raises(DataError, match="twice"):
        load([path, path], table["host_id"].to_pylist())


def test_hosts_of_several_row_groups_keep_their_own_pixels(world, tmp_path):
    """More hosts than a row group holds, some of them unusable, asked for with gaps."""
    table = stamp_world.hosts().slice(0, 40)
    ids = table["host_id"].to_pylist()
    status = ["ok"] * 40
    status[17] = "outside_footprint"
    table = stamp_world.replace(table, status=status)
    path = stamp_world.damaged_hosts(tmp_path, table, None, set())
    chosen = ids[3:39:2]
    found = load([path], chosen)
    whole = {name: tabular.pixels(table, name) for name in ("image", "invvar", "maskbits")}
    assert list(found.row_of) == chosen
    for host_id in chosen:
        at, row = found.row_of[host_id], ids.index(host_id)
        if row == 17:
            assert found.status[at] == "outside_footprint"
            assert not found.image[at].any()
            assert not found.good[at].any()
            continue
        assert found.status[at] == "ok"
        for name, pixels in whole.items():
            stamp = getattr(found, name)[at]
            assert any(
                np.array_equal(stamp, pixels[row][..., y : y + SIZE, x : x + SIZE])
                for x in (18, 19)
                for y in (18, 19)
            )
        assert found.sky_nmgy[at].tolist() == list(stamp_world.SKY_NMGY)


def test_the_row_of_an_absent_host_is_blank(world):
    found = load(world.paths("hosts"), stamp_world.hosts()["host_id"].to_pylist()[:2])
    for name in ("image", "invvar", "maskbits", "good", "good_px", "nan_px"):
        assert not np.asarray(getattr(found, name)[-1]).any()
    assert np.isnan(found.offset_px[-1]).all()


def test_pixels_are_counted_as_they_are(tmp_path):
    def damage(image, invvar, mask):
        image[0, 50, 50] = np.nan  # the same pixel in two bands is one pixel
        invvar[2, 50, 50] = np.inf
        image[1, 40, 60] = -np.inf
        invvar[1, 30:34, 30:35] = 0.0
        mask[20:22, 40:50] |= 1 << 6  # ALLMASK_R
        mask[70, 70] |= 1 << 5 | 1 << 6  # ALLMASK_G and ALLMASK_R

    table = stamp_world.hosts().slice(0, 1)
    path = stamp_world.damaged_hosts(tmp_path, table, damage, set(table["host_id"].to_pylist()))
    found = load([path], table["host_id"].to_pylist())
    assert found.nan_px[0] == 2
    np.testing.assert_array_equal(found.good_px[0], found.good[0].sum(axis=(1, 2)))
    assert (SIZE**2 - found.good_px[0]).tolist() == [1, 20 + 20 + 1, 0]
    assert found.status == ["non_finite"]
