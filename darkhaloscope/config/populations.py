"""The section parts on where deflectors come from: a cosmology, and galaxies as lenses.

What a relation means and how it is drawn from is in ``stamps.deflectors``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from darkhaloscope.config.base import Fraction, Positive, Section


class Cosmology(Section):
    """A flat universe of matter and a cosmological constant.

    Parameters
    ----------
    h0_kms_mpc : float
        Hubble constant in km/s/Mpc; enters luminosities, not Einstein radii.
    omega_m : float
        Matter density over the critical one.
    """

    h0_kms_mpc: Annotated[float, Field(ge=40.0, le=100.0)] = 70.0
    omega_m: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3


class Deflectors(Section):
    """How a host becomes a deflector: its redshift and velocity dispersion.

    Parameters
    ----------
    g_r_width_mag, r_z_width_mag : float
        Scatter of early-type galaxies about the mean colours at their redshift,
        photometric errors included.
    log_sigma_at_pivot : float
        Mean of log10(sigma_v / km/s) of early-type galaxies at ``pivot_mag_r``.
    slope_per_mag : float
        Change of that mean per magnitude.
    pivot_mag_r : float
        Absolute r magnitude (AB, h = 0.7, at z = 0).
    evolution_mag : float
        Passive evolution: brightening in r per unit redshift.
    scatter_dex : float
        Scatter of log10(sigma_v) at fixed luminosity.
    reach : float
        Velocity dispersions lie within this many scatters of the mean.
    min_source_share : float
        A host is used if at least this share of the sources of its split can
        give it an Einstein radius inside the range.
    """

    g_r_width_mag: Positive = 0.20
    r_z_width_mag: Positive = 0.10
    log_sigma_at_pivot: float = 2.203
    slope_per_mag: float = -0.102
    pivot_mag_r: float = -21.15
    evolution_mag: float = 0.85
    scatter_dex: Positive = 0.07
    reach: Positive = 3.0
    min_source_share: Fraction = 0.2
