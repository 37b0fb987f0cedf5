"""Stamps out of coadds: one reader for hosts, anchors and anything else with a position.

A brick is opened once for all its positions. A plane is read in sections, or
decoded whole where so many stamps are wanted that decoding costs less. Arrays
are as DR10 stores them: (y, x), y up = north, x right = decreasing RA. A fault
is a status of the stamp, never an exception that stops its neighbours.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.bricks import candidate_bricks
from darkhaloscope.survey.fits_tables import UNREADABLE, open_fits
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, open_root

OK = "ok"
OFF_EDGE = "off_edge"
OUTSIDE = "outside_footprint"

CORE_PX = 11
"""Side of the central box in which each band must have been observed."""

_WHOLE_PLANE_STAMPS_PER_PX = 1.2e-5
"""Decode whole above this many stamps per pixel of the plane.

One 101 px section costs 0.6 ms, decoding 6.5 to 7.5 ns per pixel (RICE,
100 x 100 tiles), so the two meet at 28 stamps on 1540 px and 155 on 3600 px.
"""

_SCALE_TOLERANCE = 0.01
_WCS_CARDS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")
_MASK_PRODUCT = "maskbits"

FloatArray = NDArray[np.float64]


class CoaddError(DataError):
    """A coadd file is absent, damaged or contradicts the others.

    Parameters
    ----------
    status : str
        What a stamp that needs the file is called.
    message : str
        For people.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Cutout:
    """A stamp around a position, or the reason there is none.

    Parameters
    ----------
    status : str
        ``ok``; ``outside_footprint``, ``off_edge``, ``missing_band_<b>``,
        ``missing_<product>``, ``unreadable_<product>``, ``no_psf_<b>``,
        ``non_finite``, ``zero_invvar_<b>``.
    brickname : str
        Brick the pixels come from, empty if none was found.
    x_offset_px, y_offset_px : float
        Position minus stamp centre ((size - 1) / 2); NaN if not located.
    psf_fwhm_arcsec : ndarray, shape (bands,)
        From the psfsize maps at the position; NaN where unknown.
    bad_pixel_frac : ndarray, shape (bands,)
        Share of pixels with invvar <= 0, not finite, or a bad bit of the band.
    nan_pixels : int
        Not finite image or invvar values.
    image, invvar : ndarray of float32, shape (bands, size, size), or None
        nMgy/px and 1/nMgy^2; None unless ``ok``.
    maskbits : ndarray of int32, shape (size, size), or None
        DR10 MASKBITS.
    """

    status: str
    brickname: str
    x_offset_px: float
    y_offset_px: float
    psf_fwhm_arcsec: FloatArray
    bad_pixel_frac: FloatArray
    nan_pixels: int = 0
    image: NDArray[np.float32] | None = None
    invvar: NDArray[np.float32] | None = None
    maskbits: NDArray[np.int32] | None = None


def no_cutout(status: str, release: Release, brickname: str = "") -> Cutout:
    """Return a cutout without pixels."""
    unknown = np.full(len(release.bands), np.nan)
    return Cutout(status, brickname, np.nan, np.nan, unknown, unknown.copy())


def judge_pixels(
    located: Cutout,
    image: NDArray[np.float32],
    invvar: NDArray[np.float32],
    maskbits: NDArray[np.int32],
    release: Release,
) -> Cutout:
    """Give a located cutout its pixels, or the status that says why they are no use.

    Parameters
    ----------
    located : Cutout
        With its offsets and, where known, its PSF.
    image, invvar : ndarray of float32, shape (bands, size, size)
        nMgy/px and 1/nMgy^2.
    maskbits : ndarray of int32, shape (size, size)
        DR10 MASKBITS.
    release : Release
        Bands and bad bits.

    Returns
    -------
    Cutout
        ``ok`` with pixels; ``non_finite`` or ``zero_invvar_<b>`` without.
    """
    used = np.isfinite(image) & np.isfinite(invvar) & (invvar > 0.0)
    for k, band in enumerate(release.bands):
        used[k] &= (maskbits & release.pixel_mask(band)) == 0
    judged = replace(
        located,
        bad_pixel_frac=1.0 - used.mean(axis=(1, 2)),
        nan_pixels=int((~np.isfinite(image)).sum() + (~np.isfinite(invvar)).sum()),
    )
    if judged.nan_pixels:
        return replace(judged, status="non_finite")
    low = (invvar.shape[-1] - min(CORE_PX, invvar.shape[-1])) // 2
    core = invvar[:, low : invvar.shape[-1] - low, low : invvar.shape[-1] - low]
    for k, band in enumerate(release.bands):
        if not (core[k] > 0.0).any():
            return replace(judged, status=f"zero_invvar_{band}")
    return replace(judged, status=OK, image=image, invvar=invvar, maskbits=maskbits)


class BrickCoadd:
    """The coadds of one brick, opened when first needed and closed together.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Bands and bad bits.
    brickname : str
        Brick.
    stamps : int
        Stamps that will be cut, to choose between sections and whole planes.
    """

    def __init__(self, root: Root, release: Release, brickname: str, stamps: int = 1) -> None:
        self.root = open_root(root)
        self.release = release
        self.brickname = brickname
        self._stamps = stamps
        self._stack = ExitStack()
        self._planes: dict[tuple[str, str | None], Any] = {}
        self._wcs: WCS | None = None
        self._header: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns) of the brick's images."""
        header = self._reference_header()
        return int(header["NAXIS2"]), int(header["NAXIS1"])

    def pixel_positions(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return 0-based pixel coordinates (x, y) of ICRS positions in degrees.

        Raises
        ------
        CoaddError
            If the brick's first image is absent or its WCS is not north up at
            the release's pixel scale.
        """
        if self._wcs is None:
            self._wcs = self._read_wcs()
        x, y = self._wcs.all_world2pix(np.asarray(ra_deg, float), np.asarray(dec_deg, float), 0)
        return np.atleast_1d(x), np.atleast_1d(y)

    def cut(self, x_px: float, y_px: float, size_px: int) -> Cutout:
        """Cut a stamp whose centre is the pixel grid point nearest to a position.

        Parameters
        ----------
        x_px, y_px : float
            0-based position, from :meth:`pixel_positions`.
        size_px : int
            Side.

        Returns
        -------
        Cutout
            File faults become its status.
        """
        none = no_cutout(OFF_EDGE, self.release, self.brickname)
        try:
            rows, columns = self.shape
            if not (np.isfinite(x_px) and np.isfinite(y_px)):
                return none
            half = (size_px - 1) / 2.0
            x0, y0 = int(np.rint(x_px - half)), int(np.rint(y_px - half))
            located = replace(none, x_offset_px=x_px - half - x0, y_offset_px=y_px - half - y0)
            if x0 < 0 or y0 < 0 or x0 + size_px > columns or y0 + size_px > rows:
                return located
            return self._fill(located, (x0, y0), (int(np.rint(x_px)), int(np.rint(y_px))), size_px)
        except CoaddError as error:
            return replace(none, status=error.status)

    def _fill(self, located: Cutout, corner: tuple[int, int], centre: tuple[int, int], size: int) -> Cutout:
        """Read the planes of a stamp that lies inside and judge them."""
        bands = self.release.bands
        (x0, y0), (x, y) = corner, centre
        image = np.empty((len(bands), size, size), dtype=np.float32)
        invvar = np.empty_like(image)
        seeing = np.empty(len(bands))
        # Images first, so that a brick without a band says so rather than naming a side product.
        for product, target in (("image", image), ("invvar", invvar)):
            for k, band in enumerate(bands):
                target[k] = self._section(product, band, (y0, y0 + size), (x0, x0 + size))
        mask = self._section(_MASK_PRODUCT, None, (y0, y0 + size), (x0, x0 + size)).astype(np.int32)
        for k, band in enumerate(bands):
            seeing[k] = self._section("psfsize", band, (y, y + 1), (x, x + 1))[0, 0]
        seeing[~(seeing > 0.0)] = np.nan

        judged = judge_pixels(replace(located, psf_fwhm_arcsec=seeing), image, invvar, mask, self.release)
        for k, band in enumerate(bands):
            if np.isnan(seeing[k]):
                return replace(judged, status=f"no_psf_{band}", image=None, invvar=None, maskbits=None)
        return judged

    def _section(
        self, product: str, band: str | None, y: tuple[int, int], x: tuple[int, int]
    ) -> NDArray[Any]:
        """Return pixels of a plane, opening it at first use."""
        plane = self._planes.get((product, band))
        if plane is None:
            plane = self._open(product, band)
        try:
            section = np.asarray(plane[y[0] : y[1], x[0] : x[1]])
        except UNREADABLE as error:
            raise self._unreadable(product, band, str(error)) from error
        if section.shape != (y[1] - y[0], x[1] - x[0]):
            raise self._unreadable(product, band, f"section has shape {section.shape}")
        return section

    def _open(self, product: str, band: str | None) -> Any:
        hdu = self._image_hdu(product, band)
        if hdu.shape != self.shape:
            raise self._unreadable(product, band, f"shape {hdu.shape}, image has {self.shape}")
        reference = self._reference_header()
        for card in _WCS_CARDS:
            # All products of a brick share one pixel grid; another grid is another brick's file.
            if card in hdu.header and not np.isclose(hdu.header[card], reference[card], rtol=0, atol=1e-9):
                raise self._unreadable(product, band, f"{card} {hdu.header[card]} is not {reference[card]}")
        whole = (
            product != "psfsize" and self._stamps > _WHOLE_PLANE_STAMPS_PER_PX * hdu.shape[0] * hdu.shape[1]
        )
        try:
            plane = hdu.data if whole else hdu.section
        except UNREADABLE as error:
            raise self._unreadable(product, band, str(error)) from error
        self._planes[product, band] = plane
        return plane

    def _image_hdu(self, product: str, band: str | None) -> Any:
        """Open a file and return its image extension: extension 1, as fpack writes it."""
        try:
            path = self.root.path(layout.coadd_file(self.release, self.brickname, product, band))
            hdus = self._stack.enter_context(open_fits(path, f"Coadd {product}"))
            hdu = hdus[1]
            if not isinstance(hdu, fits.CompImageHDU | fits.ImageHDU) or len(hdu.shape) != 2:
                raise self._unreadable(product, band, f"extension 1 is {type(hdu).__name__}")
        except MissingDataError as error:
            status = f"missing_band_{band}" if product == "image" else f"missing_{_label(product, band)}"
            raise CoaddError(status, str(error)) from error
        except CoaddError:
            raise
        except (DataError, *UNREADABLE) as error:
            raise self._unreadable(product, band, str(error)) from error
        return hdu

    def _reference_header(self) -> Any:
        if self._header is None:
            self._header = self._image_hdu("image", self.release.bands[0]).header
        return self._header

    def _read_wcs(self) -> WCS:
        header = self._reference_header()
        with warnings.catch_warnings():
            # DR10 headers carry dates that wcslib normalises; positions are not touched.
            warnings.simplefilter("ignore", FITSFixedWarning)
            try:
                wcs = WCS(header)
                matrix = wcs.pixel_scale_matrix * 3600.0
            except (*UNREADABLE, MemoryError) as error:
                raise self._unreadable("wcs", None, str(error)) from error
        scale = self.release.pixel_scale_arcsec
        expected = np.diag([-scale, scale])
        if list(wcs.wcs.ctype) != ["RA---TAN", "DEC--TAN"] or not np.allclose(
            matrix, expected, atol=_SCALE_TOLERANCE * scale
        ):
            raise self._unreadable("wcs", None, f"{list(wcs.wcs.ctype)}, {matrix.tolist()} arcsec per pixel")
        return wcs

    def _unreadable(self, product: str, band: str | None, got: str) -> CoaddError:
        label = _label(product, band)
        path = self.root.where(layout.coadd_directory(self.release, self.brickname))
        return CoaddError(
            f"unreadable_{label}",
            describe(f"Coadd {label} of brick {self.brickname} cannot be used", file=path, got=got),
        )


def cut_positions(
    root: Root,
    release: Release,
    bricks: pa.Table,
    ra_deg: ArrayLike,
    dec_deg: ArrayLike,
    size_px: int,
    bricknames: list[str] | None = None,
) -> list[Cutout]:
    """Cut stamps around positions, opening each brick once.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Bands, scale, bad bits.
    bricks : pyarrow.Table
        At least ``brickname``, ``ra``, ``dec``, ``ra1``, ``ra2``, ``dec1``,
        ``dec2``; those that may hold the stamps.
    ra_deg, dec_deg : array_like, shape (n,)
        ICRS.
    size_px : int
        Side of the stamps.
    bricknames : list of str, optional
        Brick to try first per position; by default the one whose primary box
        holds it.

    Returns
    -------
    list of Cutout, length n
        In the order given. Where the first brick cannot hold the whole stamp,
        the neighbours that overlap there are tried; if none can, the first
        brick's status stands.
    """
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    candidates = candidate_bricks(bricks, ra, dec, bricknames)
    result: list[Cutout | None] = [None] * len(ra)
    pending = [i for i in range(len(ra)) if candidates[i]]
    attempt = 0
    while pending:
        groups: dict[str, list[int]] = {}
        for i in pending:
            groups.setdefault(candidates[i][attempt], []).append(i)
        for name in sorted(groups):
            for i, cutout in zip(
                groups[name], _cut_brick(root, release, name, ra, dec, groups[name], size_px), strict=True
            ):
                if result[i] is None or cutout.status == OK:
                    result[i] = cutout
        attempt += 1
        pending = [i for i in pending if _status_of(result[i]) != OK and len(candidates[i]) > attempt]
    return [cutout if cutout is not None else no_cutout(OUTSIDE, release) for cutout in result]


def _cut_brick(
    root: Root,
    release: Release,
    name: str,
    ra: FloatArray,
    dec: FloatArray,
    rows: list[int],
    size_px: int,
) -> list[Cutout]:
    with BrickCoadd(root, release, name, stamps=len(rows)) as brick:
        try:
            x, y = brick.pixel_positions(ra[rows], dec[rows])
        except CoaddError as error:
            return [no_cutout(error.status, release, name) for _ in rows]
        return [brick.cut(float(px), float(py), size_px) for px, py in zip(x, y, strict=True)]


def _status_of(cutout: Cutout | None) -> str:
    return "" if cutout is None else cutout.status


def _label(product: str, band: str | None) -> str:
    return product if band is None else f"{product}_{band}"
