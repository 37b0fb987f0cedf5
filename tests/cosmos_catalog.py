"""A source catalogue in RealGalaxyCatalog layout whose galaxies a test chooses one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

NOISE_SIGMA = 0.0027
ZEROPOINT_MAG = 25.94
SCALE_ARCSEC = 0.03


@dataclass(frozen=True)
class Galaxy:
    """One catalogue row and its stamp; the default is an exponential disc that passes every cut."""

    ident: int
    mag: float = 22.0
    hlr_px: float = 10.0
    ra_deg: float = 150.0
    dec_deg: float | None = None
    z_phot: float = 0.7
    side: int = 90
    sky: float = 0.0
    catalogue_hlr_px: float | None = None
    catalogue_mag: float | None = None
    pixel_scale_arcsec: float = SCALE_ARCSEC
    stamp: NDArray[np.float32] | None = field(default=None, compare=False)

    def pixels(self) -> NDArray[np.float32]:
        """Disc plus white noise and sky, or the given stamp."""
        if self.stamp is not None:
            return self.stamp
        random = np.random.Generator(np.random.Philox(key=self.ident))
        light = disc(self.side, self.hlr_px) * 10.0 ** (0.4 * (ZEROPOINT_MAG - self.mag))
        noise = NOISE_SIGMA * random.standard_normal(light.shape)
        return (light + noise + self.sky).astype(np.float32)


def disc(side: int, hlr_px: float, centre: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Round exponential disc whose total flux, out to infinity, is 1."""
    x0, y0 = centre or ((side - 1) / 2.0, (side - 1) / 2.0)
    y, x = np.indices((side, side))
    scale = hlr_px / 1.67835
    return np.exp(-np.hypot(x - x0, y - y0) / scale) / (2.0 * np.pi * scale**2)


def good_galaxies(count: int, first: int = 1) -> list[Galaxy]:
    """Galaxies that pass every cut, with different sizes and magnitudes."""
    return [Galaxy(first + i, mag=21.5 + 0.1 * (i % 12), hlr_px=6.0 + 0.7 * (i % 9)) for i in range(count)]


def write_catalogue(
    directory: Path, galaxies: Sequence[Galaxy], *, psf: NDArray[np.float32] | None = None
) -> Path:
    """Write both tables, one image file and, if given, one PSF for all."""
    directory.mkdir(parents=True, exist_ok=True)
    n = len(galaxies)
    images = [galaxy.pixels() for galaxy in galaxies]
    _write(directory / "real_galaxy_images_test_n1.fits", images)
    if psf is not None:
        _write(directory / "real_galaxy_PSF_images_test_n1.fits", [psf] * n)
    rows = [
        replace(g, dec_deg=2.0 + 0.001 * i if g.dec_deg is None else g.dec_deg)
        for i, g in enumerate(galaxies)
    ]
    main: list[tuple[str, str, Any]] = [
        ("IDENT", "J", [g.ident for g in rows]),
        ("RA", "D", [g.ra_deg for g in rows]),
        ("DEC", "D", [g.dec_deg for g in rows]),
        ("MAG", "D", [g.mag if g.catalogue_mag is None else g.catalogue_mag for g in rows]),
        ("BAND", "5A", ["F814W"] * n),
        ("GAL_FILENAME", "32A", ["real_galaxy_images_test_n1.fits"] * n),
        ("PSF_FILENAME", "36A", ["real_galaxy_PSF_images_test_n1.fits"] * n),
        ("GAL_HDU", "J", range(n)),
        ("PSF_HDU", "J", range(n)),
        ("PIXEL_SCALE", "D", [g.pixel_scale_arcsec for g in rows]),
        ("NOISE_MEAN", "D", [g.sky for g in rows]),
        ("NOISE_VARIANCE", "D", [NOISE_SIGMA**2] * n),
    ]
    companion: list[tuple[str, str, Any]] = [
        ("IDENT", "J", [g.ident for g in rows]),
        (
            "flux_radius",
            "D",
            [g.hlr_px if g.catalogue_hlr_px is None else g.catalogue_hlr_px for g in rows],
        ),
        ("zphot", "D", [g.z_phot for g in rows]),
        ("mag_auto", "D", [g.mag for g in rows]),
    ]
    write_table(directory / "real_galaxy_catalog_test.fits", main)
    write_table(directory / "real_galaxy_catalog_test_fits.fits", companion)
    return directory


def write_table(path: Path, columns: Sequence[tuple[str, str, Any]]) -> None:
    """Write one binary table."""
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, kind, array=list(values)) for name, kind, values in columns]
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)


def _write(path: Path, images: Sequence[NDArray[np.float32]]) -> None:
    hdus = [fits.PrimaryHDU(images[0]), *(fits.ImageHDU(image) for image in images[1:])]
    fits.HDUList(hdus).writeto(path, overwrite=True)
