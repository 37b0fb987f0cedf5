"""L34: parameters were recorded that never reached a pixel."""

import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.schema import MANIFEST, Role, per_band

# Facts about the source and the lens that describe the row and bend no ray.
LABELS = {"z_lens", "z_source", "sigma_v_kms", "lens_weight"}
STEP = {
    "theta_e_arcsec": 0.01,
    "lens_q": -0.01,
    "lens_phi_rad": 0.05,
    "lens_x_arcsec": 0.01,
    "lens_y_arcsec": 0.01,
    "gamma1": 0.005,
    "gamma2": 0.005,
    "src_x_arcsec": 0.01,
    "src_y_arcsec": 0.01,
    "src_rotation_rad": 0.05,
    "light_quantile": 0.02,
    "light_azimuth_rad": 0.05,
    **dict.fromkeys(per_band("src_mag_{b}"), 0.01),
    **dict.fromkeys(per_band("psf_fwhm_{b}_arcsec"), 0.01),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def image_of(world, row):
    chosen = stamp_world.experiment(noise={"arc_shot_noise": False})
    twins = stamp_world.of_kind(world.table("manifest"), "positive")
    made = stamp_world.stamps_of(world, row, chosen=chosen, twins=twins)
    assert made["status"].to_pylist() == ["ok"]
    return tabular.pixels(made, "image")[0]


def changed(world, row, name):
    value = row[name][0].as_py()
    if name == "source_id":
        ids = set(world.table("manifest")["source_id"].drop_null().to_pylist())
        return min(ids - {value})
    return (not value) if isinstance(value, bool) else value + STEP[name]


@pytest.mark.parametrize("kind", ["positive", "matched_light"])
def test_every_recorded_parameter_changes_the_pixels(world, kind):
    row = stamp_world.of_kind(world.table("manifest"), kind).slice(4, 1)
    recorded = [name for name in MANIFEST.names(Role.TRUTH) if row[name].null_count == 0]
    names = [name for name in recorded if name not in LABELS]
    names += ["source_id", *per_band("psf_fwhm_{b}_arcsec")]
    assert len(names) >= (18 if kind == "positive" else 8)
    before = image_of(world, row)
    for name in names:
        after = image_of(world, stamp_world.replace(row, **{name: [changed(world, row, name)]}))
        assert np.abs(after - before).max() > 1e-6, name
