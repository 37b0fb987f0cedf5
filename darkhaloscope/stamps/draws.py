"""Every parameter that is drawn, each from its own named stream.

A value depends on (seed, stream, task id) alone. Frames: offsets in arcsec,
+x west, +y north as in the stamp; angles in rad from +x towards +y.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.config import Lens, SnrTargeting, Sources
from darkhaloscope.errors import ConfigError, describe
from darkhaloscope.stamps.snr_target import declared_target

FloatArray = NDArray[np.float64]

QUANTILE_RANGE = (0.02, 0.98)
"""Range of ``light_quantile``: the outermost PSF wings would put light off the stamp."""


def draw_lens(
    lens: Lens, ids: Sequence[str], seed: int, *, theta_e_arcsec: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Draw deflector, shear and source position.

    Parameters
    ----------
    lens : Lens
        Distributions.
    ids : sequence of str, length n
        Task ids of positives.
    seed : int
        Seed of the experiment.
    theta_e_arcsec : ndarray, shape (n,), optional
        Einstein radii decided elsewhere; without it they are drawn, which a
        population of deflectors cannot be (``deflectors``).

    Returns
    -------
    dict of str to ndarray, shape (n,)
        MANIFEST columns. The source lies uniformly in the disc of
        ``source_offset_max`` x theta_E about the deflector.

    Raises
    ------
    ConfigError
        If Einstein radii come from a population and are not given.
    """

    def uniform(stream: str) -> FloatArray:
        return streams.uniform(seed, stream, ids)

    def normal(stream: str, sigma: float) -> FloatArray:
        return sigma * streams.normal(seed, stream, ids)

    theta_e = _theta_e(lens, uniform("theta_e")) if theta_e_arcsec is None else theta_e_arcsec
    low, high = lens.q
    radius = theta_e * lens.source_offset_max * np.sqrt(uniform("src_radius"))
    azimuth = 2.0 * np.pi * uniform("src_azimuth")
    return {
        "theta_e_arcsec": theta_e,
        "lens_q": low + (high - low) * uniform("lens_q"),
        "lens_phi_rad": np.pi * uniform("lens_phi"),
        "lens_x_arcsec": normal("lens_x", lens.centre_jitter_arcsec),
        "lens_y_arcsec": normal("lens_y", lens.centre_jitter_arcsec),
        "gamma1": normal("gamma1", lens.shear_sigma),
        "gamma2": normal("gamma2", lens.shear_sigma),
        "src_x_arcsec": radius * np.cos(azimuth),
        "src_y_arcsec": radius * np.sin(azimuth),
    }


def _theta_e(lens: Lens, u: FloatArray) -> FloatArray:
    if lens.theta_e_draw == "population":
        raise ConfigError(
            describe(
                "Einstein radii of a population follow from lens and source",
                field="lens.theta_e_draw",
                expected="uniform, log_uniform or grid, or radii that are given",
                got=lens.theta_e_draw,
            )
        )
    values = np.asarray(lens.theta_e_arcsec, dtype=np.float64)
    if lens.theta_e_draw == "grid":
        return np.asarray(values[np.floor(u * len(values)).astype(np.intp)], dtype=np.float64)
    low, high = values
    if lens.theta_e_draw == "log_uniform":
        return np.asarray(low * (high / low) ** u, dtype=np.float64)
    return np.asarray(low + (high - low) * u, dtype=np.float64)


def draw_orientation(sources: Sources, ids: Sequence[str], seed: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Draw the rotation (rad) and mirror image of a template, or none if ``rotate`` is off."""
    if not sources.rotate:
        return np.zeros(len(ids)), np.zeros(len(ids), dtype=bool)
    rotation = 2.0 * np.pi * streams.uniform(seed, "src_rotation", ids)
    return rotation, streams.uniform(seed, "src_flip", ids) < 0.5


def draw_target_snr(targeting: SnrTargeting, ids: Sequence[str], seed: int) -> FloatArray:
    """Draw the footprint S/N that each positive's flux is chosen for; NaN unless the flux is chosen."""
    target = declared_target(targeting)
    if targeting.mode != "choose_flux" or target is None:
        return np.full(len(ids), np.nan)
    return target.quantile(streams.uniform(seed, "target_snr", ids))


def draw_light_position(ids: Sequence[str], seed: int) -> dict[str, Any]:
    """Draw where matched light is put: quantile of the twin's arc light, and azimuth in rad."""
    low, high = QUANTILE_RANGE
    return {
        "light_quantile": low + (high - low) * streams.uniform(seed, "light_quantile", ids),
        "light_azimuth_rad": 2.0 * np.pi * streams.uniform(seed, "light_azimuth", ids),
    }
