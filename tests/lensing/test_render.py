"""The renderer: against the oracle, against analytic truths, and against itself in other batches."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from darkhaloscope.errors import ConfigError, DataError
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.lensing.psf import moffat_enclosed_flux
from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.lensing.render import Annuli, render_lensed, render_unlensed
from darkhaloscope.lensing.sampling import (
    LENSED_ACCURACY,
    QUALITIES,
    UNLENSED_ACCURACY,
    Accuracy,
    Sampling,
)
from darkhaloscope.lensing.trial import hard_scenes, trial_scenes

PX = 0.262
SAME_RAYS = Sampling(2, 2)  # as an oracle with supersampling 4


def subset(scenes, rows):
    return {k: v[rows] if isinstance(v, np.ndarray) else v for k, v in scenes.items()}


def peak_error(image, expected):
    return np.abs(image - expected).max(axis=(2, 3)) / expected.max(axis=(2, 3))


def point_source(t=9):
    template = np.zeros((1, t, t))
    template[0, t // 2, t // 2] = 1.0
    return template


def unlensed(fwhm, *, size=64, x=0.0, y=0.0, templates=None, scale=0.01, **more):
    templates = point_source() if templates is None else templates
    arguments = {"rotation_rad": 0.0, "flip": False, "flux_nmgy": np.ones((1, len(fwhm)))} | more
    if scale < 0.03:
        arguments = {"quality": Sampling(8, 7)} | arguments  # a point needs fine cells
    return render_unlensed(
        templates,
        template_scale_arcsec=scale,
        size_px=size,
        pixel_scale_arcsec=PX,
        x_arcsec=x,
        y_arcsec=y,
        psf_fwhm_arcsec=np.array([fwhm]),
        **arguments,
    )


# ---- against lenstronomy


def test_same_rays_as_the_oracle():
    scenes = trial_scenes(16)
    found, expected = render_lensed(**scenes, quality=SAME_RAYS), reference_render(supersampling=4, **scenes)
    assert peak_error(found.image, expected.image).max() < 8e-4
    np.testing.assert_allclose(found.magnification, expected.magnification, rtol=2e-6)


def centroids(images):
    axis = np.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    total = images.sum(axis=(2, 3))
    return np.stack([(images.sum(axis=2) @ axis) / total, (images.sum(axis=3) @ axis) / total])


def accuracy(found, expected):
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    peak = peak_error(found, expected)
    flux = np.abs(found.sum(axis=(2, 3)) / expected.sum(axis=(2, 3)) - 1)
    shift = np.hypot(*(centroids(found) - centroids(expected)))
    return Accuracy(np.median(peak), peak.max(), flux.max(), shift.max())


def test_default_level_against_many_more_rays_of_the_oracle():
    scenes = hard_scenes(6, seed=5)
    expected = reference_render(supersampling=10, margin_px=20, **scenes).image
    found = accuracy(render_lensed(**scenes).image, expected)
    assert found.peak_median < 0.0012
    assert found.peak_worst < 0.005
    assert found.flux_worst < 0.005
    assert found.centroid_worst_px < 0.02


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("size", [63, 64, 101])
def test_levels_have_their_stated_errors(quality, size):
    scenes = hard_scenes(40, size_px=size, seed=4)
    expected = render_lensed(**scenes, quality=Sampling(8, 6)).image
    found = accuracy(render_lensed(**scenes, quality=quality).image, expected)
    stated = LENSED_ACCURACY[quality]
    assert found.peak_median < 1.15 * stated.peak_median
    assert (np.array(found[1:]) <= stated[1:]).all()
    coarser = accuracy(render_lensed(**scenes, quality=Sampling(2, 1)).image, expected)
    assert found.peak_worst < 0.5 * coarser.peak_worst


def test_structure_smaller_than_half_a_pixel_in_sharp_seeing():
    """A bright core close to the lens, at 0.65 arcsec: half-pixel cells err by 0.5 % of the peak."""
    scene = subset(hard_scenes(57, seed=8), [56])
    expected = render_lensed(**scene, quality=Sampling(8, 8)).image
    assert accuracy(render_lensed(**scene).image, expected).peak_worst < 0.0028


@pytest.mark.parametrize("quality", QUALITIES)
def test_unlensed_levels_have_their_stated_errors(quality):
    scenes = hard_scenes(60, seed=6)
    place = np.random.Generator(np.random.Philox(2)).uniform(-3, 3, (2, 60))

    def render(level):
        return render_unlensed(
            scenes["templates"],
            template_scale_arcsec=scenes["template_scale_arcsec"],
            size_px=64,
            pixel_scale_arcsec=PX,
            x_arcsec=place[0],
            y_arcsec=place[1],
            rotation_rad=scenes["src_rotation_rad"],
            flip=scenes["src_flip"],
            psf_fwhm_arcsec=scenes["psf_fwhm_arcsec"],
            flux_nmgy=scenes["flux_nmgy"],
            quality=level,
        ).image

    found, stated = accuracy(render(quality), render(Sampling(8, 6))), UNLENSED_ACCURACY[quality]
    assert found.peak_median < 1.15 * stated.peak_median
    assert (np.array(found[1:]) <= stated[1:]).all()


def test_unknown_level_is_named():
    with pytest.raises(ConfigError, match=r"quality.*draft, standard, fine.*superb"):
        render_lensed(**trial_scenes(1), quality="superb")


@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_tiny_stamps_are_the_middle_of_larger_ones(size):
    scenes = trial_scenes(3)
    large = render_lensed(**(scenes | {"size_px": 64 + size % 2})).image
    corner = (large.shape[-1] - size) // 2
    middle = large[:, :, corner : corner + size, corner : corner + size]
    found = render_lensed(**(scenes | {"size_px": size})).image
    np.testing.assert_allclose(found, middle, atol=5e-5 * large.max())


@pytest.mark.parametrize("bands", [1, 2, 6])
def test_any_number_of_bands(bands):
    scenes = hard_scenes(4, bands=bands, seed=9) | {"quality": Sampling(2, 4)}
    together = render_lensed(**scenes).image
    assert together.shape == (4, bands, 64, 64)
    for band in range(bands):
        pick = {name: scenes[name][:, [band]] for name in ("psf_fwhm_arcsec", "flux_nmgy")}
        alone = render_lensed(**(scenes | pick)).image[:, 0]
        np.testing.assert_allclose(together[:, band], alone, atol=2e-4 * alone.max())


@pytest.mark.parametrize("fwhm", [0.6, 0.8, 1.6, 2.5])
def test_any_seeing(fwhm):
    scenes = trial_scenes(3, fwhm_arcsec=(fwhm + 0.1,)) | {"psf_fwhm_arcsec": np.full((3, 1), fwhm)}
    found = render_lensed(**scenes, quality=Sampling(2, 3))
    expected = reference_render(supersampling=6, margin_px=24, **scenes)
    assert peak_error(found.image, expected.image).max() < 2e-3


@pytest.mark.parametrize("size", [31, 48, 63, 101])
def test_any_stamp_size(size):
    scenes = trial_scenes(3, size_px=size, fwhm_arcsec=(1.3,))
    expected = reference_render(supersampling=4, margin_px=24, **scenes)
    found = render_lensed(**scenes, quality=SAME_RAYS)
    assert peak_error(found.image, expected.image).max() < 8e-4


def test_other_pixel_scale():
    scenes = trial_scenes(2, size_px=90, pixel_scale_arcsec=0.2, fwhm_arcsec=(0.7,))
    expected = reference_render(supersampling=4, **scenes)
    assert peak_error(render_lensed(**scenes).image, expected.image).max() < 2e-3


def test_light_far_from_the_centre_is_not_cut():
    scenes = trial_scenes(2, fwhm_arcsec=(1.3,)) | {
        "theta_e_arcsec": np.array([3.5, 1.2]),
        "lens_x_arcsec": np.array([1.0, 6.0]),
        "lens_y_arcsec": np.array([-0.5, -7.0]),
    }
    expected = reference_render(supersampling=4, margin_px=30, **scenes)
    found = render_lensed(**scenes, quality=SAME_RAYS)
    assert peak_error(found.image, expected.image).max() < 8e-4
    np.testing.assert_allclose(found.magnification, expected.magnification, rtol=1e-5)


def test_a_lens_larger_than_any_box_is_an_error():
    with pytest.raises(DataError, match="too large"):
        render_lensed(**(trial_scenes(1) | {"theta_e_arcsec": 60.0}))


# ---- analytic truths


@pytest.mark.parametrize("fwhm", [0.8, 1.3, 2.0])
def test_point_source_is_the_psf_through_the_pixel(fwhm):
    image = unlensed([fwhm]).image[0, 0].astype(np.float64)
    fine = 20
    axis = (np.arange(64 * fine) + 0.5) / fine * PX - 32 * PX
    a = fwhm / (2 * np.sqrt(2 ** (1 / 3.5) - 1))
    moffat = 2.5 / (np.pi * a * a) * (1 + (axis[:, None] ** 2 + axis**2) / a**2) ** -3.5
    expected = moffat.reshape(64, fine, 64, fine).mean(axis=(1, 3)) * PX**2
    np.testing.assert_allclose(image, expected, atol=2e-3 * expected.max())
    assert image.sum() == pytest.approx(expected.sum(), rel=1e-3)


def test_flux_on_the_stamp_is_the_enclosed_flux():
    image = unlensed([1.3], size=65).image[0, 0]
    inside = StampGeometry(65, PX).radius_px() * PX < 6.0
    assert image[inside].sum() == pytest.approx(float(moffat_enclosed_flux(6.0, 1.3)), abs=3e-4)


def test_source_between_the_rays_is_an_error():
    with pytest.raises(DataError, match="ray spacing"):
        unlensed([1.3], scale=0.002, quality=Sampling(2, 1))


def test_unlensed_flux_does_not_depend_on_where_the_source_lies():
    template = trial_scenes(1)["templates"]
    fluxes = [
        unlensed([1.3], templates=template, scale=0.03, x=x, y=0.4 * x).image.sum()
        for x in np.linspace(-1, 1, 9)
    ]
    assert np.ptp(fluxes) < 3e-4


def test_round_lens_with_the_source_behind_it_is_a_ring():
    scenes = trial_scenes(1, size_px=65) | {
        "template_scale_arcsec": 0.01,
        "src_rotation_rad": 0.0,
        "psf_fwhm_arcsec": np.full((1, 3), 0.6),
        "theta_e_arcsec": 2.0,
        "lens_q": 1.0,
        "gamma1": 0.0,
        "gamma2": 0.0,
        "lens_x_arcsec": 0.0,
        "lens_y_arcsec": 0.0,
        "src_x_arcsec": 0.0,
        "src_y_arcsec": 0.0,
    }
    blob = np.exp(-0.5 * (np.hypot(*np.mgrid[-10:11, -10:11]) / 4) ** 2)
    scenes["templates"] = (blob / blob.sum())[None]
    image = render_lensed(**scenes).image[0, 1]
    radius = StampGeometry(65, PX).radius_px() * PX
    ring = np.bincount(np.round(radius / PX).astype(int).ravel(), image.ravel() * 1.0)
    counts = np.bincount(np.round(radius / PX).astype(int).ravel())
    assert np.argmax(ring / counts) * PX == pytest.approx(2.0, abs=0.6 * PX)
    np.testing.assert_allclose(image, image.T, atol=2e-3 * image.max())
    np.testing.assert_allclose(image, image[::-1], atol=2e-3 * image.max())


def test_flux_scales_and_bands_are_independent():
    scenes = trial_scenes(2)
    base = render_lensed(**scenes).image
    double = render_lensed(**(scenes | {"flux_nmgy": scenes["flux_nmgy"] * [2.0, 1.0, 0.0]})).image
    np.testing.assert_array_equal(double[:, 0], 2 * base[:, 0])
    np.testing.assert_array_equal(double[:, 1], base[:, 1])
    assert (double[:, 2] == 0).all()


def test_turning_everything_by_a_right_angle_turns_the_image():
    scenes = trial_scenes(3)
    quarter = np.pi / 2
    turned = scenes | {
        "lens_phi_rad": scenes["lens_phi_rad"] + quarter,
        "gamma1": -scenes["gamma1"],
        "gamma2": -scenes["gamma2"],
        "lens_x_arcsec": -scenes["lens_y_arcsec"],
        "lens_y_arcsec": scenes["lens_x_arcsec"],
        "src_x_arcsec": -scenes["src_y_arcsec"],
        "src_y_arcsec": scenes["src_x_arcsec"],
        "src_rotation_rad": scenes["src_rotation_rad"] + quarter,
    }
    a, b = render_lensed(**scenes).image, render_lensed(**turned).image
    # x -> y, y -> -x turns array rows and columns like this
    np.testing.assert_allclose(np.rot90(a, -1, axes=(2, 3)), b, atol=2e-5 * a.max())


# ---- the same bytes


def test_image_does_not_depend_on_its_batch():
    scenes = trial_scenes(37) | {"size_px": 64}
    whole = render_lensed(**scenes)
    order = np.random.Generator(np.random.Philox(9)).permutation(37)
    shuffled = render_lensed(**subset(scenes, order))
    assert whole.image[order].tobytes() == shuffled.image.tobytes()
    assert whole.magnification[order].tobytes() == shuffled.magnification.tobytes()
    for row in (0, 5, 36):
        alone = render_lensed(**subset(scenes, [row]))
        assert alone.image.tobytes() == whole.image[[row]].tobytes()


def test_image_does_not_depend_on_threads():
    scenes = trial_scenes(24)
    whole = render_lensed(**scenes).image
    parts = [list(range(i, 24, 4)) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            images = pool.map(lambda rows: render_lensed(**subset(scenes, rows)).image, parts)
            for rows, image in zip(parts, images, strict=True):
                assert image.tobytes() == whole[rows].tobytes()


_CHILD = """
import hashlib
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes
print(hashlib.sha256(render_lensed(**trial_scenes(6)).image.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("threads", ["1", "7"])
def test_image_does_not_depend_on_the_process_or_its_blas_threads(threads, tmp_path):
    import hashlib
    import os

    environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=True
    )
    here = hashlib.sha256(render_lensed(**trial_scenes(6)).image.tobytes()).hexdigest()
    assert child.stdout.strip() == here


def test_input_arrays_are_left_alone():
    scenes = trial_scenes(3)
    for value in scenes.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    first = render_lensed(**scenes).image.copy()
    np.testing.assert_array_equal(render_lensed(**scenes).image, first)


def test_no_scene_gives_no_image():
    rendered = render_lensed(**subset(trial_scenes(2), []))
    assert rendered.image.shape == (0, 3, 64, 64)
    assert rendered.magnification.shape == (0,)


def test_light_in_annuli_is_that_of_the_image_before_the_psf():
    """Radii of quantiles against the oracle's image without a PSF, at ten rays along a pixel."""
    size, fine, width = 33, 10, 0.25
    scenes = trial_scenes(6, size_px=size)
    centre = np.random.Generator(np.random.Philox(key=6)).uniform(-0.3, 0.3, (6, 2))
    found = render_lensed(**scenes, annuli=Annuli(centre, width * PX, 120)).in_annuli
    rays = reference_render(
        **scenes | {"size_px": fine * size, "pixel_scale_arcsec": PX / fine},
        supersampling=1,
        margin_px=0,
        with_psf=False,
    ).image[:, 0]
    axis = (np.arange(fine * size) - (fine * size - 1) / 2.0) / fine
    edges = np.arange(121) * width
    for light, rings, (x, y) in zip(rays, found, centre / PX, strict=True):
        radius = np.hypot(axis - x, (axis - y)[:, None]).ravel()
        order = np.argsort(radius)
        share = np.cumsum(light.ravel()[order], dtype=np.float64)
        for quantile in (0.1, 0.5, 0.9):
            expected = radius[order][np.searchsorted(share, quantile * share[-1])]
            within = np.concatenate([[0.0], np.cumsum(rings)])
            assert np.interp(quantile * within[-1], within, edges) == pytest.approx(expected, abs=0.15)


def test_light_beyond_the_stamp_is_in_no_annulus():
    """Of a source four pixels beyond the edge nothing, of one on the edge its half, of one inside it all."""
    scenes = trial_scenes(3, size_px=32) | {"theta_e_arcsec": 0.0, "gamma1": 0.0, "gamma2": 0.0}
    scenes |= {"src_x_arcsec": 0.0, "src_y_arcsec": 0.0, "lens_y_arcsec": 0.0}
    scenes |= {"lens_x_arcsec": np.array([30.0, 16.0, 0.0]) * PX}
    rendered = render_lensed(**scenes, annuli=Annuli(np.zeros((3, 2)), 40.0 * PX, 1))
    share = rendered.in_annuli[:, 0] / rendered.in_annuli[2, 0]
    assert share == pytest.approx([0.0, 0.5, 1.0], abs=0.1)


def test_annuli_change_no_image():
    scenes = trial_scenes(3, size_px=32)
    with_annuli = render_lensed(**scenes, annuli=Annuli(np.zeros((3, 2)), 0.1, 10))
    plain = render_lensed(**scenes)
    assert plain.in_annuli is None
    np.testing.assert_array_equal(with_annuli.image, plain.image)
