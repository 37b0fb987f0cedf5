"""Plans: every scene once, in the batch's order, checked before anything is queued."""

import pickle

import numpy as np
import pytest
import torch

from darkhaloscope.errors import ContractError, DataError
from darkhaloscope.lensing.torch_plan import plan_lensed, plan_unlensed, template_extents
from darkhaloscope.lensing.trial import hard_scenes, trial_scenes


def split(scenes):
    """Return the templates, and the other arguments with the extents."""
    templates = scenes.pop("templates")
    return templates, scenes | {"extent_px": template_extents(templates), "template_px": templates.shape[-1]}


@pytest.mark.parametrize("shared_grids", [False, True])
def test_every_scene_is_in_one_group(shared_grids):
    _, arguments = split(hard_scenes(40))
    plan = plan_lensed(**arguments, shared_grids=shared_grids)
    assert len(plan.groups) > 2
    rows = torch.cat([group.rows for group in plan.groups])
    assert rows.sort().values.tolist() == list(range(40))
    assert plan.n_templates == 40
    np.testing.assert_array_equal(plan.flux_nmgy.numpy(), arguments["flux_nmgy"].astype(np.float32))


def test_extents_are_those_of_the_light():
    templates = np.zeros((2, 9, 9), np.float32)
    templates[0, 4, 4] = templates[1, 0, 4] = 1.0
    expected = np.array([0.0, 4.0]) + np.sqrt(2.0)
    np.testing.assert_allclose(template_extents(templates), expected)
    np.testing.assert_allclose(template_extents(torch.from_numpy(templates).double()), expected)


def test_a_plan_moves_whole():
    _, arguments = split(trial_scenes(3))
    plan = plan_lensed(**arguments)
    there = plan.to("meta")
    tensors = [there.flux_nmgy, *(t for g in there.groups for t in g if isinstance(t, torch.Tensor))]
    assert {t.device.type for t in tensors} == {"meta"}
    assert there.ray_flux == plan.ray_flux
    assert [g.grid for g in there.groups] == [g.grid for g in plan.groups]


def test_a_plan_travels_between_processes():
    _, arguments = split(trial_scenes(2))
    plan = plan_lensed(**arguments)
    again = pickle.loads(pickle.dumps(plan))
    assert torch.equal(again.groups[0].constants, plan.groups[0].constants)


def test_unlensed_scenes_have_no_deflector():
    _, arguments = split(trial_scenes(1))
    kept = (
        "template_scale_arcsec",
        "size_px",
        "pixel_scale_arcsec",
        "psf_fwhm_arcsec",
        "flux_nmgy",
        "extent_px",
    )
    plan = plan_unlensed(
        template_px=arguments["template_px"],
        x_arcsec=0.1,
        y_arcsec=0.2,
        rotation_rad=0.3,
        flip=True,
        **{name: arguments[name] for name in kept},
    )
    assert not plan.lensed
    assert plan.rays_per_cell == 4
    lens_x, lens_y = plan.groups[0].constants[0, :2]
    assert (float(lens_x), float(lens_y)) == pytest.approx((0.1, 0.2))


def test_unknown_and_missing_arguments():
    scenes = trial_scenes(1) | {"lens_e1": 0.1}
    del scenes["gamma2"]
    with pytest.raises(TypeError, match=r"gamma2.*lens_e1"):
        plan_lensed(**split(scenes)[1])


@pytest.mark.parametrize("field", ["extent_px", "template_rows"])
def test_rows_and_extents_must_be_one_per_scene_and_not_negative(field):
    scenes = trial_scenes(3)
    templates = scenes.pop("templates")
    good = {"extent_px": template_extents(templates), "template_rows": np.arange(3)}
    with pytest.raises(ContractError, match=field if field == "template_rows" else "shape"):
        plan_lensed(template_px=96, **scenes, **(good | {field: good[field][:2]}))
    with pytest.raises(DataError, match=field):
        plan_lensed(template_px=96, **scenes, **(good | {field: good[field] - 50}))
