"""A stamp taken apart and put together again."""

import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import DataError
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.stamps.parts import take_apart


def parts_of(world, stamp, chosen=None):
    return take_apart(
        stamp,
        experiment=chosen or world.experiment,
        host_paths=world.paths("hosts"),
        bank_path=world.bank_path,
    )


def test_the_scene_of_a_row_renders_its_arc(world, stamps, quiet):
    """Without photon noise, host plus the rendered scene is the stamp, to the last bit."""
    stamp = stamp_world.of_kind(stamps, "positive").slice(3, 1)
    parts = parts_of(world, stamp, quiet)
    arc = render_lensed(**parts.scene()).image[0]
    np.testing.assert_array_equal(parts.host + arc, parts.image)
    assert parts.is_lensed


def test_the_host_is_the_paired_control(world, stamps, quiet):
    pair = stamp_world.of_kind(stamps, "positive")["pair_id"][3]
    paired = stamp_world.of_kind(stamps, "paired")
    control = paired.slice(paired["pair_id"].to_pylist().index(pair.as_py()), 1)
    positive = parts_of(world, stamp_world.of_kind(stamps, "positive").slice(3, 1), quiet)
    np.testing.assert_array_equal(positive.host, tabular.pixels(control, "image")[0])
    bare = parts_of(world, control, quiet)
    assert bare.template is None
    assert not bare.is_lensed


def test_matched_light_has_a_source_and_no_lens(world, stamps, quiet):
    parts = parts_of(world, stamp_world.of_kind(stamps, "matched_light").slice(0, 1), quiet)
    assert parts.template is not None
    assert not parts.is_lensed
    flux = parts.added.sum(axis=(1, 2))
    np.testing.assert_allclose(flux, [parts.row[f"arc_flux_{b}_nmgy"] for b in "grz"], rtol=1e-3)


def test_a_chosen_flux_is_the_flux_of_the_scene(world):
    """The magnitudes of a stamp are those that were applied, not those that were drawn."""
    chosen = stamp_world.experiment(
        snr_targeting={"mode": "choose_flux", "low": 5.0, "high": 40.0}, noise={"arc_shot_noise": False}
    )
    rows = stamp_world.of_kind(stamp_world.manifest_of(chosen, world.bank_path), "positive").slice(0, 2)
    stamps = stamp_world.stamps_of(world, rows, chosen=chosen)
    for row in range(2):
        stamp = stamps.slice(row, 1)
        parts = parts_of(world, stamp, chosen)
        assert parts.row["target_snr"] == pytest.approx(parts.row["arc_snr_footprint_r"], rel=1e-3)
        assert parts.row["src_mag_r"] != rows["src_mag_r"][row].as_py()
        arc = render_lensed(**parts.scene()).image[0]
        np.testing.assert_allclose(
            parts.host + arc, parts.image, rtol=0, atol=1e-5 * np.abs(parts.image).max()
        )


def test_a_row_without_pixels_has_no_parts(world):
    stamp = world.table("stamps").slice(0, 1)
    lost = stamp_world.replace(stamp, status=["host_missing"])
    with pytest.raises(DataError, match=r"no pixels.*host_missing"):
        parts_of(world, lost)
