"""The compiled rays: polynomials, bounds, vector instructions, and every ray against lenstronomy."""

import re

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features

from darkhaloscope.lensing import kernels, reference, sie, template_kernels
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.sampling import Sampling, ray_patterns
from darkhaloscope.lensing.scene import Scenes, scene_constants
from darkhaloscope.lensing.trial import hard_scenes, trial_scenes

Z = np.linspace(0.0, (1 - sie.Q_MIN) / (1 + sie.Q_MIN), 20001)


def test_polynomials_on_their_whole_interval():
    z = Z.astype(np.float32)
    np.testing.assert_allclose(kernels.arctan_series(z), sie.arctan_over_argument(Z), atol=2e-7)
    np.testing.assert_allclose(kernels.arctanh_series(z), sie.arctanh_over_argument(Z), atol=4e-7)


def prepared(scenes_dict):
    """Return templates in their ring, scenes, constants, template scale and extents."""
    drawn = dict(scenes_dict)
    templates = drawn.pop("templates")
    scale = drawn.pop("template_scale_arcsec")
    del drawn["size_px"], drawn["pixel_scale_arcsec"]
    n, t = templates.shape[:2]
    scenes = Scenes.of(n, **drawn)
    ring = kernels.TEMPLATE_RING_PX
    padded = np.ascontiguousarray(np.pad(templates, ((0, 0), (ring, ring), (ring, ring))))
    sums, extents, roughness = np.empty((3, n))
    template_kernels.measure_templates(templates, sums, extents, roughness, np.empty((3, t), np.float32))
    return padded, scenes, scene_constants(scenes, scale, t + 2 * ring, extents), scale


def shoot(padded, constants, scale, cell_arcsec, n_cells, sampling, steps_px):
    offsets, counts = ray_patterns(sampling)
    rays = kernels.BLOCK * n_cells * offsets.shape[2]
    cells = np.empty((len(padded), n_cells * n_cells), np.float32)
    kernels.shoot_rays(
        padded.reshape(len(padded), -1),
        constants.astype(np.float32),
        np.full(len(padded), steps_px, np.float32),
        scale,
        cell_arcsec,
        offsets,
        counts,
        np.empty((2, kernels.BLOCK * n_cells), np.float32),
        np.empty((2, kernels.BLOCK * n_cells), np.int32),
        np.empty(rays, np.float32),
        np.empty(rays, np.float32),
        np.empty(rays, np.int32),
        cells,
    )
    return cells.reshape(-1, n_cells, n_cells)


@pytest.mark.parametrize("make", [trial_scenes, hard_scenes])
def test_every_ray_is_lenstronomys(make):
    drawn = make(8)
    padded, scenes, constants, scale = prepared(drawn)
    n_rays, step = 320, 0.0655
    cells = shoot(padded, constants, scale, step, n_rays, Sampling(2, 1), 0.0)
    expected = scale**2 * np.array(
        [
            reference._surface_brightness(
                drawn["templates"][i].astype(np.float64), scenes, i, scale, n_rays, step, 1
            )
            for i in range(8)
        ]
    )
    peak = np.abs(expected).max(axis=(1, 2))
    assert (np.abs(cells - expected).max(axis=(1, 2)) / peak).max() < 5e-5
    # Rounding of a ray's position moves it along the steepest gradients by 1e-5 of a pixel at most.
    rms = np.sqrt(((cells - expected) ** 2).mean(axis=(1, 2))) / peak
    assert rms.max() < 1e-6


def test_rays_follow_the_compression_of_the_source():
    """Cells come nearer the average of many more rays than with rays spread evenly, at less cost."""
    padded, _, constants, scale = prepared(hard_scenes(12, seed=5))
    fine = shoot(padded, constants, scale, 0.131, 160, Sampling(2, 14), 0.0)
    adapted = shoot(padded, constants, scale, 0.131, 160, Sampling(2, 1, 0.05), 0.5)
    uniform = shoot(padded, constants, scale, 0.131, 160, Sampling(2, 4), 0.0)
    peak = fine.max(axis=(1, 2))
    rms = [np.sqrt(((cells - fine) ** 2).mean(axis=(1, 2))) / peak for cells in (adapted, uniform)]
    assert np.median(rms[0]) < 0.5 * np.median(rms[1])
    assert rms[0].max() < 0.5 * rms[1].max()


@pytest.mark.parametrize("rays", [2, 5])
def test_no_cell_is_skipped_of_which_a_ray_meets_the_template(rays):
    """Cells of many rays are the averages of cells of one ray each, which are tested one by one."""
    scenes = hard_scenes(8, seed=7)
    bright_to_the_edge = np.ones_like(scenes["templates"][:, :24, :24]) / 24**2
    padded, _, constants, scale = prepared(scenes | {"templates": bright_to_the_edge})
    n_cells, cell = 96, 0.262
    coarse = shoot(padded, constants, scale, cell, n_cells, Sampling(1, rays), 0.0)
    fine = shoot(padded, constants, scale, cell / rays, n_cells * rays, Sampling(rays, 1), 0.0)
    expected = fine.reshape(8, n_cells, rays, n_cells, rays).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse, expected, atol=2e-3 * expected.max())
    assert ((coarse != 0) == (expected != 0)).all()


def test_number_of_rays_follows_the_jacobian():
    """Rays along x and y against the distance by which neighbouring rays really part."""
    _, _, constants, _ = prepared(hard_scenes(20, seed=10))
    cell, most, density = np.float32(0.131), 16, np.float32(0.131 / 1.5)
    rng = np.random.Generator(np.random.Philox(11))
    for s in constants.astype(np.float32):
        c, frame = tuple(s[4:16]), (s[2], s[3], np.float32(0), np.float32(0), s[17], s[18])
        x, y = rng.uniform(-2.5, 2.5, (2, 30)).astype(np.float32)
        far = (
            np.hypot(s[4] * (s[2] * x + s[3] * y), s[2] * y - s[3] * x) > 5 * cell
        )  # else it changes in a cell
        x, y = x[far], y[far]
        kind = np.empty(x.size, np.int32)
        kernels.count_rays(
            c, frame, np.float32(1e6), np.float32(1), cell, density, np.int32(most), x, y, kind
        )

        def place(dx, dy, c=c, s=s, x=x, y=y):
            wide = (x.astype(np.float64) + dx, y.astype(np.float64) + dy)
            on_axes = (s[2] * wide[0] + s[3] * wide[1], s[2] * wide[1] - s[3] * wide[0])
            return np.array(
                [kernels.meet(c, np.float64(u), np.float64(v))[:2] for u, v in zip(*on_axes, strict=True)]
            ).T

        half = 0.01
        for rays, (dx, dy) in ((kind % most + 1, (half, 0)), (kind // most + 1, (0, half))):
            parted = np.hypot(*(place(dx, dy) - place(-dx, -dy))) / (2 * half)
            asked = density * parted
            assert (rays >= np.minimum(np.floor(asked * 0.97 + 0.5), most)).all()
            assert (rays <= np.minimum(1.35 * asked + 2.0, most)).all()


def test_patterns_are_centred_and_even():
    offsets, counts = ray_patterns(Sampling(2, 3))
    for across in range(1, 4):
        for upward in range(1, 4):
            row = (across - 1) + 3 * (upward - 1)
            x, y = offsets[row, :, : counts[row]]
            assert counts[row] == across * upward
            np.testing.assert_allclose([x.mean(), y.mean()], 0.0, atol=1e-7)
            np.testing.assert_allclose(np.unique(x), (np.arange(across) + 0.5) / across - 0.5, atol=1e-7)
            np.testing.assert_allclose(np.unique(y), (np.arange(upward) + 0.5) / upward - 0.5, atol=1e-7)


def test_no_light_beyond_the_reach():
    """Every ray that meets a template lies in the box; and the box is not much too large."""
    padded, scenes, constants, scale = prepared(hard_scenes(60, seed=8))
    n_cells, cell = 1024, 0.0655
    cells = shoot(padded, constants, scale, cell, n_cells, Sampling(2, 1), 0.0)
    axis = (np.arange(n_cells) + 0.5) * cell - 0.5 * n_cells * cell
    farthest = np.array([np.abs(axis[np.nonzero(image)[k]]).max() for image in cells for k in (0, 1)])
    reach = constants[:, 16]
    assert (farthest.reshape(-1, 2).max(axis=1) <= reach).all()
    lens = np.maximum(np.abs(scenes.lens_x_arcsec), np.abs(scenes.lens_y_arcsec))
    loose = lens + scenes.reach_arcsec(constants[:, 19] * scale)
    assert np.median(reach / loose) < 0.92
    assert (reach <= loose + 0.6).all()


def test_a_source_that_no_ray_meets_has_no_light():
    image = render_lensed(**(trial_scenes(1) | {"src_x_arcsec": 30.0, "theta_e_arcsec": 0.1})).image
    assert np.abs(image).max() < 1e-4


def test_extent_is_the_farthest_light_and_one_pixel_of_interpolation():
    templates = np.zeros((4, 9, 9), np.float32)
    templates[0, 4, 4] = 1.0
    templates[1, 0, 8] = 1.0
    templates[2, 3, 1] = templates[2, 4, 6] = 0.5
    templates.flags.writeable = False
    sums, extents, roughness = np.empty((3, 4))
    template_kernels.measure_templates(templates, sums, extents, roughness, np.empty((3, 9), np.float32))
    np.testing.assert_allclose(extents - np.sqrt(2), [0.0, np.sqrt(32), np.sqrt(10), 0.0])
    np.testing.assert_allclose(roughness[[0, 2, 3]], [2.0, 2.0, 0.0])
    np.testing.assert_allclose(sums, [1.0, 1.0, 1.0, 0.0])


def test_roughness_is_the_rms_gradient():
    """A Gaussian of width s has an rms gradient of 1 / s over its rms value, over two axes."""
    x, y = np.mgrid[-40:41, -40:41]
    widths = np.array([4.0, 8.0])
    templates = np.exp(-(x**2 + y**2) / (2 * widths[:, None, None] ** 2)).astype(np.float32)
    sums, extents, roughness = np.empty((3, 2))
    template_kernels.measure_templates(templates, sums, extents, roughness, np.empty((3, 81), np.float32))
    np.testing.assert_allclose(roughness, 1.0 / widths, rtol=0.02)


def test_ray_loop_uses_vector_instructions():
    features = get_host_cpu_features().flatten()
    if "+avx2" not in features:
        pytest.skip("no AVX2 on this processor")
    assembly = kernels.shoot_rays.compile()[1]
    # Blocks and rays take two square roots each, cells four: a loop that is not vectorised lacks its own.
    register = "zmm" if "+avx512f" in features else "ymm"
    assert len(re.findall(rf"vsqrtps.*%{register}", assembly)) >= 8
    assert re.search(rf"vfmadd.*%{register}", assembly)
    # A double-precision constant would halve the speed.
    assert not re.search(r"v(sqrt|mul|fmadd\d+|cvtps2)pd.*%[yz]mm", assembly)
