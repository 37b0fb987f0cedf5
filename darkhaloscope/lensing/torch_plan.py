"""Batches of scenes made ready on the host for the renderer on tensors, ``torch_render``.

Checking scenes, sorting them by the grid each needs and reducing each to 16
numbers in double precision: what looks at values happens here, before anything
is queued on a device. A data-loading worker can do it. The checks, the constants
and the grids are those of ``scene`` and ``render``. Rays and images are not here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from darkhaloscope.errors import ContractError, DataError, describe
from darkhaloscope.lensing.convolution import GridSpec
from darkhaloscope.lensing.grids import grids
from darkhaloscope.lensing.psf import moffat_scale_arcsec
from darkhaloscope.lensing.sampling import LENSED, UNLENSED, Sampling, sampling_of
from darkhaloscope.lensing.scene import Scenes, check_templates, scene_constants, unlensed_scene

FloatArray = NDArray[np.float64]

_GRID_STEP_PX = 16
_CUTOFFS = (0.38, 0.5, 0.75, 1.0)
_F_MIN = 1e-4  # atan(f u) / f is u to 3e-9 there, and q = 1 needs no special case


class Group(NamedTuple):
    """Scenes of a plan that share a grid.

    Attributes
    ----------
    grid : GridSpec
        Sizes of the grid.
    rows : Tensor of int64, shape (g,)
        Place of each scene in the batch.
    templates : Tensor of int64, shape (g,)
        Row of each scene's template.
    constants : Tensor of float32, shape (g, 16)
        Lens x, y (arcsec); cos, sin of the position angle; q; f = sqrt(1 - q^2);
        the matrix from position (arcsec) to template coordinates (4), the one from
        atan and atanh to template coordinates (4), template coordinates of an
        undeflected ray through the lens (2). Template coordinates are -1 and 1
        at the outer edges of the template.
    transfer_scale : Tensor of float32, shape (g, bands)
        Argument of the PSF's transfer function per unit of frequency radius.
    """

    grid: GridSpec
    rows: torch.Tensor
    templates: torch.Tensor
    constants: torch.Tensor
    transfer_scale: torch.Tensor


class Plan(NamedTuple):
    """A batch made ready on the host for ``torch_render.render_plan``.

    Attributes
    ----------
    flux_nmgy : Tensor of float32, shape (n, bands)
        Unlensed flux. Images are linear in it, and gradients flow back to it.
    groups : tuple of Group
        Every scene, once.
    size_px : int
        Side of the output.
    n_templates, template_px : int
        Rows that the bank must have at least, and side of its templates.
    ray_flux : float
        Area of a ray in template pixels.
    ray_step_arcsec : float
        Ray spacing.
    rays_per_cell : int
        Rays along one side of a cell.
    lensed : bool
        Whether there is a deflector. If not, sampled flux is scaled to the source's.
    """

    flux_nmgy: torch.Tensor
    groups: tuple[Group, ...]
    size_px: int
    n_templates: int
    template_px: int
    ray_flux: float
    ray_step_arcsec: float
    rays_per_cell: int
    lensed: bool

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """Return the plan with its tensors on ``device``; ``non_blocking`` as for a pinned tensor."""

        def moved(record: Any) -> Any:
            values = (
                value.to(device, non_blocking=non_blocking) if isinstance(value, torch.Tensor) else value
                for value in record
            )
            return type(record)(*values)

        plan: Self = moved(self)
        return plan._replace(groups=tuple(moved(group) for group in self.groups))


def template_extents(templates: Any) -> FloatArray:
    """Check templates and find how far from its centre each of them reaches.

    Once per bank, on the host.

    Parameters
    ----------
    templates : array_like or Tensor, shape (k, t, t)
        Share of the source's flux per template pixel; each sums to 1.

    Returns
    -------
    ndarray, shape (k,)
        Radius beyond which a template is zero. Unit: template pixels.

    Raises
    ------
    DataError, ContractError
        If a template is not finite or does not sum to 1, or the shape is wrong.
    """
    # The compiler is loaded when it is needed, not with the module.
    from darkhaloscope.lensing.template_kernels import measure_templates

    array = np.ascontiguousarray(_on_host(templates), dtype=np.float32)
    check_templates(array)
    sums, extents, roughness = np.empty((3, array.shape[0]))
    measure_templates(array, sums, extents, roughness, np.empty((3, array.shape[1]), np.float32))
    return extents


def plan_lensed(
    *,
    extent_px: Any,
    template_px: int,
    template_scale_arcsec: float,
    size_px: int,
    pixel_scale_arcsec: float,
    template_rows: Any = None,
    quality: str | Sampling = "standard",
    shared_grids: bool = False,
    **scene: Any,
) -> Plan:
    """Check lensed scenes and make them ready for the device.

    Parameters
    ----------
    extent_px : array_like, shape (n,)
        From :func:`template_extents`, for the template of each scene.
    template_px : int
        Side of the templates.
    template_scale_arcsec, size_px, pixel_scale_arcsec, quality
        As in ``render.render_lensed``.
    template_rows : array_like of int, shape (n,), optional
        Row of each scene's template in the bank given to ``torch_render.render_plan``;
        scene i has template i if this is left out.
    shared_grids : bool
        Whether sizes of grids are rounded up, so that a batch falls into few groups: for
        a GPU, where work is queued group by group. Images then differ from those of
        ``render`` by up to 3e-4 of the peak, where it cuts the PSF's transfer function
        off sooner; they still depend on their scene alone.
    **scene
        Every other argument of ``render.render_lensed``: arrays, or tensors on the host.

    Returns
    -------
    Plan
        On the host.

    Raises
    ------
    DataError
        If a parameter is out of range or not finite, or an image needs too large a grid.
    ContractError
        If a shape is wrong.
    TypeError
        If an argument is missing or unknown.
    """
    known = {field.name for field in fields(Scenes)}
    if scene.keys() != known:
        wrong = sorted(scene.keys() ^ known)
        raise TypeError(describe("Scene", expected="every argument of render_lensed, no other", got=wrong))
    # Tensors have as many rays in every cell.
    sampling = sampling_of(quality, LENSED)._replace(aliasing=None)
    extents = _rows_of("extent_px", extent_px, None, np.float64)
    n = extents.shape[0]
    scenes = Scenes.of(n, **{name: _on_host(value) for name, value in scene.items()})
    rows = np.arange(n) if template_rows is None else _rows_of("template_rows", template_rows, n, np.int64)
    ray_step = pixel_scale_arcsec / (sampling.cells_per_px * sampling.rays_per_cell)
    # The ring of zeros of the compiled loop is not needed: outside a template reads zero.
    raw = scene_constants(scenes, template_scale_arcsec, template_px, extents)
    constants = _device_constants(raw, template_px)
    by_grid: dict[GridSpec, list[NDArray[np.intp]]] = defaultdict(list)
    for spec, members in grids(scenes, raw, size_px, pixel_scale_arcsec, sampling):
        by_grid[_rounded_up(spec) if shared_grids else spec].append(members)
    groups = []
    for spec, parts in by_grid.items():
        members = np.concatenate(parts)
        unit = 2.0 * np.pi / (spec.period_px * pixel_scale_arcsec)
        groups.append(
            Group(
                grid=spec,
                rows=torch.from_numpy(members),
                templates=torch.from_numpy(rows[members]),
                constants=_single(constants[members]),
                transfer_scale=_single(moffat_scale_arcsec(scenes.psf_fwhm_arcsec[members]) * unit),
            )
        )
    return Plan(
        flux_nmgy=_single(scenes.flux_nmgy),
        groups=tuple(groups),
        size_px=size_px,
        n_templates=int(rows.max(initial=-1)) + 1,
        template_px=template_px,
        ray_flux=(ray_step / template_scale_arcsec) ** 2,
        ray_step_arcsec=ray_step,
        rays_per_cell=sampling.rays_per_cell,
        lensed=True,
    )


def plan_unlensed(
    *,
    x_arcsec: Any,
    y_arcsec: Any,
    rotation_rad: Any,
    flip: Any,
    quality: str | Sampling = "standard",
    **scene: Any,
) -> Plan:
    """Check unlensed scenes and make them ready; arguments as in ``render.render_unlensed`` and above."""
    unlensed = unlensed_scene(x_arcsec, y_arcsec, rotation_rad, flip)
    plan = plan_lensed(quality=sampling_of(quality, UNLENSED), **unlensed, **scene)
    return plan._replace(lensed=False)


def _rounded_up(spec: GridSpec) -> GridSpec:
    """Return one of few grids on which all that fits ``spec`` fits too."""
    highest = 0.5 * spec.cells_per_px
    return replace(
        spec,
        box_px=_GRID_STEP_PX * math.ceil(spec.box_px / _GRID_STEP_PX),
        period_px=_GRID_STEP_PX * math.ceil(spec.period_px / _GRID_STEP_PX),
        cutoff=min(highest, next((c for c in _CUTOFFS if c >= spec.cutoff), spec.cutoff)),
    )


def _device_constants(raw: FloatArray, template_px: int) -> FloatArray:
    """Turn the constants of ``scene.scene_constants`` into those of a :class:`Group`."""
    cos, sin, q = raw[:, 2], raw[:, 3], raw[:, 4]
    f = np.maximum(np.sqrt(raw[:, 5]), _F_MIN)
    to_lens = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1)
    scale = 2.0 / template_px
    position = scale * raw[:, 6:10].reshape(-1, 2, 2) @ to_lens
    deflection = scale * raw[:, 10:14] / f[:, None]
    centre = scale * (raw[:, 14:16] + 0.5) - 1.0
    columns = np.concatenate([position, deflection.reshape(-1, 2, 2)], axis=2).transpose(0, 2, 1)
    return np.concatenate([raw[:, :4], np.stack([q, f], axis=1), columns.reshape(-1, 8), centre], axis=1)


def _rows_of(field: str, values: Any, n: int | None, dtype: type) -> NDArray[Any]:
    """Return an array with one value per scene, none of them negative or NaN."""
    array: NDArray[Any] = np.asarray(_on_host(values), dtype=dtype)
    if array.ndim != 1 or n not in (None, array.shape[0]):
        raise ContractError(describe("Plan", field=field, expected=f"shape ({n or 'n'},)", got=array.shape))
    good = (array >= 0) & np.isfinite(array)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(describe("Plan", field=field, row=row, expected="at least 0", got=array[row]))
    return array


def _on_host(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def _single(array: FloatArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
