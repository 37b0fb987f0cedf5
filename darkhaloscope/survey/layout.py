"""Where a file of a release lies below the survey root, and what its name says.

Relative paths only; nothing is opened. Roots are in ``roots``. The layout is that of
``portal.nersc.gov/cfs/cosmo/data/legacysurvey/dr10``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import SurveyRoot

ALL_BRICKS = "survey-bricks.fits.gz"
"""Table of every brick on the sky."""

BAND_PRODUCTS = ("image", "invvar", "psfsize")
"""Coadd products read for every band."""

MASK_PRODUCT = "maskbits"
"""Coadd product read once for all bands."""

_SWEEP = re.compile(r"^sweep-(\d{3})([pm])(\d{3})-(\d{3})([pm])(\d{3})\.fits$")


@dataclass(frozen=True)
class SweepFile:
    """A sweep and the box its name promises.

    Parameters
    ----------
    relative : str
        Path below the survey root.
    ra1, ra2, dec1, dec2 : float
        Box in degrees, half open; ``ra2`` may be 360.
    """

    relative: str
    ra1: float
    ra2: float
    dec1: float
    dec2: float


def sweep_name(ra1: int, dec1: int, ra2: int, dec2: int) -> str:
    """Return the file name of the sweep of a box with whole-degree corners."""
    return f"sweep-{_corner(ra1, dec1)}-{_corner(ra2, dec2)}.fits"


def sweep_files(root: SurveyRoot, release: Release) -> list[SweepFile]:
    """List the sweeps of the release, sorted by name.

    Raises
    ------
    MissingDataError
        If the pinned directory holds none.
    DataError
        If a file name does not state its box.
    """
    directory = release.sweep_directory
    names = root.names(directory, "sweep-*.fits")
    if not names:
        others = root.names(directory.rpartition("/")[0], "*")
        raise MissingDataError(
            describe(
                "No sweep files",
                file=root.where(directory),
                expected="sweep-<brickmin>-<brickmax>.fits",
                got=f"nothing (beside it: {others})" if others else "nothing",
                hint=f"copy {release.sweep_directory}; older sweeps lack the sources of 598 bricks",
            )
        )
    return [_parse_sweep(f"{directory}/{name}") for name in names]


def photo_z_file(sweep: SweepFile) -> str:
    """Return the path of the redshifts that go with a sweep: ``sweep/10.1-photo-z/sweep-...-pz.fits``."""
    directory, _, name = sweep.relative.rpartition("/")
    return f"{photo_z_directory(directory)}/{name.removesuffix('.fits')}-pz.fits"


def photo_z_directory(sweep_directory: str) -> str:
    """Return the directory of the photo-z sweeps that go with a directory of sweeps."""
    return f"{sweep_directory}-photo-z"


def coadd_directory(release: Release, brickname: str) -> str:
    """Return the directory that holds the coadds of a brick."""
    return f"{release.region}/coadd/{brickname[:3]}/{brickname}"


def coadd_name(brickname: str, product: str, band: str | None = None) -> str:
    """Return the file name of a coadd, for example ``legacysurvey-1126p222-image-r.fits.fz``.

    Parameters
    ----------
    brickname : str
        Brick.
    product : str
        ``image``, ``invvar``, ``psfsize``, ``maskbits`` ...
    band : str, optional
        Band; none for ``maskbits``.
    """
    stem = f"legacysurvey-{brickname}-{product}"
    return f"{stem}.fits.fz" if band is None else f"{stem}-{band}.fits.fz"


def coadd_file(release: Release, brickname: str, product: str, band: str | None = None) -> str:
    """Return the path of a coadd."""
    return f"{coadd_directory(release, brickname)}/{coadd_name(brickname, product, band)}"


def ccd_table(release: Release, brickname: str) -> str:
    """Return the path of the table of the CCDs that went into a brick."""
    return f"{coadd_directory(release, brickname)}/legacysurvey-{brickname}-ccds.fits"


def required_coadds(brickname: str, bands: tuple[str, ...]) -> dict[str, str]:
    """Return what a usable brick must hold: label such as ``image-z`` to file name."""
    wanted = {f"{p}-{b}": coadd_name(brickname, p, b) for b in bands for p in BAND_PRODUCTS}
    wanted[MASK_PRODUCT] = coadd_name(brickname, MASK_PRODUCT)
    return wanted


def brick_name(ra_deg: float, dec_deg: float) -> str:
    """Return the name of the brick centred there; the name does not give the centre back."""
    sign = "p" if dec_deg >= 0.0 else "m"
    return f"{int(10.0 * ra_deg):04d}{sign}{int(10.0 * abs(dec_deg)):03d}"


def _corner(ra: int, dec: int) -> str:
    return f"{ra:03d}{'p' if dec >= 0 else 'm'}{abs(dec):03d}"


def _parse_sweep(path: str) -> SweepFile:
    match = _SWEEP.match(path.rpartition("/")[2])
    if match is None:
        raise DataError(
            describe("Sweep name does not state its box", file=path, expected="sweep-000m005-010p000.fits")
        )
    ra1, sign1, dec1, ra2, sign2, dec2 = match.groups()
    low = -float(dec1) if sign1 == "m" else float(dec1)
    high = -float(dec2) if sign2 == "m" else float(dec2)
    if not (float(ra1) < float(ra2) and low < high):
        raise DataError(describe("Sweep box is empty", file=path, expected="brickmin below brickmax"))
    return SweepFile(path, float(ra1), float(ra2), low, high)
