"""The light that rows add: as much as the twin's, where the arcs have theirs."""

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope.errors import ContractError
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.schema import per_band
from darkhaloscope.sources import open_sources
from darkhaloscope.stamps.light import light_radii_px

SCALE_ARCSEC = 0.262
FINE = 5  # rays along a pixel
LENS = (
    "theta_e_arcsec", "lens_q", "lens_phi_rad", "gamma1", "gamma2",
    "src_x_arcsec", "src_y_arcsec", "src_rotation_rad", "src_flip",
)  # fmt: skip


def test_matched_light_has_the_flux_and_colour_of_its_twin(stamps):
    by_id = {row: i for i, row in enumerate(stamps["task_id"].to_pylist())}
    part = stamp_world.of_kind(stamps, "matched_light")
    twins = stamps.take(pa.array([by_id[name] for name in part["twin_task_id"].to_pylist()]))
    for name in per_band("arc_flux_{b}_nmgy"):
        np.testing.assert_allclose(part[name].to_numpy(), twins[name].to_numpy(), rtol=1e-6)


def test_matched_light_lies_at_the_drawn_quantile_of_its_twins_light(world, rows, stamps, added):
    """The radius is found again from the oracle's image of the twin before the seeing."""
    twins = {row["task_id"]: row for row in rows.to_pylist()}
    places = stamps.select(["task_id", "x_offset_px", "y_offset_px"]).to_pylist()
    place = {row["task_id"]: (row["x_offset_px"], row["y_offset_px"]) for row in places}
    axis = StampGeometry(64, 1.0).axis_arcsec()
    fine = StampGeometry(64 * FINE, 1.0 / FINE).axis_arcsec()
    off = []
    with open_sources("cosmos", world.bank_path) as sources:
        for row in stamp_world.of_kind(rows, "matched_light").to_pylist():
            twin = twins[row["twin_task_id"]]
            x, y = place[twin["task_id"]]
            arc = reference_render(
                sources.templates([sources.index_of(twin["source_id"])]),
                template_scale_arcsec=sources.pixel_scale_arcsec,
                size_px=64 * FINE,
                pixel_scale_arcsec=SCALE_ARCSEC / FINE,
                supersampling=1,
                margin_px=0,
                with_psf=False,
                lens_x_arcsec=x * SCALE_ARCSEC + twin["lens_x_arcsec"],
                lens_y_arcsec=y * SCALE_ARCSEC + twin["lens_y_arcsec"],
                psf_fwhm_arcsec=[[1.0]],
                flux_nmgy=[[1.0]],
                **{name: twin[name] for name in LENS},
            ).image[0, 0]
            radius = np.hypot(fine[None, :] - x, fine[:, None] - y)
            order = np.argsort(radius, axis=None)
            share = np.cumsum(np.maximum(arc.ravel()[order], 0.0))
            found = radius.ravel()[order][np.searchsorted(share, row["light_quantile"] * share[-1])]
            if found > 15.0:
                continue
            # The source's own spread, its mean squared radius in px.
            template = sources.templates([sources.index_of(twin["source_id"])])[0]
            y_px, x_px = np.indices(template.shape) - 47.5
            spread = (template * (x_px**2 + y_px**2)).sum() * (0.03 / SCALE_ARCSEC) ** 2
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
    edges = np.arange(200) * 0.25
    light = np.diff(1.0 - np.exp(-0.5 * (edges / 6.0) ** 2))
    for quantile in (0.1, 0.5, 0.9):
        expected = 6.0 * np.sqrt(-2.0 * np.log(1.0 - quantile))
        assert light_radii_px(light[None], [quantile])[0] == pytest.approx(expected, abs=0.02)


def test_light_that_misses_the_stamp_is_named(world, rows):
    one = stamp_world.of_kind(rows, "positive").slice(0, 1)
    far = stamp_world.replace(one, lens_x_arcsec=[40.0])
    assert stamp_world.stamps_of(world, far)["status"].to_pylist() == ["light_off_stamp"]


def test_matched_light_without_its_twin_is_a_bug(world, rows):
    alone = stamp_world.of_kind(rows, "matched_light").slice(0, 1)
    with pytest.raises(ContractError, match="twin_task_id"):
        stamp_world.stamps_of(world, alone)
