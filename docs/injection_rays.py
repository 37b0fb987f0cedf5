"""The rays of one stamp in plain numpy: which the renderer shoots, and what they meet.

The compiled loops of ``lensing.kernels`` written out for the eye, so that the
page on injection can show them; tests hold both to the same flux. Nothing is
drawn here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates

from darkhaloscope.lensing import shear, sie
from darkhaloscope.lensing.critical import jacobian
from darkhaloscope.lensing.kernels import MOST_RAYS
from darkhaloscope.lensing.sampling import LENSED, source_steps_px
from darkhaloscope.stamps.parts import StampParts


def sample_template(parts: StampParts, x_arcsec: Any, y_arcsec: Any) -> np.ndarray:
    """Return the template at source-plane positions about its centre. Unit: share of flux per template pixel.

    Bilinear, zero outside, turned by ``src_rotation_rad`` and mirrored before.
    """
    assert parts.template is not None
    cos, sin = np.cos(parts.row["src_rotation_rad"]), np.sin(parts.row["src_rotation_rad"])
    along = (cos * x_arcsec + sin * y_arcsec) * (-1.0 if parts.row["src_flip"] else 1.0)
    across = cos * y_arcsec - sin * x_arcsec
    middle = (parts.template.shape[0] - 1) / 2.0
    place = np.stack([across, along]) / parts.template_scale_arcsec + middle
    return np.asarray(map_coordinates(parts.template.astype(np.float64), place, order=1, cval=0.0))


def shoot(parts: StampParts, x_arcsec: Any, y_arcsec: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return where rays through image positions meet the source plane, relative to the source's centre."""
    scene = parts.scene()
    x, y = x_arcsec - scene["lens_x_arcsec"], y_arcsec - scene["lens_y_arcsec"]
    alpha = sie.deflection(
        x, y, theta_e_arcsec=scene["theta_e_arcsec"], q=scene["lens_q"], phi_rad=scene["lens_phi_rad"]
    )
    tide = shear.deflection(x, y, gamma1=scene["gamma1"], gamma2=scene["gamma2"])
    return x - alpha[0] - tide[0] - scene["src_x_arcsec"], y - alpha[1] - tide[1] - scene["src_y_arcsec"]


class RayPlan(NamedTuple):
    """Which rays the renderer shoots through the cells of a stamp.

    Attributes
    ----------
    x_arcsec, y_arcsec : ndarray, shape (c, c)
        Cell centres in the frame of the stamp.
    across, upward : ndarray of int, shape (c, c)
        Rays along x and along y of each cell; 0 where none can meet the source.
    cell_arcsec : float
        Side of a cell.
    """

    x_arcsec: np.ndarray
    y_arcsec: np.ndarray
    across: np.ndarray
    upward: np.ndarray
    cell_arcsec: float


def plan_rays(parts: StampParts, quality: str) -> RayPlan:
    """Choose the rays of every cell by the rule of ``lensing.sampling``, in plain numpy."""
    assert parts.template is not None
    scene, deflector, sampling = parts.scene(), parts.deflector(), LENSED[quality]
    cell_arcsec = parts.pixel_scale_arcsec / sampling.cells_per_px
    count = parts.image.shape[-1] * sampling.cells_per_px
    axis = (np.arange(count) - (count - 1) / 2.0) * cell_arcsec
    x, y = np.meshgrid(axis, axis)
    template = parts.template.astype(np.float64)
    slope = np.square(np.diff(template, axis=0)).sum() + np.square(np.diff(template, axis=1)).sum()
    roughness_per_px = np.sqrt(slope / np.square(template).sum())
    step_arcsec = source_steps_px(np.array([roughness_per_px]), sampling)[0] * parts.template_scale_arcsec
    lens = {name: deflector[name] for name in ("theta_e_arcsec", "q", "phi_rad")}
    from_lens = x - scene["lens_x_arcsec"], y - scene["lens_y_arcsec"]
    b_arcsec = scene["theta_e_arcsec"] * np.sqrt(scene["lens_q"])
    half_diagonal = np.sqrt(0.5) * cell_arcsec
    psi = b_arcsec / (2.0 * sie.convergence(*from_lens, **lens))
    # The source is compressed most at the point of the cell that is nearest to the lens.
    nearer = psi / np.maximum(psi - half_diagonal, 0.25 * psi)
    gamma1, gamma2 = scene["gamma1"], scene["gamma2"]
    a_xx, a_xy, a_yy = (
        plain - nearer * (plain - here)
        for plain, here in zip(
            (1.0 - gamma1, -gamma2, 1.0 + gamma1), jacobian(x, y, **deflector), strict=True
        )
    )
    across, upward = (
        cell_arcsec / step_arcsec * np.hypot(*column) for column in ((a_xx, a_xy), (a_xy, a_yy))
    )
    turning = psi < 3.0 * half_diagonal  # the tangential direction turns within the cell
    across, upward = (np.where(turning, np.maximum(across, upward), rays) for rays in (across, upward))
    counts = [np.minimum(np.floor(rays + 1.5), MOST_RAYS).astype(int) for rays in (across, upward)]
    # A cell can meet the template if its centre comes as near as the cell's half diagonal is stretched.
    floor_arcsec = np.maximum(psi - half_diagonal, 1e-6)
    stretch = shear.modulus(gamma1, gamma2) + np.maximum(1.0, b_arcsec / floor_arcsec - 1.0)
    rows, columns = np.nonzero(template) - np.array((template.shape[0] - 1) / 2.0)
    extent_arcsec = (np.hypot(rows, columns).max() + np.sqrt(2.0)) * parts.template_scale_arcsec
    meets = np.hypot(*shoot(parts, x, y)) <= extent_arcsec + half_diagonal * stretch
    return RayPlan(x, y, *(np.where(meets, number, 0) for number in counts), cell_arcsec)


def rays_of(plan: RayPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of every ray, and the cell it belongs to (index into the raveled grid)."""
    x, y, cell = [], [], []
    numbers = np.stack([plan.across.ravel(), plan.upward.ravel()])
    for across, upward in np.unique(numbers[:, numbers[0] > 0], axis=1).T:
        here = np.flatnonzero((numbers[0] == across) & (numbers[1] == upward))
        step_y, step_x = np.mgrid[0:upward, 0:across] + 0.5
        x.append(
            np.add.outer(plan.x_arcsec.ravel()[here], (step_x / across - 0.5).ravel() * plan.cell_arcsec)
        )
        y.append(
            np.add.outer(plan.y_arcsec.ravel()[here], (step_y / upward - 0.5).ravel() * plan.cell_arcsec)
        )
        cell.append(np.repeat(here, across * upward))
    return (
        np.concatenate([values.ravel() for values in x]),
        np.concatenate([values.ravel() for values in y]),
        np.concatenate(cell),
    )


def light_of_cells(parts: StampParts, plan: RayPlan) -> np.ndarray:
    """Return the mean over the rays of every cell, shape (c, c). Unit: share of flux per template pixel."""
    x, y, cell = rays_of(plan)
    light = np.bincount(cell, sample_template(parts, *shoot(parts, x, y)), plan.across.size)
    rays = np.maximum((plan.across * plan.upward).ravel(), 1)
    return np.asarray((light / rays).reshape(plan.across.shape))
