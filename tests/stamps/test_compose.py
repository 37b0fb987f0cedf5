"""The light of a row on the pixels of its host."""

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import ContractError
from darkhaloscope.lensing import snr
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.schema import per_band
from darkhaloscope.sources import open_sources
from darkhaloscope.stamps.light import light_radius_px

SCALE_ARCSEC = 0.262
LENS = (
    "theta_e_arcsec", "lens_q", "lens_phi_rad", "gamma1", "gamma2",
    "src_x_arcsec", "src_y_arcsec", "src_rotation_rad", "src_flip",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(world):
    return world.table("manifest")


@pytest.fixture(scope="module")
def quiet():
    """The default experiment without photon noise: differences are the light itself."""
    return stamp_world.experiment(noise={"arc_shot_noise": False})


@pytest.fixture(scope="module")
def stamps(world, rows, quiet):
    return stamp_world.stamps_of(world, rows, chosen=quiet)


@pytest.fixture(scope="module")
def added(stamps):
    """Light by task id: stamp minus the paired control of the same host."""
    images = tabular.pixels(stamps, "image").astype(np.float64)
    bare = {
        host: image
        for host, kind, image in zip(
            stamps["host_id"].to_pylist(), stamps["control_kind"].to_pylist(), images, strict=True
        )
        if kind == "paired"
    }
    return {
        task: image - bare[host]
        for task, host, image in zip(
            stamps["task_id"].to_pylist(), stamps["host_id"].to_pylist(), images, strict=True
        )
        if host in bare
    }


def test_controls_with_nothing_added_are_the_host_bit_for_bit(world, stamps):
    hosts = {row: i for i, row in enumerate(stamp_world.hosts()["host_id"].to_pylist())}
    whole = tabular.pixels(stamp_world.hosts(), "image")
    for kind in ("paired", "unpaired"):
        part = stamp_world.of_kind(stamps, kind)
        for host, image in zip(part["host_id"].to_pylist(), tabular.pixels(part, "image"), strict=True):
            assert image.tobytes() in {
                np.ascontiguousarray(whole[hosts[host], :, y : y + 64, x : x + 64]).tobytes()
                for x in (18, 19)
                for y in (18, 19)
            }


def test_recorded_flux_is_the_flux_on_the_stamp(stamps, added):
    for kind in ("positive", "matched_light"):
        part = stamp_world.of_kind(stamps, kind)
        recorded = np.stack([part[name].to_numpy() for name in per_band("arc_flux_{b}_nmgy")], axis=1)
        found = np.stack([added[task].sum(axis=(1, 2)) for task in part["task_id"].to_pylist()])
        np.testing.assert_allclose(found, recorded, rtol=1e-4)


def test_magnification_links_source_and_arc(stamps):
    part = stamp_world.of_kind(stamps, "positive")
    flux = 10 ** (0.4 * (22.5 - part["src_mag_r"].to_numpy())) * part["magnification"].to_numpy()
    ratio = part["arc_flux_r_nmgy"].to_numpy() / flux
    # The stamp loses the PSF wings and the outermost arcs, never gains.
    assert ratio.max() < 1.001
    assert np.median(ratio) > 0.97


def test_matched_light_has_the_flux_and_colour_of_its_twin(stamps):
    by_id = {row: i for i, row in enumerate(stamps["task_id"].to_pylist())}
    part = stamp_world.of_kind(stamps, "matched_light")
    twins = stamps.take(pa.array([by_id[name] for name in part["twin_task_id"].to_pylist()]))
    for name in per_band("arc_flux_{b}_nmgy"):
        np.testing.assert_allclose(part[name].to_numpy(), twins[name].to_numpy(), rtol=1e-6)


def test_matched_light_lies_at_the_drawn_quantile_of_its_twins_light(world, rows, stamps, added):
    """The radius is found again from an image of the twin at the sharpest seeing."""
    twins = {row["task_id"]: row for row in rows.to_pylist()}
    places = stamps.select(["task_id", "x_offset_px", "y_offset_px"]).to_pylist()
    place = {row["task_id"]: (row["x_offset_px"], row["y_offset_px"]) for row in places}
    axis = StampGeometry(64, 1.0).axis_arcsec()
    off = []
    with open_sources("cosmos", world.bank_path) as sources:
        for row in stamp_world.of_kind(rows, "matched_light").to_pylist():
            twin = twins[row["twin_task_id"]]
            x, y = place[twin["task_id"]]
            arc = render_lensed(
                sources.templates([sources.index_of(twin["source_id"])]),
                template_scale_arcsec=sources.pixel_scale_arcsec,
                size_px=64,
                pixel_scale_arcsec=SCALE_ARCSEC,
                lens_x_arcsec=x * SCALE_ARCSEC + twin["lens_x_arcsec"],
                lens_y_arcsec=y * SCALE_ARCSEC + twin["lens_y_arcsec"],
                psf_fwhm_arcsec=[[0.4]],
                flux_nmgy=[[1.0]],
                **{name: twin[name] for name in LENS},
            ).image[0, 0]
            radius = np.hypot(axis[None, :] - x, axis[:, None] - y)
            order = np.argsort(radius, axis=None)
            share = np.cumsum(np.maximum(arc.ravel()[order], 0.0))
            found = radius.ravel()[order][np.searchsorted(share, row["light_quantile"] * share[-1])]
            if found > 15.0:
                continue
            # The source's own spread and that of the sharp seeing, mean squared radii in px.
            template = sources.templates([sources.index_of(twin["source_id"])])[0]
            y_px, x_px = np.indices(template.shape) - 47.5
            spread = (template * (x_px**2 + y_px**2)).sum() * (0.03 / SCALE_ARCSEC) ** 2
            spread += (0.4 / SCALE_ARCSEC) ** 2 / (4.0 * (2.0 ** (1 / 3.5) - 1.0)) / 1.5
            found = np.sqrt(max(found**2 - spread, 0.0))
            light = added[row["task_id"]][1]
            centroid = np.array([light.sum(axis=0) @ axis, light.sum(axis=1) @ axis]) / light.sum()
            azimuth = row["light_azimuth_rad"]
            direction = np.array([np.cos(azimuth), np.sin(azimuth)])
            off.append(centroid - place[row["task_id"]] - found * direction)
    assert len(off) > 40
    # A template's centroid is not exactly its middle, and wings beyond the stamp pull it inwards.
    assert np.abs(off).max() < 0.6
    assert np.abs(np.mean(off, axis=0)).max() < 0.1


def test_matched_light_is_spread_over_radii_like_the_arcs(stamps, added):
    """Light at a radius drawn from arcs as the seeing blurs them would be blurred twice: 0.08 too far out."""
    radius = StampGeometry(64, 1.0).radius_px()
    mean = {}
    for kind in ("positive", "matched_light"):
        ids = stamp_world.of_kind(stamps, kind)["task_id"].to_pylist()
        light = np.stack([added[task][1] for task in ids])
        total = light.sum(axis=(1, 2))
        mean[kind] = [
            (light[:, (radius >= low) & (radius < high)].sum(axis=1) / total).mean()
            for low, high in ((0, 5), (5, 10), (10, 16), (16, 46))
        ]
    assert np.abs(np.subtract(mean["positive"], mean["matched_light"])).max() < 0.03


def test_light_radius_is_a_quantile():
    radius = StampGeometry(65, 1.0).radius_px(0.25, -0.25)
    light = np.exp(-0.5 * (radius / 6.0) ** 2).astype(np.float32)
    for quantile in (0.1, 0.5, 0.9):
        expected = 6.0 * np.sqrt(-2.0 * np.log(1.0 - quantile))
        assert light_radius_px(light, (0.25, -0.25), quantile) == pytest.approx(expected, abs=0.1)


def test_signal_to_noise_is_that_of_the_added_light(stamps, added):
    part = stamp_world.of_kind(stamps, "positive").slice(0, 12)
    invvar = tabular.pixels(part, "invvar")
    for i, task in enumerate(part["task_id"].to_pylist()):
        for b, band in enumerate("grz"):
            for name, estimator in (("matched", snr.matched), ("footprint", snr.footprint)):
                recorded = part[f"arc_snr_{name}_{band}"][i].as_py()
                assert recorded == pytest.approx(float(estimator(added[task][b], invvar[i, b])), rel=0.02)
        assert part["arc_snr_stamp_r"][i].as_py() == pytest.approx(
            float(snr.stamp(added[task][1], invvar[i, 1])), rel=1e-3
        )


def test_photon_noise_is_that_of_the_light_and_nowhere_else(world, rows, stamps):
    noisy = stamp_world.stamps_of(world, rows)
    lit = [i for i, kind in enumerate(rows["control_kind"].to_pylist()) if kind == "positive"]
    change = (tabular.pixels(noisy, "image") - tabular.pixels(stamps, "image")).astype(np.float64)[lit]
    paired = [i + 1 for i in lit]
    images = tabular.pixels(stamps, "image").astype(np.float64)
    light = images[lit] - images[paired]
    sky, ivar = np.array(stamp_world.SKY_NMGY), 1 / np.array(stamp_world.SIGMA_NMGY) ** 2
    variance = np.maximum(light, 0.0) / (sky * ivar)[:, None, None]
    bright = variance > 1e-9
    assert np.std(change[bright] / np.sqrt(variance[bright])) == pytest.approx(1.0, abs=0.05)
    unlit = [i for i, kind in enumerate(rows["control_kind"].to_pylist()) if kind in {"paired", "unpaired"}]
    np.testing.assert_array_equal(
        tabular.pixels(noisy, "image")[unlit], tabular.pixels(stamps, "image")[unlit]
    )


def test_invisible_light_changes_no_byte(world, rows):
    positives = stamp_world.of_kind(rows, "positive")
    faint = stamp_world.replace(
        positives, **{name: [99.0] * positives.num_rows for name in per_band("src_mag_{b}")}
    )
    found = stamp_world.stamps_of(world, faint)
    bare = stamp_world.stamps_of(world, stamp_world.of_kind(rows, "paired"))
    assert set(found["status"].to_pylist()) == {"ok"}
    for name in ("image", "invvar", "maskbits"):
        assert found[name].equals(bare[name])


def test_a_host_that_cannot_carry_a_stamp_loses_every_class(world, rows, tmp_path):
    lost = rows["host_id"][0].as_py()
    path = stamp_world.damaged_hosts(tmp_path, stamp_world.hosts(), stamp_world.clear_band(2), {lost})
    found = stamp_world.stamps_of(world, rows, host_paths=[path])
    status = {}
    for row in found.drop_columns(["image", "invvar", "maskbits"]).to_pylist():
        status.setdefault(row["status"], []).append(row)
    assert {row["control_kind"] for row in status["missing_band_z"]} == {
        "positive",
        "paired",
        "matched_light",
    }
    assert {row["host_id"] for row in status["missing_band_z"]} == {lost}
    [orphan] = status["twin_lost"]
    assert orphan["pair_id"] == rows["pair_id"][0].as_py()
    assert len(status["ok"]) == rows.num_rows - 4
    for row in (*status["missing_band_z"], orphan):
        assert row["magnification"] is None
        assert row["arc_flux_r_nmgy"] is None
    assert status["missing_band_z"][0]["bandset"] == "gr"
    assert found["image"].null_count == 4


def test_a_host_that_is_nowhere_is_named(world, rows):
    found = stamp_world.stamps_of(world, rows.slice(0, 1), host_paths=world.paths("hosts")[1:])
    assert (
        rows["host_id"][0].as_py()
        not in tabular.read_table(world.paths("hosts")[1], ["host_id"])[0].to_pylist()
    )
    assert found["status"].to_pylist() == ["host_missing"]
    assert found["bandset"].to_pylist() == [""]
    assert found["image"].null_count == 1


def test_light_that_misses_the_stamp_is_named(world, rows):
    one = stamp_world.of_kind(rows, "positive").slice(0, 1)
    far = stamp_world.replace(one, lens_x_arcsec=[40.0])
    assert stamp_world.stamps_of(world, far)["status"].to_pylist() == ["light_off_stamp"]


def test_matched_light_without_its_twin_is_a_bug(world, rows):
    alone = stamp_world.of_kind(rows, "matched_light").slice(0, 1)
    with pytest.raises(ContractError, match="twin_task_id"):
        stamp_world.stamps_of(world, alone)
