"""Features: what is measured is what it is called, in either view and any batching."""

from dataclasses import replace

import gate_world
import numpy as np
import pytest

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.gates import views
from darkhaloscope.gates.features import measure_sample


def test_apertures_hold_the_light_of_a_known_disc():
    images = np.zeros((1, 3, 64, 64))
    images[0, 0, 31, 31] = 1.0  # 0.7 px from the centre
    images[0, 1, 31, 38] = 2.0  # 6.5 px
    images[0, 2, 31, 44] = 4.0  # 12.5 px
    seen = views.view_features(images, images)
    assert seen.apertures[0].tolist() == [[1.0, 0.0, 0.0], [1.0, 2.0, 0.0]]
    discs = (np.hypot(*np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5)) < 8).sum()
    assert seen.brightness_r[0] == pytest.approx(2.0 / discs)
    core = dict(zip(views.CORE_STATISTICS, seen.core[0, :7], strict=True))
    assert core["max"] == 1.0
    assert core["median"] == core["min"] == 0.0


def test_model_view_is_the_spec_and_its_apertures_are_linear(good):
    spec = gate_world.spec_of(good.world.experiment)
    images = tabular.pixels(good.table, "image")[:40]
    model = spec.images(images)
    linear = replace(spec, clip=1e9).images(images)
    assert np.array_equal(np.clip(linear, -spec.clip, spec.clip), model)
    expected = views.view_features(linear, model)
    assert np.allclose(good.sample.model.apertures[:40], expected.apertures)
    assert np.allclose(good.sample.model.core[:40], expected.core)
    assert good.sample.model.core[:, 3].max() <= spec.clip  # the largest pixel of the clipped view


def test_normalisation_statistics_are_those_of_the_outer_region(good):
    image = tabular.pixels(good.table, "image")[3, 1]
    radius = np.hypot(*np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5))
    outer = image[radius > 16]
    assert good.sample.normalisation["median_r"][3] == pytest.approx(np.median(outer), rel=1e-5)
    mad = 1.4826 * np.median(np.abs(outer - np.median(outer)))
    assert good.sample.normalisation["sigma_r"][3] == pytest.approx(mad, rel=1e-5)


def test_sums_and_rows_follow_the_table(good):
    image = tabular.pixels(good.table, "image")
    assert np.allclose(good.sample.total_nmgy, image.sum(axis=(2, 3), dtype=np.float64))
    assert good.sample.table["task_id"].to_pylist() == good.table["task_id"].to_pylist()
    shown = gate_world.kinds(good.table)[good.sample.probe_rows]
    assert set(shown) == {"positive", "paired", "unpaired", "matched_light"}
    snr = good.sample.column("arc_snr_footprint_r")[good.sample.probe_rows]
    assert (snr[shown == "positive"] > 8.0).all()
    assert good.sample.probe_raw.shape[1:] == (3, 40, 40)


def test_radial_medians_are_those_of_two_pixel_annuli(good):
    image = tabular.pixels(good.table, "image")[:5]
    radius = np.hypot(*np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5))
    found = views.radial_medians(image)
    assert found.shape == (5, 3, 16)
    for k in (0, 1, 7, 15):
        annulus = (radius >= 2 * k) & (radius < 2 * k + 2)
        assert np.allclose(found[:, :, k], np.median(image[:, :, annulus].astype(float), axis=2))
    # a compact source beside the galaxy moves no median, a ring moves its own
    spot, ring = np.zeros((1, 3, 64, 64)), np.zeros((1, 3, 64, 64))
    spot[0, :, 30:34, 40:44] = 1.0
    ring[0, :, (radius >= 10) & (radius < 12)] = 1.0
    assert not views.radial_medians(spot).any()
    assert np.flatnonzero(views.radial_medians(ring)[0, 0]).tolist() == [5]


def test_colours_are_those_of_the_light_and_exist_without_it():
    flux = np.array([[[1.0, 2.0, 4.0], [2.0, 4.0, 8.0]], [[0.0, 1.0, 1.0], [-1.0, 1.0, 2.0]]])
    seen = views.Features(flux, np.zeros((2, 21)), np.zeros(2), np.zeros((2, 3, 16)))
    mags = views.core_colours_mag(seen)
    assert mags[0] == pytest.approx([2.5 * np.log10(2.0)] * 2)
    assert np.isnan(mags[1, 0])
    assert np.isfinite(views.colour_table(seen)).all()
    redder = replace(seen, apertures=flux * np.array([0.8, 1.0, 1.0]))
    assert views.colour_table(seen).shape == (2, 6)
    assert views.core_colours_mag(redder)[0, 0] - mags[0, 0] == pytest.approx(-2.5 * np.log10(0.8))


def test_matched_light_whose_twin_is_sampled_joins_the_sample(good):
    """A sample by host would seldom hold both twins; arcs are compared with their own light."""

    class Few(gate_world.Rows):
        def sample(self, n_hosts_per_class, *, seed, columns=None):
            del seed
            positives = np.flatnonzero(gate_world.kinds(self.table) == "positive")[:n_hosts_per_class]
            return self.table.take(positives).select(columns)

    spec = gate_world.spec_of(good.world.experiment)
    sample = measure_sample(Few(good.table), hosts_per_class=3, spec=spec, seed=1, probe_min_snr=0.0)
    kinds = gate_world.kinds(sample.table).tolist()
    assert sorted(kinds) == ["matched_light"] * 3 + ["positive"] * 3
    tasks = gate_world.values(sample.table, "task_id")[np.array(kinds) == "positive"]
    twins = gate_world.values(sample.table, "twin_task_id")[np.array(kinds) == "matched_light"]
    assert set(tasks) == set(twins)


def test_a_stamp_without_scatter_is_left_out_and_counted(good):
    image = tabular.pixels(good.table, "image").copy()
    image[2, 1] = 0.25
    sample = gate_world.sample_of(gate_world.changed(good.table, image=image), good.world.experiment)
    assert sample.unusable == 1
    assert sample.table.num_rows == good.table.num_rows - 1


def test_nothing_usable_is_an_error(good):
    image = np.full_like(tabular.pixels(good.table, "image")[:5], np.nan)
    with pytest.raises(DataError, match="No usable stamp"):
        gate_world.sample_of(gate_world.changed(good.table.slice(0, 5), image=image), good.world.experiment)


def test_features_of_aperture_light_are_finite_where_there_is_none():
    empty = views.Features(np.zeros((4, 2, 3)), np.zeros((4, 21)), np.zeros(4), np.zeros((4, 3, 16)))
    table = views.aperture_table(empty)
    assert table.shape == (4, 16)
    assert np.isfinite(table).all()
