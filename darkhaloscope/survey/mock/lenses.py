"""Lensed images made with lenstronomy: power-law deflectors, clumpy spiral sources.

Nothing is shared with the injector: other mass profile, other code, other
sources. Rays are shot once per lens and read every component of the source.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.survey.mock import morphology
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC
from darkhaloscope.survey.mock.profiles import OVERSAMPLING

FloatArray = NDArray[np.float64]

LENS_STAMP_PX = 64
RAYS_PER_CELL_SIDE = 3
"""Six rays per pixel side: 0.2 per cent of the peak (median) behind 1.1 arcsec seeing, 0.9 at worst."""
_SOURCE_GRID_PX = 128


@dataclass(frozen=True)
class LensModel:
    """A deflector and its source.

    Parameters
    ----------
    theta_e_arcsec : float
        Einstein radius of the power law (lenstronomy's EPL).
    slope : float
        Logarithmic density slope, 2 for isothermal.
    q, angle_rad : float
        Axis ratio and direction of the mass.
    gamma1, gamma2 : float
        External shear.
    src_x_arcsec, src_y_arcsec : float
        Source minus deflector.
    src_radius_arcsec : float
        Half-light radius of the source's disc.
    """

    theta_e_arcsec: float
    slope: float
    q: float
    angle_rad: float
    gamma1: float
    gamma2: float
    src_x_arcsec: float
    src_y_arcsec: float
    src_radius_arcsec: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values as plain types."""
        return asdict(self)


def draw_lens(
    seed: int,
    identity: str,
    *,
    spectroscopic: bool,
    light_q: float,
    light_angle_rad: float,
    light_r_mag: float,
) -> LensModel:
    """Draw a lens whose mass follows its light with scatter.

    Parameters
    ----------
    seed : int
    identity : str
        Id of the lens.
    spectroscopic : bool
        Small separations, as found in fibre spectra, instead of wide arcs.
    light_q, light_angle_rad : float
        Shape of the deflector's light.
    light_r_mag : float
        Its brightness: brighter galaxies have wider arcs (theta_E goes as L^0.15 with scatter).
    """
    rng = streams.generator(seed, "mock/lens", identity)
    typical = 1.6 * 10.0 ** (-0.4 * 0.15 * (light_r_mag - 19.6))
    wide = float(np.clip(typical * np.exp(rng.normal(0.0, 0.25)), 1.0, 2.6))
    small = float(rng.uniform(0.7, 1.3))
    theta_e = small if spectroscopic else wide
    # Well inside theta_E a source has counter-images: an arc or a ring, not a stretched disc.
    offset = 0.42 * theta_e * np.sqrt(rng.uniform())
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    return LensModel(
        theta_e_arcsec=theta_e,
        slope=float(np.clip(rng.normal(2.05, 0.12), 1.7, 2.4)),
        q=float(np.clip(light_q + rng.normal(0.0, 0.08), 0.5, 0.98)),
        angle_rad=float(light_angle_rad + rng.normal(0.0, 0.15)),
        gamma1=float(rng.normal(0.0, 0.03)),
        gamma2=float(rng.normal(0.0, 0.03)),
        src_x_arcsec=float(offset * np.cos(azimuth)),
        src_y_arcsec=float(offset * np.sin(azimuth)),
        src_radius_arcsec=float(np.clip(0.28 * np.exp(rng.normal(0.0, 0.35)), 0.12, 0.6)),
    )


def lensed_components(
    model: LensModel,
    rng: np.random.Generator,
    *,
    size_px: int = LENS_STAMP_PX,
    rays_per_cell_side: int = RAYS_PER_CELL_SIDE,
) -> tuple[FloatArray, FloatArray]:
    """Return the lensed image of each source component on half-pixel cells.

    Parameters
    ----------
    model : LensModel
    rng : Generator
        Draws the morphology of the source.
    size_px : int
        Stamp side in native pixels; the deflector is at its geometric centre.
    rays_per_cell_side : int
        Supersampling within a half-pixel cell.

    Returns
    -------
    (cells, magnification) : ndarrays, shapes (3, 2 size, 2 size) and (3,)
        Lensed flux per cell for a component of unit unlensed flux, and its sum.
    """
    from lenstronomy.LensModel.lens_model import LensModel as Deflector
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    e1, e2 = phi_q2_ellipticity(model.angle_rad, model.q)
    deflector = Deflector(["EPL", "SHEAR"])
    mass = [
        {
            "theta_E": model.theta_e_arcsec,
            "gamma": model.slope,
            "e1": e1,
            "e2": e2,
            "center_x": 0.0,
            "center_y": 0.0,
        },
        {"gamma1": model.gamma1, "gamma2": model.gamma2, "ra_0": 0.0, "dec_0": 0.0},
    ]
    scale = PIXEL_SCALE_ARCSEC / (OVERSAMPLING * rays_per_cell_side)
    side = size_px * OVERSAMPLING * rays_per_cell_side
    x, y = morphology.grid(side, scale)
    beta_x, beta_y = deflector.ray_shooting(x.ravel(), y.ravel(), mass)

    source_scale = 10.0 * model.src_radius_arcsec / _SOURCE_GRID_PX
    components = morphology.spiral(
        rng,
        *morphology.grid(_SOURCE_GRID_PX, source_scale),
        radius_arcsec=model.src_radius_arcsec,
        q=float(rng.uniform(0.45, 1.0)),
        angle_rad=float(rng.uniform(0.0, np.pi)),
    )
    cells = np.empty((len(components), size_px * OVERSAMPLING, size_px * OVERSAMPLING))
    for plane, component in enumerate(components):
        # A new model each time: INTERPOL keeps the first image it is given.
        light = LightModel(["INTERPOL"]).surface_brightness(
            beta_x,
            beta_y,
            [
                {
                    "image": component / source_scale**2,
                    "amp": 1.0,
                    "center_x": model.src_x_arcsec,
                    "center_y": model.src_y_arcsec,
                    "phi_G": 0.0,
                    "scale": source_scale,
                }
            ],
        )
        rays = light.reshape(side, side) * scale**2
        n = size_px * OVERSAMPLING
        cells[plane] = rays.reshape(n, rays_per_cell_side, n, rays_per_cell_side).sum(axis=(1, 3))
    return cells, cells.sum(axis=(1, 2))
