"""What a data release promises: numbers, bands, scale, sky limits, mask bits.

Only facts and named sets; no file is opened here. Sources: the DR10 pages
"description", "bitmasks" and "files" of legacysurvey.org.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import ConfigError, ContractError, describe

MASK_BITS: Mapping[str, int] = MappingProxyType(
    {
        "NPRIMARY": 0,
        "BRIGHT": 1,
        "SATUR_G": 2,
        "SATUR_R": 3,
        "SATUR_Z": 4,
        "ALLMASK_G": 5,
        "ALLMASK_R": 6,
        "ALLMASK_Z": 7,
        "WISEM1": 8,
        "WISEM2": 9,
        "BAILOUT": 10,
        "MEDIUM": 11,
        "GALAXY": 12,
        "CLUSTER": 13,
        "SATUR_I": 14,
        "ALLMASK_I": 15,
        "SUB_BLOB": 16,
    }
)
"""Bit numbers of DR10 MASKBITS, in the coadd maps and in the catalogue."""

_SPLIT_LAYERS = ("ls-dr10", "ls-dr10-grz", "ls-dr10-gri", "ls-dr9")


@dataclass(frozen=True)
class Limits:
    """Range a catalogued condition must lie in for every band.

    Parameters
    ----------
    psf_fwhm_arcsec : (low, high)
        Seeing the renderer is accurate for.
    min_psfdepth_mag : dict of str to float
        Shallowest 5-sigma point-source depth per band.
    max_ebv_mag : float
        Largest reddening.
    """

    psf_fwhm_arcsec: tuple[float, float]
    min_psfdepth_mag: Mapping[str, float]
    max_ebv_mag: float


@dataclass(frozen=True)
class Release:
    """One photometric system of one data release.

    Parameters
    ----------
    name : str
        Name used in experiments, scores and reports.
    release_numbers : tuple of int
        Values of ``RELEASE`` that belong to it.
    bands : tuple of str
        In storage order.
    pixel_scale_arcsec : float
        Of the coadds.
    photsys : str
        ``S`` for DECam, ``N`` for BASS/MzLS.
    region : str
        Directory of the photometric system below the survey root.
    dec_limit_deg : float
        At and above this declination and north of the Galactic plane the sky
        is BASS/MzLS's, elsewhere DECam's.
    viewer_layer : str
        Layer of the survey's viewer that serves these pixels and no others.
    sweep_directory, brick_summary : str
        Below the survey root. The sweeps are pinned to the directory in which
        the 598 bricks of the SUB_BLOB fault are repaired.
    pixel_bits : dict of str to tuple of str
        Bits that make a stamp pixel bad, per band.
    catalogue_bits : tuple of str
        Bits at a galaxy's position that reject it as a host, in order of report.
    limits : Limits
        Conditions of a usable galaxy.
    """

    name: str
    release_numbers: tuple[int, ...]
    bands: tuple[str, ...]
    pixel_scale_arcsec: float
    photsys: str
    region: str
    dec_limit_deg: float
    viewer_layer: str
    sweep_directory: str
    brick_summary: str
    pixel_bits: Mapping[str, tuple[str, ...]]
    catalogue_bits: tuple[str, ...]
    limits: Limits

    def __post_init__(self) -> None:
        if set(self.pixel_bits) != set(self.bands):
            raise ContractError(
                describe("Bad-pixel bits", field="pixel_bits", expected=self.bands, got=[*self.pixel_bits])
            )
        for bits in (*self.pixel_bits.values(), self.catalogue_bits):
            # A pixel outside the primary box is as good as any other: NPRIMARY is geometry.
            if "NPRIMARY" in bits:
                raise ContractError(describe("NPRIMARY marks geometry, not damage", file=self.name))

    def pixel_mask(self, band: str) -> int:
        """Return the MASKBITS value whose bits make a pixel of ``band`` bad."""
        return bit_mask(self.pixel_bits[band])

    def covers(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
        """Say which positions belong to this photometric system.

        Parameters
        ----------
        ra_deg, dec_deg : array_like, shape (n,)
            ICRS.

        Returns
        -------
        ndarray of bool, shape (n,)
            False where another camera took the survey's pixels. North is at or
            above ``dec_limit_deg`` and north of the Galactic plane.
        """
        ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
        beyond = dec >= self.dec_limit_deg
        if beyond.any():
            from astropy import units as u  # costs 0.4 s and 30 MB, and few positions are this far north
            from astropy.coordinates import SkyCoord

            sky = SkyCoord(ra[beyond] * u.deg, dec[beyond] * u.deg, frame="icrs")
            beyond[beyond] = np.asarray(sky.galactic.b.deg) > 0.0
        inside: NDArray[np.bool_] = beyond if self.photsys == "N" else ~beyond
        return inside


def bit_mask(names: tuple[str, ...]) -> int:
    """Return the MASKBITS value with the named bits set."""
    return sum(1 << MASK_BITS[name] for name in names)


def _pixel_bits(bands: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return star halos and failed fits for all bands, saturation and masks of the band itself."""
    common = ("BRIGHT", "MEDIUM", "BAILOUT")
    return MappingProxyType({b: (*common, f"SATUR_{b.upper()}", f"ALLMASK_{b.upper()}") for b in bands})


_CATALOGUE_BITS = ("BRIGHT", "MEDIUM", "GALAXY", "CLUSTER", "BAILOUT", "ALLMASK_G", "ALLMASK_R", "ALLMASK_Z")

_LIMITS = Limits(
    psf_fwhm_arcsec=(0.6, 2.5),
    # About 1.5 mag shallower than two nominal visits (24.7, 23.9, 23.0): one poor visit.
    min_psfdepth_mag=MappingProxyType({"g": 23.2, "r": 22.4, "z": 21.5}),
    max_ebv_mag=0.3,
)

DR10_SOUTH = Release(
    name="dr10-south",
    release_numbers=(10000, 10002),
    bands=("g", "r", "z"),
    pixel_scale_arcsec=0.262,
    photsys="S",
    region="south",
    dec_limit_deg=32.375,
    viewer_layer="ls-dr10-south",
    sweep_directory="south/sweep/10.1",
    brick_summary="south/survey-bricks-dr10-south.fits.gz",
    pixel_bits=_pixel_bits(("g", "r", "z")),
    catalogue_bits=_CATALOGUE_BITS,
    limits=_LIMITS,
)

DR9_SOUTH = replace(
    DR10_SOUTH,
    name="dr9-south",
    viewer_layer="ls-dr9-south",
    release_numbers=(9010, 9012),
    sweep_directory="south/sweep/9.0",
    brick_summary="south/survey-bricks-dr9-south.fits.gz",
)

DR9_NORTH = replace(
    DR9_SOUTH,
    name="dr9-north",
    viewer_layer="ls-dr9-north",
    release_numbers=(9011,),
    photsys="N",
    region="north",
    sweep_directory="north/sweep/9.0",
    brick_summary="north/survey-bricks-dr9-north.fits.gz",
)

RELEASES: Mapping[str, Release] = MappingProxyType(
    {release.name: release for release in (DR10_SOUTH, DR9_SOUTH, DR9_NORTH)}
)


def get_release(name: str) -> Release:
    """Return a release by name.

    Raises
    ------
    ConfigError
        If there is none of that name, or the name is a viewer layer that mixes
        two releases.
    """
    if name in _SPLIT_LAYERS:
        raise ConfigError(
            describe(
                "This layer serves the pixels of two cameras, divided at Dec 32.375",
                field="survey.release",
                expected=f"one of {sorted(RELEASES)}",
                got=name,
                hint=f"set survey.release to {DR10_SOUTH.name}",
            )
        )
    if name not in RELEASES:
        raise ConfigError(
            describe(
                "Unknown release", field="survey.release", expected=f"one of {sorted(RELEASES)}", got=name
            )
        )
    return RELEASES[name]
