"""The sections of an experiment: typed, frozen, hashed.

Sections follow the data. Sizes are not here but in ``profiles``; reading a file
is in ``loading``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from darkhaloscope.config.base import Fraction, Positive, Section
from darkhaloscope.config.populations import Cosmology, Deflectors


class Survey(Section):
    """Which survey release is read.

    ``release`` names a release of ``darkhaloscope.survey.release``.
    """

    release: str = "dr10-south"


class Hosts(Section):
    """Which galaxies become hosts.

    Parameters
    ----------
    selection : str
        Flag column of the parent sample: ``lrg_v1_raw`` ... ``lrg_v5_raw`` in
        catalogued magnitudes as published, ``lrg_v1_dered`` ... corrected for
        Galactic extinction; ``lrg_desi``; ``early_bright_raw`` or ``_dered``.
    max_bad_pixel_frac : float
        Largest share of bad pixels allowed in any band of the stamp.
    anchor_exclusion_arcsec : float
        No host lies closer to a known lens or look-alike than this.
    """

    selection: Literal[
        "lrg_v1_raw",
        "lrg_v2_raw",
        "lrg_v3_raw",
        "lrg_v4_raw",
        "lrg_v5_raw",
        "lrg_v1_dered",
        "lrg_v2_dered",
        "lrg_v3_dered",
        "lrg_v4_dered",
        "lrg_v5_dered",
        "lrg_desi",
        "early_bright_raw",
        "early_bright_dered",
    ] = "lrg_v3_raw"
    max_bad_pixel_frac: Fraction = 0.2
    anchor_exclusion_arcsec: Positive = 11.0


class Sources(Section):
    """The source galaxies and their unlensed brightness and colours.

    Parameters
    ----------
    kind : str
        ``cosmos`` templates from the bank, or ``sersic`` profiles.
    magnitude : str
        ``population``: r = F814W magnitude of the source + colour + ``dimming_mag``,
        so magnitude and size come jointly from one real galaxy.
        ``host_tied``: r = host r + one of ``host_dmag`` (the predecessor's way).
    dimming_mag : (low, high)
        Uniform magnitude offset of ``population``.
    host_dmag : list of float
        Offsets of ``host_tied``.
    colours : str
        ``galaxy``: those of the source, measured where the bank has photometry,
        else drawn from what galaxies of its magnitude and redshift have.
        ``scattered``: bivariate normal in g-r and r-z for every task.
        ``single``: one colour.
    g_r, r_z : (mean, sigma)
        Observed-frame colours of ``scattered`` and ``single``, which ignores sigma.
    colour_scatter : (sigma of g-r, sigma of r-z)
        Of ``galaxy``: scatter about the colours of the drawn spectral type.
    colour_correlation : float
        Correlation of g-r and r-z in either scatter.
    rotate : bool
        Whether templates are rotated and mirrored at random.
    """

    kind: Literal["cosmos", "sersic"] = "cosmos"
    magnitude: Literal["population", "host_tied"] = "population"
    dimming_mag: tuple[float, float] = (0.0, 1.5)
    host_dmag: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    colours: Literal["galaxy", "scattered", "single"] = "scattered"
    g_r: tuple[float, float] = (0.45, 0.30)
    r_z: tuple[float, float] = (0.45, 0.25)
    colour_scatter: tuple[Positive, Positive] = (0.15, 0.12)
    colour_correlation: Annotated[float, Field(gt=-1.0, lt=1.0)] = 0.5
    rotate: bool = True


class Lens(Section):
    """The deflector: a singular isothermal ellipsoid with external shear.

    Parameters
    ----------
    theta_e_arcsec : list of float
        The range [low, high], or the ``grid`` itself.
    theta_e_draw : str
        ``uniform`` or ``log_uniform`` in the range, one value of the ``grid``, or
        ``population``: from the redshifts of host and source and the velocity
        dispersion of the host, within the range.
    cosmology : Cosmology
        Of ``population``.
    deflectors : Deflectors
        Of ``population``.
    q : (low, high)
        Uniform axis ratio.
    shear_sigma : float
        Standard deviation of each shear component.
    source_offset_max : float
        Source inside this fraction of theta_E, uniform in area.
    centre_jitter_arcsec : float
        Standard deviation of the deflector about the galaxy, per axis.
    """

    theta_e_arcsec: tuple[Positive, ...] = (0.6, 2.5)
    theta_e_draw: Literal["uniform", "log_uniform", "grid", "population"] = "uniform"
    cosmology: Cosmology = Cosmology()
    deflectors: Deflectors = Deflectors()
    q: tuple[Annotated[float, Field(ge=0.2, le=1.0)], Annotated[float, Field(ge=0.2, le=1.0)]] = (
        0.5,
        0.98,
    )
    shear_sigma: Annotated[float, Field(ge=0.0, le=0.2)] = 0.04
    source_offset_max: Annotated[float, Field(gt=0.0, le=1.5)] = 0.8
    centre_jitter_arcsec: Annotated[float, Field(ge=0.0, le=0.5)] = 0.05

    @model_validator(mode="after")
    def _range_has_two_values(self) -> Self:
        if self.theta_e_draw != "grid" and len(self.theta_e_arcsec) != 2:
            raise ValueError("theta_e_arcsec must hold [low, high] unless theta_e_draw is grid")
        if self.theta_e_draw == "population" and self.theta_e_arcsec[0] >= self.theta_e_arcsec[1]:
            raise ValueError(f"theta_e_arcsec must ascend, got {list(self.theta_e_arcsec)}")
        return self


class Controls(Section):
    """What is not a lens.

    Hosts are put in blocks of similar galaxies and given roles within a block,
    so the classes are balanced in magnitude, seeing and depth by construction.

    Parameters
    ----------
    unpaired_fraction : float
        Share of hosts that are only ever controls with nothing added.
    paired : bool
        Whether each positive has a control of the same host with nothing added.
    matched_light : bool
        Whether each positive has a control on another host that carries the
        same added flux and colour, unlensed.
    hard_negatives : bool
        Whether catalogued look-alikes in train and val cells are controls.
    """

    unpaired_fraction: Fraction = 0.25
    paired: bool = True
    matched_light: bool = True
    hard_negatives: bool = False


class Noise(Section):
    """Noise of the added light.

    Parameters
    ----------
    arc_shot_noise : bool
        Whether added light carries photon noise, from gain_eff = sky level x invvar.
    """

    arc_shot_noise: bool = True


class Rendering(Section):
    """How scenes become pixels.

    Parameters
    ----------
    engine : str
        ``numba``, or the independent and slow ``lenstronomy``: same inputs, same outputs.
    quality : str
        How finely light is sampled; ``darkhaloscope.lensing.render`` states the error of each level.
    """

    engine: Literal["numba", "lenstronomy"] = "numba"
    quality: Literal["draft", "standard", "fine"] = "standard"


class Split(Section):
    """How the sky is divided.

    Parameters
    ----------
    nside : int
        HEALPix NESTED resolution of the cells.
    fractions : (train, val, test)
        Shares of galaxies and of area.
    guard_deg : float
        Train and val hosts nearer to a test cell than this are not used.
    seed : int
        Seed of the assignment.
    """

    nside: Literal[32, 64, 128] = 32
    fractions: tuple[Fraction, Fraction, Fraction] = (0.70, 0.15, 0.15)
    guard_deg: Annotated[float, Field(ge=0.0)] = 0.5
    seed: int = 13

    @model_validator(mode="after")
    def _sum_is_one(self) -> Self:
        if abs(sum(self.fractions) - 1.0) > 1e-9:
            raise ValueError(f"fractions must sum to 1, got {sum(self.fractions)}")
        return self


class Storage(Section):
    """How training shards keep their images; the archive of stamps keeps every bit.

    Parameters
    ----------
    form : str
        ``float32``, bit for bit; ``quantised``, whole numbers of steps with
        subtractive dither, a quarter of the size.
    steps_per_sigma : float
        Steps in one sigma of a stamp's sky; without effect for ``float32``.
    """

    form: Literal["float32", "quantised"] = "float32"
    steps_per_sigma: Annotated[float, Field(ge=32.0, le=1024.0)] = 32.0


class Evaluation(Section):
    """The grading.

    Parameters
    ----------
    fpr : float
        False-positive rate on test controls that freezes the threshold.
    theta_e_edges_arcsec, seeing_edges_arcsec : list of float
        Cell edges of the selection function.
    """

    fpr: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    theta_e_edges_arcsec: tuple[float, ...] = (0.6, 1.0, 1.4, 1.8, 2.5)
    seeing_edges_arcsec: tuple[float, ...] = (1.0, 1.2, 1.35, 1.6)


class Waiver(Section):
    """Permission to go on although a gate failed.

    Parameters
    ----------
    gate : str
        Gate id.
    reason : str
        Why; printed on every report downstream.
    expires : str or None
        ISO date after which it is void.
    """

    gate: str
    reason: Annotated[str, Field(min_length=20)]
    expires: str | None = None


class ThresholdOverride(Section):
    """Another threshold for one gate, with the reason."""

    gate: str
    name: str
    value: float
    reason: Annotated[str, Field(min_length=20)]


class Gates(Section):
    """Waivers and overrides; thresholds themselves are in ``gates.thresholds``."""

    waivers: tuple[Waiver, ...] = ()
    overrides: tuple[ThresholdOverride, ...] = ()
