"""The renderer on tensors: the same images as the compiled one, without looking at a value."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from darkhaloscope.errors import ContractError, DataError
from darkhaloscope.lensing import render, torch_render
from darkhaloscope.lensing.sampling import Sampling
from darkhaloscope.lensing.torch_plan import plan_lensed, plan_unlensed, template_extents
from darkhaloscope.lensing.torch_render import render_plan
from darkhaloscope.lensing.trial import hard_scenes, trial_scenes

TOLERANCE = 1e-5  # of the peak
UNIFORM = {"quality": Sampling(2, 2)}  # the same rays in both renderers, in every cell
UNIFORM_UNLENSED = {"quality": Sampling(2, 4)}


def on_tensors(scenes):
    return scenes | {"templates": torch.from_numpy(scenes["templates"])}


def unlensed(scenes):
    same = (
        "templates",
        "template_scale_arcsec",
        "size_px",
        "pixel_scale_arcsec",
        "psf_fwhm_arcsec",
        "flux_nmgy",
    )
    renamed = {
        "x_arcsec": "src_x_arcsec",
        "y_arcsec": "src_y_arcsec",
        "rotation_rad": "src_rotation_rad",
        "flip": "src_flip",
    }
    return {name: scenes[name] for name in same} | {new: scenes[old] for new, old in renamed.items()}


def plan_of(scenes, plan=plan_lensed, **more):
    """Return the plan of trial scenes, and their templates as a bank."""
    templates = torch.from_numpy(scenes["templates"])
    rest = {name: value for name, value in scenes.items() if name != "templates"}
    extents = template_extents(templates)
    return plan(extent_px=extents, template_px=templates.shape[-1], **rest, **more), templates


def assert_same(found, expected):
    difference = np.abs(found.image.numpy() - expected.image).max(axis=(2, 3))
    assert (difference <= TOLERANCE * expected.image.max(axis=(2, 3))).all()
    np.testing.assert_allclose(found.magnification.numpy(), expected.magnification, rtol=1e-5)


# ---- against the compiled renderer


@pytest.mark.parametrize(("size", "bands"), [(64, 3), (63, 1), (101, 5)])
def test_lensed_images_over_the_whole_range(size, bands):
    scenes = hard_scenes(24, seed=size, size_px=size, bands=bands) | UNIFORM
    expected = render.render_lensed(**scenes)
    assert len({group.grid for group in plan_of(scenes)[0].groups}) > 2
    assert_same(torch_render.render_lensed(**on_tensors(scenes)), expected)


@pytest.mark.parametrize(("size", "bands"), [(64, 3), (63, 1), (101, 5)])
def test_unlensed_images_over_the_whole_range(size, bands):
    scenes = unlensed(hard_scenes(16, seed=size, size_px=size, bands=bands)) | UNIFORM_UNLENSED
    expected = render.render_unlensed(**scenes)
    assert_same(torch_render.render_unlensed(**on_tensors(scenes)), expected)


@pytest.mark.parametrize("sampling", [Sampling(2, 1), Sampling(1, 3), Sampling(3, 2)])
def test_any_sampling(sampling):
    scenes = trial_scenes(3) | {"quality": sampling}
    assert_same(torch_render.render_lensed(**on_tensors(scenes)), render.render_lensed(**scenes))
    scenes = unlensed(scenes) | {"quality": sampling}
    assert_same(torch_render.render_unlensed(**on_tensors(scenes)), render.render_unlensed(**scenes))


@pytest.mark.parametrize(("level", "median", "worst"), [("standard", 0.002, 0.01), ("fine", 0.0005, 0.003)])
def test_named_levels_differ_by_their_sampling_error(level, median, worst):
    scenes = trial_scenes(24, fwhm_arcsec=(1.3,)) | {"quality": level}
    found, expected = torch_render.render_lensed(**on_tensors(scenes)), render.render_lensed(**scenes)
    difference = np.abs(found.image.numpy() - expected.image).max(axis=(2, 3)) / expected.image.max(
        axis=(2, 3)
    )
    assert np.median(difference) < median
    assert difference.max() < worst


@pytest.mark.parametrize("q", [0.2, 1.0])
def test_limits_of_the_axis_ratio(q):
    scenes = trial_scenes(4) | UNIFORM | {"lens_q": q, "lens_phi_rad": 0.0}
    assert_same(torch_render.render_lensed(**on_tensors(scenes)), render.render_lensed(**scenes))


@pytest.mark.parametrize("q", [0.2, 1.0])
def test_a_ray_on_the_lens(q):
    ray = 0.262 / 8  # a ray of the standard quality passes here
    scenes = trial_scenes(4) | UNIFORM | {"lens_q": q, "lens_phi_rad": 0.0}
    scenes |= {"lens_x_arcsec": ray, "lens_y_arcsec": -ray}
    found, expected = torch_render.render_lensed(**on_tensors(scenes)), render.render_lensed(**scenes)
    # Rounding decides where that one ray goes: nothing else may differ.
    one_ray = (2 * ray / scenes["template_scale_arcsec"]) ** 2 * scenes["templates"].max(axis=(1, 2))
    difference = np.abs(found.magnification.numpy() - expected.magnification)
    assert (difference <= one_ray + 1e-5 * expected.magnification).all()
    brightest_px = 0.06  # share of a point source, seeing 1.15 arcsec
    limit = brightest_px * one_ray[:, None] * scenes["flux_nmgy"]
    assert (np.abs(found.image.numpy() - expected.image).max(axis=(2, 3)) <= limit).all()


def test_templates_that_reach_their_edge():
    scenes = trial_scenes(3) | UNIFORM
    noise = np.random.Generator(np.random.Philox(4)).uniform(0.5, 1.5, (3, 17, 17)).astype(np.float32)
    scenes |= {"templates": noise / noise.sum(axis=(1, 2), keepdims=True), "template_scale_arcsec": 0.1}
    assert_same(torch_render.render_lensed(**on_tensors(scenes)), render.render_lensed(**scenes))


def test_shared_grids_cut_the_transfer_function_off_later():
    scenes = hard_scenes(48)
    (own, bank), (shared, _) = plan_of(scenes), plan_of(scenes, shared_grids=True)
    assert len(shared.groups) <= len(own.groups)
    assert not any(g.grid.box_px % 16 or g.grid.period_px % 16 for g in shared.groups)
    expected, found = render_plan(own, bank).image, render_plan(shared, bank).image
    difference = (found - expected).abs().amax((2, 3)) / expected.amax((2, 3))
    assert difference.max() < 5e-4
    assert difference.median() < 2e-5
    some = {k: v[5:9] if isinstance(v, np.ndarray) else v for k, v in scenes.items()}
    assert torch.equal(render_plan(*plan_of(some, shared_grids=True)).image, found[5:9])


def test_templates_are_taken_from_a_bank():
    scenes = trial_scenes(5) | UNIFORM
    bank, rows = scenes["templates"][:3], np.array([2, 0, 0, 1, 2])
    expected = render.render_lensed(**(scenes | {"templates": bank[rows]}))
    del scenes["templates"]
    extents = template_extents(bank)[rows]
    plan = plan_lensed(extent_px=extents, template_px=96, template_rows=rows, **scenes)
    assert_same(render_plan(plan, torch.from_numpy(bank)), expected)


def test_parameters_may_be_tensors():
    scenes = trial_scenes(2) | UNIFORM
    tensors = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in scenes.items()}
    assert_same(torch_render.render_lensed(**tensors), render.render_lensed(**scenes))


def test_no_scene_gives_no_image():
    scenes = {k: v[:0] if isinstance(v, np.ndarray) else v for k, v in trial_scenes(1).items()}
    rendered = torch_render.render_lensed(**on_tensors(scenes))
    assert rendered.image.shape == (0, 3, 64, 64)
    assert rendered.magnification.shape == (0,)


# ---- the same bytes


def test_image_does_not_depend_on_its_batch():
    scenes = trial_scenes(19)
    plan, bank = plan_of(scenes)
    whole = render_plan(plan, bank, chunk=5)
    for chunk in (1, 4, 19):
        other = render_plan(plan, bank, chunk=chunk)
        assert torch.equal(other.image, whole.image)
        assert torch.equal(other.magnification, whole.magnification)
    order = np.random.Generator(np.random.Philox(9)).permutation(19)[:7]
    some = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in scenes.items()}
    assert torch.equal(torch_render.render_lensed(**on_tensors(some)).image, whole.image[order])


def test_training_in_low_precision_does_not_reach_the_images(monkeypatch):
    plan, bank = plan_of(trial_scenes(3))
    expected = render_plan(plan, bank)
    seen = []
    product = torch.bmm

    def watched(*operands):
        seen.append((torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision))
        return product(*operands)

    monkeypatch.setattr(torch, "bmm", watched)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = render_plan(plan, bank)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {("ieee", "ieee")}
    assert found.image.dtype == torch.float32
    assert torch.equal(found.image, expected.image)


# ---- on a device


@pytest.mark.parametrize("plan_scenes", [plan_lensed, plan_unlensed])
def test_rendering_looks_at_no_value(plan_scenes):
    # Tensors on "meta" have a shape and no values: what reads one, or has a shape that depends on one, fails.
    scenes = trial_scenes(9) | UNIFORM
    plan, bank = plan_of(scenes if plan_scenes is plan_lensed else unlensed(scenes), plan_scenes)
    rendered = render_plan(plan.to("meta"), bank.to("meta"), chunk=4)
    assert rendered.image.shape == (9, 3, 64, 64)
    assert rendered.image.device.type == rendered.magnification.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("fused", [False, True])
def test_a_gpu_is_never_waited_for(fused):
    scenes = trial_scenes(9) | UNIFORM
    plan, bank = plan_of(scenes)
    plan, bank = plan.to("cuda"), bank.cuda()
    render_plan(plan, bank, fused=fused)  # matrices and kernels are made on the first call
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = render_plan(plan, bank, fused=fused)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same(type(found)(*(tensor.cpu() for tensor in found)), render.render_lensed(**scenes))


def test_users_of_the_room_do_not_load_torch():
    code = (
        "import sys, darkhaloscope.lensing, darkhaloscope.lensing.render, darkhaloscope.lensing.renderers;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
# torch's compiler itself looks at .grad of what it is given.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++")
def test_fused_kernels_draw_the_same():
    scenes = trial_scenes(5) | UNIFORM
    plan, bank = plan_of(scenes)
    assert_same(render_plan(plan, bank, fused=True), render.render_lensed(**scenes))
    plan.flux_nmgy.requires_grad_()
    gradients = []
    for fused in (False, True):
        image = render_plan(plan, bank, fused=fused).image
        gradients.append(torch.autograd.grad(image.square().sum(), plan.flux_nmgy)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=0.0)


# ---- gradients


def in_double(plan):
    groups = [
        g._replace(constants=g.constants.double(), transfer_scale=g.transfer_scale.double())
        for g in plan.groups
    ]
    return plan._replace(flux_nmgy=plan.flux_nmgy.double(), groups=tuple(groups))


@pytest.mark.parametrize("plan_scenes", [plan_lensed, plan_unlensed])
def test_gradients_with_respect_to_flux_and_templates(plan_scenes):
    scenes = trial_scenes(2, size_px=5, fwhm_arcsec=(1.3,))
    scenes |= {"template_scale_arcsec": 0.3, "quality": Sampling(1, 2)}
    tiny = np.random.Generator(np.random.Philox(4)).uniform(0.5, 1.5, (2, 4, 4)).astype(np.float32)
    scenes["templates"] = tiny / tiny.sum(axis=(1, 2), keepdims=True)
    plan, bank = plan_of(scenes if plan_scenes is plan_lensed else unlensed(scenes), plan_scenes)
    plan = in_double(plan)
    with torch.inference_mode():
        render_plan(plan, bank.double())  # an earlier look leaves nothing behind that blocks gradients

    def image(flux, templates):
        return render_plan(plan._replace(flux_nmgy=flux), templates).image

    inputs = plan.flux_nmgy.requires_grad_(), bank.double().requires_grad_()
    assert torch.autograd.gradcheck(image, inputs)


# ---- refused


@pytest.mark.parametrize(
    "change",
    [
        {"lens_q": 0.1},
        {"theta_e_arcsec": -1.0},
        {"theta_e_arcsec": 60.0},
        {"theta_e_arcsec": [1.0]},
        {"gamma1": 0.9},
        {"src_x_arcsec": np.nan},
        {"psf_fwhm_arcsec": np.zeros((2, 3))},
        {"psf_fwhm_arcsec": np.ones((2, 2))},
        {"flux_nmgy": -np.ones((2, 3))},
        {"templates": np.full((2, 9, 9), np.nan, np.float32)},
        {"templates": np.ones((2, 9, 9), np.float32)},
        {"templates": np.ones((2, 9, 8), np.float32)},
        {"quality": "superb"},
    ],
    ids=str,
)
def test_bad_input_is_refused_in_the_words_of_the_compiled_renderer(change):
    scenes = trial_scenes(2) | change
    with pytest.raises((DataError, ContractError, ValueError)) as expected:
        render.render_lensed(**scenes)
    with pytest.raises(type(expected.value)) as found:
        torch_render.render_lensed(**on_tensors(scenes))
    assert str(found.value) == str(expected.value)


def test_source_between_the_rays():
    scenes = unlensed(trial_scenes(3)) | {"template_scale_arcsec": 0.001, "quality": Sampling(2, 1)}
    with pytest.raises(DataError, match="ray spacing"):
        torch_render.render_unlensed(**on_tensors(scenes))
    plan, bank = plan_of(scenes, plan_unlensed)
    assert torch.isnan(render_plan(plan, bank).image).all()


def test_a_bank_that_is_not_the_plans():
    plan, bank = plan_of(trial_scenes(3))
    for other in (bank[:2], bank[:, 1:, 1:], bank[0], bank.double(), bank.to("meta")):
        with pytest.raises(ContractError, match="Templates"):
            render_plan(plan, other)


@pytest.mark.parametrize("chunk", [0, -4])
def test_no_scene_at_a_time(chunk):
    plan, bank = plan_of(trial_scenes(1))
    with pytest.raises(ContractError, match="chunk"):
        render_plan(plan, bank, chunk=chunk)
