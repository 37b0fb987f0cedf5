"""Reader of GalSim's RealGalaxyCatalog layout, the form in which COSMOS galaxies come.

A directory holds ``real_galaxy_catalog_<sample>.fits`` (one row per galaxy:
where its stamp is, magnitude, noise), ``real_galaxy_catalog_<sample>_fits.fits``
(half-light radius, photometric redshift, profile fits, same row order),
``real_galaxy_images_<sample>_n<k>.fits`` (one stamp per HDU) and, unless they
were left out, ``real_galaxy_PSF_images_<sample>_n<k>.fits``. What makes a good
source is not decided here.

References
----------
Mandelbaum et al. 2012 (MNRAS 420, 1518) and Leauthaud et al. 2007
(ApJS 172, 219) for the sample; GalSim's ``RealGalaxyCatalog`` for the layout.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe

FloatArray = NDArray[np.float64]

_PREFIX = "real_galaxy_catalog_"
_FITS_SUFFIX = "_fits.fits"
_MAIN_COLUMNS = (
    "IDENT",
    "RA",
    "DEC",
    "MAG",
    "BAND",
    "GAL_FILENAME",
    "PSF_FILENAME",
    "GAL_HDU",
    "PSF_HDU",
    "PIXEL_SCALE",
    "NOISE_MEAN",
    "NOISE_VARIANCE",
)
_FITS_COLUMNS = ("IDENT", "mag_auto", "flux_radius", "zphot")


@dataclass
class RealGalaxyCatalog:
    """The galaxies of one catalogue directory, in catalogue order.

    Stamps are read when asked for; files stay open until :meth:`close`.

    Parameters
    ----------
    path : Path
        The main catalogue.
    fits_path : Path
        Its companion with sizes and redshifts.
    ident : ndarray of int64, shape (n,)
        COSMOS identifier.
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        ICRS position.
    mag_f814w : ndarray of float64, shape (n,)
        F814W magnitude (AB).
    gal_filename, psf_filename : list of str, length n
        Files of the stamps, relative to the directory.
    gal_hdu, psf_hdu : ndarray of int64, shape (n,)
        HDU of each stamp.
    pixel_scale_arcsec : ndarray of float64, shape (n,)
        Pixel scale of the stamp.
    noise_mean, noise_variance : ndarray of float64, shape (n,)
        Mean and variance of one pixel of the stamp's sky, counts/s and its square.
    mag_auto : ndarray of float64, shape (n,)
        SExtractor's Kron-like F814W magnitude (AB).
    flux_radius_px : ndarray of float64, shape (n,)
        Half-light radius measured by SExtractor, pixels of the stamp.
    z_phot : ndarray of float64, shape (n,)
        Photometric redshift; NaN or negative where unknown.
    """

    path: Path
    fits_path: Path
    ident: NDArray[np.int64]
    ra_deg: FloatArray
    dec_deg: FloatArray
    mag_f814w: FloatArray
    gal_filename: list[str]
    psf_filename: list[str]
    gal_hdu: NDArray[np.int64]
    psf_hdu: NDArray[np.int64]
    pixel_scale_arcsec: FloatArray
    noise_mean: FloatArray
    noise_variance: FloatArray
    mag_auto: FloatArray
    flux_radius_px: FloatArray
    z_phot: FloatArray
    _open_files: dict[str, tuple[BinaryIO, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, location: str | Path) -> RealGalaxyCatalog:
        """Open the catalogue of a directory, or the main catalogue file itself.

        Raises
        ------
        MissingDataError
            If there is no directory, no catalogue or no companion table.
        DataError
            If several catalogues could be meant, a file is not readable FITS,
            a column is missing, or the two tables do not describe the same
            galaxies.
        """
        path = find_catalog(location)
        companion = path.with_name(path.name.removesuffix(".fits") + _FITS_SUFFIX)
        if not companion.is_file():
            raise MissingDataError(
                describe(
                    "Companion table with sizes and redshifts not found",
                    file=companion,
                    hint="download the whole sample: galsim_download_cosmos keeps both tables",
                )
            )
        main, other = _read_columns(path, _MAIN_COLUMNS), _read_columns(companion, _FITS_COLUMNS)
        ident = np.asarray(main["IDENT"], dtype=np.int64)
        if len(ident) == 0:
            raise DataError(describe("Catalogue has no rows", file=path, expected="at least one galaxy"))
        order = _row_order(ident, np.asarray(other["IDENT"], dtype=np.int64), companion)
        return cls(
            path=path,
            fits_path=companion,
            ident=ident,
            ra_deg=_floats(main["RA"]),
            dec_deg=_floats(main["DEC"]),
            mag_f814w=_floats(main["MAG"]),
            gal_filename=[str(name).strip() for name in main["GAL_FILENAME"]],
            psf_filename=[str(name).strip() for name in main["PSF_FILENAME"]],
            gal_hdu=np.asarray(main["GAL_HDU"], dtype=np.int64),
            psf_hdu=np.asarray(main["PSF_HDU"], dtype=np.int64),
            pixel_scale_arcsec=_floats(main["PIXEL_SCALE"]),
            noise_mean=_floats(main["NOISE_MEAN"]),
            noise_variance=_floats(main["NOISE_VARIANCE"]),
            mag_auto=_floats(other["mag_auto"])[order],
            flux_radius_px=_floats(other["flux_radius"])[order],
            z_phot=_floats(other["zphot"])[order],
        )

    def __len__(self) -> int:
        return len(self.ident)

    @cached_property
    def has_psf(self) -> bool:
        """Whether every PSF file that the catalogue names is there."""
        return all((self.path.parent / name).is_file() for name in set(self.psf_filename))

    def stamp(self, index: int) -> NDArray[np.float32]:
        """Return the image of one galaxy, (y, x), counts/s per pixel.

        Raises
        ------
        MissingDataError
            If the image file does not exist.
        DataError
            If the file or the HDU cannot be read as an image.
        """
        return self._image(self.gal_filename[index], int(self.gal_hdu[index]), index)

    def psf(self, index: int) -> NDArray[np.float32]:
        """Return the PSF image of one galaxy, (y, x), same pixel scale as the stamp.

        Raises
        ------
        MissingDataError
            If the PSF file does not exist; see :attr:`has_psf`.
        DataError
            If the file or the HDU cannot be read as an image.
        """
        return self._image(self.psf_filename[index], int(self.psf_hdu[index]), index)

    def image_files(self) -> list[Path]:
        """Return the image files that the catalogue names, sorted.

        Raises
        ------
        MissingDataError
            If one is absent.
        """
        files = [self.path.parent / name for name in sorted(set(self.gal_filename))]
        for file in files:
            if not file.is_file():
                raise MissingDataError(describe("Image file named by the catalogue not found", file=file))
        return files

    def psf_files(self) -> list[Path]:
        """Return the PSF files that the catalogue names, sorted; empty if any is absent."""
        return [self.path.parent / name for name in sorted(set(self.psf_filename))] if self.has_psf else []

    def close(self) -> None:
        """Close every open image file."""
        for handle, hdus in self._open_files.values():
            hdus.close()
            handle.close()
        self._open_files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _hdus(self, name: str, path: Path) -> Any:
        if name not in self._open_files:
            handle = open(path, "rb")  # noqa: SIM115  kept open for the next stamp, closed by close()
            try:
                self._open_files[name] = handle, fits.open(handle)
            except Exception:
                handle.close()
                raise
        return self._open_files[name][1]

    def _image(self, name: str, hdu: int, index: int) -> NDArray[np.float32]:
        path = self.path.parent / name
        if not path.is_file():
            raise MissingDataError(
                describe("Image file named by the catalogue not found", file=path, row=int(self.ident[index]))
            )
        try:
            with _damage_raises():
                plane = self._hdus(name, path)[hdu]
                data = None if plane.data is None else np.array(plane.data, dtype=np.float32)
                del plane.data
        except (OSError, IndexError, ValueError, TypeError, AstropyUserWarning) as error:
            raise DataError(
                describe(
                    "Galaxy stamp cannot be read",
                    file=path,
                    field=f"HDU {hdu}",
                    row=int(self.ident[index]),
                    got=str(error) or type(error).__name__,
                )
            ) from error
        if data is None or data.ndim != 2:
            raise DataError(
                describe(
                    "Galaxy stamp has the wrong shape",
                    file=path,
                    field=f"HDU {hdu}",
                    row=int(self.ident[index]),
                    expected="a two-dimensional image",
                    got=None if data is None else data.shape,
                )
            )
        return data


@contextmanager
def _damage_raises() -> Iterator[None]:
    """Turn astropy's warning of a truncated or corrupted file into an exception."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*(truncated|corrupted)", category=AstropyUserWarning)
        yield


def find_catalog(location: str | Path) -> Path:
    """Return the main catalogue below a directory.

    Parameters
    ----------
    location : path
        A directory, or the main catalogue file itself.

    Raises
    ------
    MissingDataError
        If nothing of that kind is there.
    DataError
        If there are several; the caller must name the file.
    """
    location = Path(location)
    if location.is_file():
        return location
    if not location.is_dir():
        raise MissingDataError(
            describe(
                "Source catalogue directory not found",
                file=location,
                hint="point --cosmos-catalog at a directory in GalSim's RealGalaxyCatalog layout",
            )
        )
    found = sorted(
        path
        for path in location.glob(f"{_PREFIX}*.fits")
        if not path.name.endswith(_FITS_SUFFIX) and not path.stem.endswith("_selection")
    )
    if not found:
        raise MissingDataError(
            describe("No source catalogue", file=location, expected=f"{_PREFIX}<sample>.fits", got="none")
        )
    if len(found) > 1:
        raise DataError(
            describe(
                "Several source catalogues",
                file=location,
                expected=f"one {_PREFIX}<sample>.fits",
                got=[path.name for path in found],
                hint="give the path of the catalogue file instead of the directory",
            )
        )
    return found[0]


def _read_columns(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        # opened here because astropy does not close a file that it fails to parse
        with _damage_raises(), open(path, "rb") as handle, fits.open(handle) as file:
            tables = [hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)]
            if not tables:
                raise DataError(describe("No binary table in file", file=path, field="HDU 1"))
            known = set(tables[0].columns.names)
            for name in names:
                if name not in known:
                    raise DataError(
                        describe(
                            "Column not found", file=path, field=name, got=sorted(known), hint=_LAYOUT_HINT
                        )
                    )
            return {name: np.array(tables[0].data[name]) for name in names}
    except (OSError, TypeError, ValueError, AstropyUserWarning) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(describe("Not a readable FITS file", file=path, got=str(error))) from error


_LAYOUT_HINT = "the file must be in the RealGalaxyCatalog layout of GalSim's COSMOS sample"


def _row_order(ident: NDArray[np.int64], other: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    """Return for each galaxy its row in the companion table."""
    if np.array_equal(ident, other):
        return np.arange(len(ident), dtype=np.int64)
    row_of = {int(value): row for row, value in enumerate(other)}
    missing = [int(value) for value in ident if int(value) not in row_of]
    if missing:
        raise DataError(
            describe(
                "Companion table does not hold every galaxy",
                file=path,
                field="IDENT",
                row=missing[0],
                got=f"{len(missing)} galaxies without a row",
            )
        )
    return np.array([row_of[int(value)] for value in ident], dtype=np.int64)


def _floats(values: Any) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
