"""The compiled loops: polynomials, vector instructions, rays against lenstronomy."""

import numba
import numpy as np
import pytest

from darkhaloscope.lensing import kernels, reference, sie
from darkhaloscope.lensing.convolution import transfer_table
from darkhaloscope.lensing.psf import moffat_transfer
from darkhaloscope.lensing.scene import Scenes, scene_constants
from darkhaloscope.lensing.trial import trial_scenes

Z = np.linspace(0.0, (1 - sie.Q_MIN) / (1 + sie.Q_MIN), 20001)


def polynomial(coefficients):
    return np.polynomial.Polynomial(np.array(coefficients, np.float64))(Z)


def test_polynomials_on_their_whole_interval():
    p = [getattr(kernels, f"_P{i}") for i in range(9)]
    q = [getattr(kernels, f"_Q{i}") for i in range(12)]
    np.testing.assert_allclose(polynomial(p), sie.arctan_over_argument(Z), atol=1e-7)
    np.testing.assert_allclose(polynomial(q), sie.arctanh_over_argument(Z), atol=2e-7)
    assert abs(kernels.arctan_series(np.float32(Z[-1])) - sie.arctan_over_argument(Z[-1])) < 2e-7
    assert abs(kernels.arctanh_series(np.float32(Z[-1])) - sie.arctanh_over_argument(Z[-1])) < 4e-7


def test_transfer_table_between_its_entries():
    table, per_unit = transfer_table()
    x = np.linspace(0.0, 39.9, 40001)
    np.testing.assert_allclose(
        np.interp(x * per_unit, np.arange(table.size), table), moffat_transfer(x), atol=2e-6
    )
    assert table[-1] < 1e-14


def rays_of(scenes_dict, step_arcsec, n_rays):
    """Return every ray's template value, shape (n, n_rays, n_rays), and lenstronomy's."""
    drawn = dict(scenes_dict)
    templates = drawn.pop("templates")
    scale = drawn.pop("template_scale_arcsec")
    del drawn["size_px"], drawn["pixel_scale_arcsec"]
    n, t = templates.shape[:2]
    scenes = Scenes.of(n, **drawn)
    ring = kernels.TEMPLATE_RING_PX
    padded = np.ascontiguousarray(np.pad(templates, ((0, 0), (ring, ring), (ring, ring))))
    extents = np.empty(n)
    kernels.measure_extents(templates, extents)
    constants = scene_constants(scenes, scale, t + 2 * ring, extents).astype(np.float32)
    cells = np.empty((n, n_rays, n_rays), np.float32)
    kernels.shoot_rays(padded, constants, step_arcsec, 1, cells)
    expected = [
        reference._surface_brightness(
            templates[i].astype(np.float64), scenes, i, scale, n_rays, step_arcsec, 1
        )
        for i in range(n)
    ]
    return cells, np.array(expected) * scale**2


def test_every_ray_is_lenstronomys():
    cells, expected = rays_of(trial_scenes(8), 0.0655, 220)
    peak = np.abs(expected).max(axis=(1, 2))
    assert (np.abs(cells - expected).max(axis=(1, 2)) / peak).max() < 2e-5
    # Rounding of a ray's position moves it along the steepest gradients by 1e-5 of a pixel at most.
    rms = np.sqrt(((cells - expected) ** 2).mean(axis=(1, 2))) / peak
    assert rms.max() < 1e-6


def test_extent_is_the_farthest_light_and_one_pixel_of_interpolation():
    templates = np.zeros((4, 9, 9), np.float32)
    templates[0, 4, 4] = 1.0
    templates[1, 0, 8] = 1.0
    templates[2, 3, 1] = templates[2, 4, 6] = 0.5
    templates.flags.writeable = False
    extents = np.empty(4)
    kernels.measure_extents(templates, extents)
    np.testing.assert_allclose(extents - np.sqrt(2), [0.0, np.sqrt(32), np.sqrt(10), 0.0])


def test_ray_loop_uses_vector_instructions():
    if not any(word in kernels_features() for word in ("+avx2", "+avx512f")):
        pytest.skip("no AVX on this processor")
    loop = kernels.shoot_rays
    again = numba.njit(loop.nopython_signatures[0], error_model="numpy", nogil=True)(loop.py_func)
    assembly = next(iter(again.inspect_asm().values()))
    assert "vsqrtps" in assembly
    assert "vdivps" in assembly


def kernels_features():
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_features().flatten()
