"""Pictures of one stamp: the right things at the right places, for every kind of row."""

import dataclasses

import numpy as np
import pytest
import stamp_world
from matplotlib.figure import Figure
from PIL import Image

from darkhaloscope.errors import DataError
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.reports.figures_scene import (
    draw_arc_without_seeing,
    draw_source_plane,
    grey,
    light_before_seeing,
    own_stretch,
    scene_figure,
    show_sky,
    write_caption,
)
from darkhaloscope.stamps.parts import take_apart


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def parts_of(world, kind, number=0):
    stamp = stamp_world.of_kind(world.table("stamps"), kind).slice(number, 1)
    return take_apart(
        stamp, experiment=world.experiment, host_paths=world.paths("hosts"), bank_path=world.bank_path
    )


@pytest.fixture(scope="module")
def positive(world):
    return parts_of(world, "positive")


@pytest.fixture
def axes():
    return Figure().subplots()


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("kind", ["positive", "paired", "matched_light", "unpaired"])
def test_every_kind_of_row_has_a_picture_and_equal_rows_have_equal_pictures(world, kind, tmp_path):
    parts = parts_of(world, kind, 2)
    first = scene_figure(parts, tmp_path / "a.png", verdict="bit for bit").read_bytes()
    assert scene_figure(parts, tmp_path / "b.png", verdict="bit for bit").read_bytes() == first
    assert len(first) < 150_000
    with Image.open(tmp_path / "a.png") as picture:
        assert np.asarray(picture).std() > 10


def test_a_look_alike_is_drawn_as_the_untouched_galaxy_it_is(world, tmp_path):
    bare = parts_of(world, "unpaired")
    parts = dataclasses.replace(bare, row={**bare.row, "control_kind": "hard_negative"})
    assert scene_figure(parts, tmp_path / "a.png").stat().st_size > 10_000


def test_north_is_up_and_east_is_left(axes):
    picture = np.zeros((8, 8))
    picture[7, 0] = 1.0  # largest y, smallest x: north-east
    show_sky(axes, picture, 4.0, "title")
    (image,) = axes.images
    assert image.origin == "lower"
    assert image.get_extent() == [-4.0, 4.0, -4.0, 4.0]
    assert axes.get_xlim() == (-4.0, 4.0), "x is not mirrored: it grows to the west already"
    labels = {text.get_text(): np.array(text.get_position()) for text in axes.texts}
    corner = labels["N"][0], labels["E"][1]
    assert labels["N"][1] > corner[1]
    assert labels["E"][0] < corner[0]


@pytest.mark.parametrize(("half_arcsec", "bar_arcsec"), [(8.4, 5.0), (3.0, 2.0), (1.5, 1.0), (0.4, 0.2)])
def test_the_bar_is_as_long_as_it_says(axes, half_arcsec, bar_arcsec):
    show_sky(axes, np.zeros((4, 4)), half_arcsec, "", centre_arcsec=(1.0, -2.0))
    x, y = axes.lines[0].get_data()
    assert x[1] - x[0] == pytest.approx(bar_arcsec)
    assert f'{bar_arcsec:g}"' in texts(axes)
    assert 1.0 - half_arcsec < x[0] < x[1] < 1.0 + half_arcsec
    assert -2.0 - half_arcsec < y[0] < -2.0 + half_arcsec


def test_the_arc_before_the_seeing_is_the_arc_that_was_added(positive):
    """Blurred by eye: same flux, same centroid as the survey's arc."""
    scene = positive.scene()
    half_arcsec = scene["size_px"] * scene["pixel_scale_arcsec"] / 2.0
    fine = light_before_seeing(scene, half_arcsec, (0.0, 0.0))
    blurred = render_lensed(**scene).image[0].astype(np.float64)
    step = 2 * half_arcsec / fine.shape[-1]
    flux = fine.sum(axis=(1, 2)) * (step / scene["pixel_scale_arcsec"]) ** 2
    np.testing.assert_allclose(flux, blurred.sum(axis=(1, 2)), rtol=0.02)
    np.testing.assert_allclose(centroid(fine[1], step), centroid(blurred[1], 0.262), atol=0.03)


def test_a_field_elsewhere_is_the_same_light_moved(positive):
    scene = positive.scene()
    here = light_before_seeing(scene, 6.0, (0.0, 0.0))
    there = light_before_seeing(scene, 6.0, (0.5, -0.3))
    moved = np.subtract(centroid(there[1], 0.05), centroid(here[1], 0.05))
    np.testing.assert_allclose(moved, (-0.5, 0.3), atol=0.01)


def centroid(light, step_arcsec):
    axis = (np.arange(light.shape[-1]) - (light.shape[-1] - 1) / 2) * step_arcsec
    return light.sum(0) @ axis / light.sum(), light.sum(1) @ axis / light.sum()


def test_critical_curve_and_images_lie_on_the_arc(positive, axes):
    draw_arc_without_seeing(axes, positive)
    lines = {line.get_label(): np.stack(line.get_data(), axis=1) for line in axes.lines}
    centre = positive.deflector()["lens_x_arcsec"], positive.deflector()["lens_y_arcsec"]
    radius = np.hypot(*(lines["critical curve"] - centre).T)
    assert 0.7 < np.median(radius) / positive.row["theta_e_arcsec"] < 1.4
    picture = np.asarray(axes.images[0].get_array()).mean(axis=-1)
    extent = axes.images[0].get_extent()
    brightness = [
        picture[
            int((y - extent[2]) / (extent[3] - extent[2]) * 240),
            int((x - extent[0]) / (extent[1] - extent[0]) * 240),
        ]
        for x, y in lines["images of the source's centre"]
    ]
    assert min(brightness) > 2 * np.median(picture), "every image of the source's centre is lit"


def test_the_source_is_drawn_where_it_stands_among_the_caustics(positive, axes):
    draw_source_plane(axes, positive)
    labels = [line.get_label() for line in axes.lines]
    assert {"caustic", "cut"} <= set(labels)
    picture = np.asarray(axes.images[0].get_array(), dtype=float).mean(axis=-1)
    left, right, bottom, top = axes.images[0].get_extent()
    light = picture - np.median(picture)
    light[light < 0.3 * light.max()] = 0.0
    step = (right - left) / 240
    x, y = centroid(light, step)
    place = (x + (left + right) / 2, y + (bottom + top) / 2)
    row, lens = positive.row, positive.deflector()
    expected = (lens["lens_x_arcsec"] + row["src_x_arcsec"], lens["lens_y_arcsec"] + row["src_y_arcsec"])
    np.testing.assert_allclose(place, expected, atol=0.15)


def test_the_caption_holds_lens_seeing_and_signal_to_noise_of_every_band(positive, axes):
    write_caption(axes, positive, "bit for bit")
    said = " ".join(texts(axes))
    row = positive.row
    for value in (
        f'θ_E {row["theta_e_arcsec"]:.3f}"',
        f"q {row['lens_q']:.3f}",
        f"μ {row['magnification']:.2f}",
        row["source_id"],
        "made again: bit for bit",
        *(f"{row[f'arc_snr_footprint_{b}']:.1f}" for b in "grz"),
        *(f"{row[f'psf_fwhm_{b}_arcsec']:.2f}" for b in "grz"),
    ):
        assert value in said


def test_the_caption_says_when_the_flux_was_chosen(positive, axes):
    write_caption(axes, positive, "")
    assert not any("flux chosen" in text for text in texts(axes))
    chosen = {**positive.row, "target_snr": 12.34, "sampling_weight": 0.5678}
    write_caption(axes, dataclasses.replace(positive, row=chosen), "")
    assert "flux chosen for S/N 12.3, weight 0.568" in texts(axes)


def test_the_caption_of_a_control_names_no_lens(world, axes):
    write_caption(axes, parts_of(world, "paired"), "")
    said = " ".join(texts(axes))
    assert "θ_E" not in said
    assert "S/N" not in said
    assert "seeing" in said


def test_what_was_added_is_the_stamp_minus_its_host(world):
    assert np.abs(parts_of(world, "paired").added).max() == 0.0
    assert parts_of(world, "positive").added.sum() > 0.0


def test_only_lensed_light_has_a_scene(world):
    with pytest.raises(DataError, match=r"no lensed light.*matched_light"):
        parts_of(world, "matched_light").scene()


def test_stretches_show_faint_light_and_blank_sky(positive):
    faint = 1e-4 * positive.added
    assert own_stretch(faint)[1].max() > 0.1
    np.testing.assert_array_equal(own_stretch(np.zeros((3, 4, 4))), 0.0)
    assert np.ptp(grey(np.zeros((4, 4)))) == 0.0
    with_hole = positive.host[1].copy()
    with_hole[0, 0] = np.nan
    assert np.isfinite(grey(with_hole)).all()
    assert 0.0 <= grey(with_hole).min() < grey(with_hole).max() == 1.0
