"""The light of a row on the pixels of its host."""

import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.lensing import noise, snr
from darkhaloscope.schema import per_band


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
    # Fainter light counts as noiseless: less than half a step of the inverse variance.
    bright = variance * ivar[:, None, None] > 1.0 / noise.INVVAR_STEPS
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
