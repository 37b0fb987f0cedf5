"""Stamps out of coadds: one reader for hosts, anchors and anything else with a position.

A brick's files are opened once for all its positions, one after another
(``planes``). Arrays are as DR10 stores them: (y, x), y up = north, x right =
decreasing RA. A fault is a status of the stamp, never an exception that stops
its neighbours.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.survey import layout
from darkhaloscope.survey.bricks import candidate_bricks
from darkhaloscope.survey.cutout import OK, OUTSIDE, Cutout, FloatArray, judge_pixels, no_cutout
from darkhaloscope.survey.fits_tables import UNREADABLE
from darkhaloscope.survey.layout import BAND_PRODUCTS, MASK_PRODUCT
from darkhaloscope.survey.planes import Plane, PlaneError, open_plane
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.roots import Root, open_root

OFF_EDGE = "off_edge"

_SCALE_TOLERANCE = 0.01


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


class BrickCoadd:
    """The coadds of one brick: each file is opened once for all stamps, one file at a time.

    Parameters
    ----------
    root : Root
        Survey root.
    release : Release
        Bands and bad bits.
    brickname : str
        Brick.
    """

    def __init__(self, root: Root, release: Release, brickname: str) -> None:
        self.root = open_root(root)
        self.release = release
        self.brickname = brickname
        self._first: Plane | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._first is not None:
            self._first.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns) of the brick's images."""
        return self._reference().shape

    def pixel_positions(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return 0-based pixel coordinates (x, y) of ICRS positions in degrees.

        Raises
        ------
        CoaddError
            If the brick's first image is absent or its WCS is not north up at
            the release's pixel scale.
        """
        x, y = self._wcs().all_world2pix(np.asarray(ra_deg, float), np.asarray(dec_deg, float), 0)
        return np.atleast_1d(x), np.atleast_1d(y)

    def cut(self, x_px: ArrayLike, y_px: ArrayLike, size_px: int) -> list[Cutout]:
        """Cut stamps, each centred on the pixel grid point nearest to its position.

        Parameters
        ----------
        x_px, y_px : array_like, shape (n,)
            0-based positions, from :meth:`pixel_positions`.
        size_px : int
            Side.

        Returns
        -------
        list of Cutout, length n
            A file's fault is the status of every stamp inside the brick, a
            damaged tile's that of the stamps that need it.
        """
        x, y = np.atleast_1d(np.asarray(x_px, float)), np.atleast_1d(np.asarray(y_px, float))
        off_edge = no_cutout(OFF_EDGE, self.release, self.brickname)
        cutouts = [off_edge] * len(x)
        try:
            rows, columns = self.shape
        except CoaddError as error:
            return [replace(off_edge, status=error.status)] * len(x)
        half = (size_px - 1) / 2.0
        inside: list[tuple[int, tuple[int, int], tuple[int, int]]] = []
        for i in np.flatnonzero(np.isfinite(x) & np.isfinite(y)).tolist():
            x0, y0 = int(np.rint(x[i] - half)), int(np.rint(y[i] - half))
            cutouts[i] = replace(
                off_edge, x_offset_px=float(x[i] - half - x0), y_offset_px=float(y[i] - half - y0)
            )
            if x0 >= 0 and y0 >= 0 and x0 + size_px <= columns and y0 + size_px <= rows:
                inside.append((i, (x0, y0), (int(np.rint(x[i])), int(np.rint(y[i])))))
        stamps = self._read([corner for _, corner, _ in inside], [centre for _, _, centre in inside], size_px)
        for k, (i, _, _) in enumerate(inside):
            cutouts[i] = stamps.judged(k, cutouts[i], self.release)
        return cutouts

    def _read(self, corners: list[tuple[int, int]], centres: list[tuple[int, int]], size: int) -> _Stamps:
        """Read every plane once for stamps that lie inside, given the (x, y) of first and central pixel."""
        bands = self.release.bands
        stamps = _Stamps.empty(len(corners), len(bands), size)
        if not corners:
            return stamps
        # Tiles of all planes are decoded into one canvas: pages are given by the kernel once.
        canvas = np.empty(self.shape, dtype=np.float32)
        for product in (*BAND_PRODUCTS, MASK_PRODUCT):
            # Images first, so that a brick without a band says so rather than naming a side product.
            for k, band in enumerate(bands if product in BAND_PRODUCTS else (None,)):
                todo = [i for i, status in enumerate(stamps.status) if not status]
                try:
                    plane = self._open(product, band) if todo else None
                except CoaddError as error:
                    stamps.fail(todo, error.status)
                    plane = None
                if plane is None:
                    return stamps
                store = canvas if band is not None else canvas.view(np.int32)
                for i in todo:
                    (x, y), side = (centres[i], 1) if product == "psfsize" else (corners[i], size)
                    try:
                        section = plane.section((y, y + side), (x, x + side), store)
                    except PlaneError as error:
                        stamps.fail([i], self._unreadable(product, band, str(error)).status)
                        continue
                    stamps.put(i, product, k, section)
                if plane is not self._first:
                    plane.close()
        return stamps

    def _reference(self) -> Plane:
        """Return the first band's image, whose grid is the brick's."""
        if self._first is None:
            self._first = self._open("image", self.release.bands[0])
        return self._first

    def _open(self, product: str, band: str | None) -> Plane:
        if self._first is not None and (product, band) == ("image", self.release.bands[0]):
            return self._first
        try:
            path = self.root.path(layout.coadd_file(self.release, self.brickname, product, band))
            return open_plane(path, f"Coadd {product}", self._first)
        except MissingDataError as error:
            status = f"missing_band_{band}" if product == "image" else f"missing_{_label(product, band)}"
            raise CoaddError(status, str(error)) from error
        except (DataError, PlaneError) as error:
            raise self._unreadable(product, band, str(error)) from error

    def _wcs(self) -> WCS:
        header = self._reference().header
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


@dataclass
class _Stamps:
    """Pixels of a brick's stamps as they are read, and why some cannot be."""

    status: list[str]
    image: NDArray[np.float32]
    invvar: NDArray[np.float32]
    maskbits: NDArray[np.int32]
    seeing: FloatArray

    @classmethod
    def empty(cls, n: int, bands: int, size: int) -> _Stamps:
        image, invvar = (np.empty((n, bands, size, size), dtype=np.float32) for _ in range(2))
        mask = np.empty((n, size, size), dtype=np.int32)
        return cls([""] * n, image, invvar, mask, np.empty((n, bands)))

    def fail(self, rows: list[int], status: str) -> None:
        for i in rows:
            self.status[i] = status

    def put(self, row: int, product: str, band: int, section: NDArray[Any]) -> None:
        if product == "psfsize":
            value = float(section[0, 0])
            self.seeing[row, band] = value if value > 0.0 else np.nan
        elif product == MASK_PRODUCT:
            self.maskbits[row] = section
        else:
            (self.image if product == "image" else self.invvar)[row, band] = section

    def judged(self, row: int, located: Cutout, release: Release) -> Cutout:
        """Return the cutout of a row: its pixels, or the status that says why there are none."""
        if self.status[row]:
            return replace(located, status=self.status[row], x_offset_px=np.nan, y_offset_px=np.nan)
        seeing = self.seeing[row]
        cutout = judge_pixels(
            replace(located, psf_fwhm_arcsec=seeing),
            self.image[row],
            self.invvar[row],
            self.maskbits[row],
            release,
        )
        for band, fwhm in zip(release.bands, seeing, strict=True):
            if np.isnan(fwhm):
                return replace(cutout, status=f"no_psf_{band}", image=None, invvar=None, maskbits=None)
        return cutout


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
            rows = groups[name]
            for i, cutout in zip(
                rows, _cut_brick(root, release, name, ra[rows], dec[rows], size_px), strict=True
            ):
                if result[i] is None or cutout.status == OK:
                    result[i] = cutout
        attempt += 1
        pending = [i for i in pending if _status_of(result[i]) != OK and len(candidates[i]) > attempt]
    return [cutout if cutout is not None else no_cutout(OUTSIDE, release) for cutout in result]


def _cut_brick(
    root: Root, release: Release, name: str, ra: FloatArray, dec: FloatArray, size_px: int
) -> list[Cutout]:
    with BrickCoadd(root, release, name) as brick:
        try:
            x, y = brick.pixel_positions(ra, dec)
        except CoaddError as error:
            return [no_cutout(error.status, release, name)] * len(ra)
        return brick.cut(x, y, size_px)


def _status_of(cutout: Cutout | None) -> str:
    return "" if cutout is None else cutout.status


def _label(product: str, band: str | None) -> str:
    return product if band is None else f"{product}_{band}"
