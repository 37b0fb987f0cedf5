"""The renderer on tensors: the images of ``render``, on any device torch knows, in batches.

For light that is drawn while a network trains. A batch passes two stages: on the
host ``torch_plan`` checks scenes and reduces them to a plan; on the device
:func:`render_plan` makes the images. Nothing in it waits for the device or looks
at a value, so work is only queued.

:func:`render_lensed` and :func:`render_unlensed` do both, with the arguments of
their namesakes in ``render``. Formulas, constants, grids, basis matrices and the
transfer table are those of ``scene``, ``render`` and ``convolution``; only the
arithmetic on rays is written again here.

Every cell gets the same number of rays, ``Sampling.rays_per_cell`` squared: more of
them where an image needs more would be shapes that depend on values. With the same
rays the two renderers agree to 1e-6 of the peak; at a named quality, where
``render`` may place rays as the source needs them, they differ by their sampling
errors: 0.12 % of the peak (median) and 0.6 % (worst) at "standard", 0.02 % and
0.14 % at "fine".
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from darkhaloscope.errors import ContractError, describe
from darkhaloscope.lensing.convolution import GridSpec, basis, transfer_table
from darkhaloscope.lensing.scene import UNLENSED_FLUX_TOLERANCE, require_sampled
from darkhaloscope.lensing.torch_plan import Plan, plan_lensed, plan_unlensed, template_extents

_RAYS_CPU = 1 << 17  # at a time: temporaries stay in the processor's cache
_RAYS_DEVICE = 1 << 25  # at a time: 1.5 GB of temporaries, enough work for every queued operation
_TINY = 1e-14  # a ray on the lens centre gives 0, not 0/0


class RenderedTensors(NamedTuple):
    """A batch of rendered scenes on a device.

    Attributes
    ----------
    image : Tensor of float32, shape (n, bands, size, size)
        Unit: nMgy/px. Axes (y, x).
    magnification : Tensor of float32, shape (n,)
        Flux of the whole image, before PSF and stamp edges, over flux of the source.
    """

    image: torch.Tensor
    magnification: torch.Tensor


def render_plan(
    plan: Plan, templates: torch.Tensor, *, chunk: int | None = None, fused: bool = False
) -> RenderedTensors:
    """Render a plan on the device that holds it.

    Reads no value back from the device; the first call for a grid uploads its
    matrices. Matrix products are float32 also inside autocast or where TF32 is
    allowed. Gradients flow to ``plan.flux_nmgy`` and ``templates``.

    On a CPU an image depends on its scene alone, bit for bit. On a GPU the library
    of matrix products may sum in another order for another number of scenes at a
    time, and images then differ by float32 rounding.

    Parameters
    ----------
    plan : Plan
        Scenes, on the device of the templates.
    templates : Tensor of float32, shape (k, t, t)
        The bank; checked by ``torch_plan.template_extents``.
    chunk : int, optional
        Scenes at a time; by default as many as keep the temporaries in a CPU's cache
        or in 1.5 GB elsewhere. They take 44 bytes per ray: 1.6 MB for a scene in a box
        of 48 px at standard quality.
    fused : bool
        Whether torch compiles the chain of operations into a few kernels: the first
        call takes half a minute, later ones move a tenth of the memory. For a GPU; on a
        CPU it is no faster.

    Returns
    -------
    RenderedTensors
        Of an unlensed scene, ``magnification`` is the share of its flux that rays met
        and the image is scaled by its inverse; the image is NaN where the share is
        further than 10 % from 1, which ``render.render_unlensed`` refuses.

    Raises
    ------
    ContractError
        If the templates cannot be those the plan was made for, or lie on another device,
        or ``chunk`` is less than 1.
    """
    _check_bank(plan, templates)
    if chunk is not None and chunk < 1:
        raise ContractError(describe("render_plan", field="chunk", expected="at least 1", got=chunk))
    device = templates.device
    n, bands = plan.flux_nmgy.shape
    rays_at_a_time = _RAYS_CPU if device.type == "cpu" else _RAYS_DEVICE
    draw = _fused() if fused else _draw
    image = templates.new_empty((n, bands, plan.size_px, plan.size_px))
    magnification = templates.new_empty(n)
    with _full_precision(device):
        for group in plan.groups:
            matrices = _Matrices.of(group.grid, plan.ray_step_arcsec, plan.rays_per_cell, device, image.dtype)
            step = chunk or max(1, rays_at_a_time // matrices.rays.numel() ** 2)
            for start in range(0, group.rows.shape[0], step):
                part = slice(start, start + step)
                rows = group.rows[part]
                light, ratio = draw(
                    templates[group.templates[part]],
                    group.constants[part],
                    plan.flux_nmgy[rows],
                    group.transfer_scale[part],
                    plan.ray_flux,
                    matrices,
                    plan.lensed,
                )
                image.index_copy_(0, rows, light)
                magnification.index_copy_(0, rows, ratio.detach())
    return RenderedTensors(image, magnification)


def render_lensed(templates: torch.Tensor, *, chunk: int | None = None, **scene: Any) -> RenderedTensors:
    """Render lensed sources on the device of ``templates``.

    Parameters
    ----------
    templates : Tensor, shape (n, t, t)
        One per scene. They are checked on the host: a copy, if they lie elsewhere.
    chunk : int, optional
        As in :func:`render_plan`.
    **scene
        As in ``render.render_lensed``; arrays or tensors.

    Returns
    -------
    RenderedTensors
        On the device of ``templates``.

    Raises
    ------
    DataError, ContractError
        As in ``render.render_lensed``.
    """
    extents = template_extents(templates)
    plan = plan_lensed(extent_px=extents, template_px=templates.shape[-1], **scene)
    return render_plan(plan.to(templates.device), templates.float(), chunk=chunk)


def render_unlensed(templates: torch.Tensor, *, chunk: int | None = None, **scene: Any) -> RenderedTensors:
    """Render sources without a deflector on the device of ``templates``.

    Arguments as in ``render.render_unlensed``. ``magnification`` is 1.

    Raises
    ------
    DataError, ContractError
        As in ``render.render_unlensed``; reading the sampled flux back waits for the device.
    """
    extents = template_extents(templates)
    plan = plan_unlensed(extent_px=extents, template_px=templates.shape[-1], **scene)
    image, share = render_plan(plan.to(templates.device), templates.float(), chunk=chunk)
    require_sampled(share.detach().cpu().numpy().astype(np.float64))
    return RenderedTensors(image, torch.ones_like(share))


def _check_bank(plan: Plan, templates: torch.Tensor) -> None:
    side = plan.template_px
    if (
        templates.ndim != 3
        or templates.shape[0] < plan.n_templates
        or templates.shape[1:] != (side, side)
        or templates.device != plan.flux_nmgy.device
        or templates.dtype != plan.flux_nmgy.dtype
    ):
        like = plan.flux_nmgy
        expected = f"({plan.n_templates} or more, {side}, {side}), {like.dtype}, on {like.device}"
        got = f"{tuple(templates.shape)}, {templates.dtype}, on {templates.device}"
        raise ContractError(describe("Templates", expected=expected, got=got))


class _Matrices(NamedTuple):
    """Tensors of one grid and sampling on one device.

    ``rays`` (sub, c) holds the coordinate of ray s of cell i along either axis; the
    rest as in ``Basis``.
    """

    rays: torch.Tensor
    project: torch.Tensor
    project_t: torch.Tensor
    evaluate: torch.Tensor
    evaluate_t: torch.Tensor
    radii: torch.Tensor
    window: torch.Tensor
    table: torch.Tensor
    per_unit: float

    @classmethod
    @cache
    def of(
        cls,
        spec: GridSpec,
        ray_step_arcsec: float,
        rays_per_cell: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Self:
        matrices = basis(spec)
        n_rays = spec.box_px * spec.cells_per_px * rays_per_cell
        rays = (np.arange(n_rays) + 0.5) * ray_step_arcsec - 0.5 * n_rays * ray_step_arcsec
        table, per_unit = transfer_table()

        def tensor(array: NDArray[Any]) -> torch.Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        # They outlive this call: made in a caller's inference mode they could not serve gradients.
        with torch.inference_mode(False):
            return cls(
                rays=tensor(rays.reshape(-1, rays_per_cell).T),
                project=tensor(matrices.project),
                project_t=tensor(matrices.project_t),
                evaluate=tensor(matrices.evaluate),
                evaluate_t=tensor(matrices.evaluate_t),
                radii=tensor(matrices.radii),
                window=tensor(matrices.window),
                table=tensor(table),
                per_unit=per_unit,
            )


def _draw(
    templates: torch.Tensor,
    constants: torch.Tensor,
    flux_nmgy: torch.Tensor,
    transfer_scale: torch.Tensor,
    ray_flux: float,
    matrices: _Matrices,
    lensed: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (g, bands, size, size) and sampled flux over source flux (g,)."""
    cells = _shoot_rays(templates, constants, matrices.rays, lensed)
    g, bands = flux_nmgy.shape
    # One product per scene, never one for the batch: an image depends on its scene alone.
    half = torch.bmm(matrices.project.expand(g, -1, -1), cells)
    coefficients = torch.bmm(half, matrices.project_t.expand(g, -1, -1))
    ratio = coefficients[:, 0, 0] * ray_flux
    amplitude = flux_nmgy * ray_flux
    if not lensed:
        sampled = (ratio - 1.0).abs() < UNLENSED_FLUX_TOLERANCE
        amplitude = amplitude / torch.where(sampled, ratio, math.nan)[:, None]
    weights = amplitude[:, :, None, None] * matrices.window * _transfer(transfer_scale, matrices)
    # Cosine and sine of a frequency have one weight.
    weights = torch.cat([weights, weights[:, :, 1:]], dim=2)
    weights = torch.cat([weights, weights[:, :, :, 1:]], dim=3)
    weighted = (coefficients[:, None] * weights).flatten(0, 1)
    half = torch.bmm(matrices.evaluate_t.expand(g * bands, -1, -1), weighted)
    image = torch.bmm(half, matrices.evaluate.expand(g * bands, -1, -1))
    return image.reshape(g, bands, *image.shape[1:]), ratio


def _shoot_rays(
    templates: torch.Tensor, constants: torch.Tensor, rays: torch.Tensor, lensed: bool
) -> torch.Tensor:
    """Return the sum over the rays of each cell of the template values they meet, shape (g, c, c).

    Rays along an axis are in the order of ``_Matrices.rays``: ray s of every cell,
    then ray s + 1, so that the sum over a cell adds whole planes.
    """
    g = constants.shape[0]
    sub, n_cells = rays.shape
    lens_x, lens_y, cos, sin, q, f = constants.t()[:6, :, None, None]
    to_template = constants[:, 6:14].reshape(g, 4, 2, 1, 1)  # columns: x, y, alpha_x, alpha_y
    centre = constants[:, 14:].reshape(g, 2, 1, 1)
    x = rays.reshape(1, 1, -1) - lens_x
    y = rays.reshape(1, -1, 1) - lens_y
    met_at = (centre + to_template[:, 0] * x[:, None]) + to_template[:, 1] * y[:, None]
    if lensed:
        along, across = cos * x + sin * y, cos * y - sin * x
        radius = torch.sqrt(x * x + y * y)
        psi = torch.sqrt((q * cos * x + q * sin * y).square() + (across.square() + _TINY))
        # sie.deflection; 2 b / f is in the matrix
        alpha_x = torch.atan(f * along / (psi + radius))
        alpha_y = torch.atanh(f * across / (psi + q * radius))
        met_at = torch.addcmul(met_at, to_template[:, 2], alpha_x[:, None], value=-1)
        met_at = torch.addcmul(met_at, to_template[:, 3], alpha_y[:, None], value=-1)
    met = grid_sample(
        templates[:, None],
        met_at.permute(0, 2, 3, 1),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    rows = met.reshape(g, sub, n_cells, sub * n_cells).sum(dim=1)
    return rows.reshape(g, n_cells, sub, n_cells).sum(dim=2)


def _transfer(transfer_scale: torch.Tensor, matrices: _Matrices) -> torch.Tensor:
    """Return the PSF's transfer function at every frequency pair, shape (g, bands, k, k)."""
    table = matrices.table
    position = matrices.radii * (transfer_scale * matrices.per_unit)[:, :, None, None]
    position = position.clamp(max=table.shape[0] - 2)
    left = position.long()
    return torch.lerp(table[left], table[left + 1], position - left)


@cache
def _fused() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    return torch.compile(_draw, dynamic=True)


@contextlib.contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Keep matrix products in float32 whatever the caller trains in.

    TF32 and bfloat16 round to 5e-4 and 4e-3: more than the renderer's error. The
    settings are those of the process, and are put back.
    """
    backends: Any = torch.backends  # its annotations lack mkldnn.matmul
    settings = (backends.cuda.matmul, backends.mkldnn.matmul)
    before = [setting.fp32_precision for setting in settings]
    mixed = torch.amp.is_autocast_available(device.type)
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False) if mixed else contextlib.nullcontext():
            yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
