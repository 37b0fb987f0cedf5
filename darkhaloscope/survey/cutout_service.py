"""Cutouts from the survey's viewer: the client of its ``fits-cutout`` page.

For a few thousand positions at most; whole bricks are read through ``coadds``.
The service re-renders the coadds onto a tangent plane centred on the position,
so its pixels are not the coadds' own: flux agrees within a few per cent, noise
is resampled once more. Answers are kept on disk by request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darkhaloscope.errors import ConfigError, DataError, describe
from darkhaloscope.survey.cache import FileCache
from darkhaloscope.survey.cutout import OUTSIDE, Cutout, judge_pixels, no_cutout
from darkhaloscope.survey.fits_tables import UNREADABLE, open_fits
from darkhaloscope.survey.release import Release
from darkhaloscope.survey.transport import WebTransport

VIEWER = "https://www.legacysurvey.org/viewer"

IN_FLIGHT = 3
"""Requests at once that the service tolerates; beyond it answers 429."""

MAX_SIZE_PX = 3000
"""Largest side the service renders."""

_NAME = re.compile(
    r"^(?P<layer>[^/]+)/(?P<bands>[a-z]+)-(?P<size>\d+)px-(?P<scale>[\d.]+)/"
    r"(?P<ra>\d+\.\d{6})_(?P<dec>[+-]\d+\.\d{6})\.fits$"
)
_WHAT = "Cutout of the survey's viewer"


class CutoutService:
    """Stamps by position from the viewer.

    Parameters
    ----------
    cache : path
        Directory of answers.
    url : str
        Address of the viewer.
    cache_gb : float
        Size the answers are kept below.
    """

    def __init__(self, cache: str | Path, *, url: str = VIEWER, cache_gb: float = 5.0) -> None:
        self._cache = FileCache(
            cache, _Requests(url), max_bytes=int(cache_gb * 1e9), in_flight=IN_FLIGHT, sha256={}
        )

    def cut(self, release: Release, ra_deg: float, dec_deg: float, size_px: int) -> Cutout:
        """Return the stamp centred on a position.

        Parameters
        ----------
        release : Release
            Layer, bands, pixel scale, bad bits.
        ra_deg, dec_deg : float
            ICRS.
        size_px : int
            Side, at most ``MAX_SIZE_PX``.

        Returns
        -------
        Cutout
            As from the coadds: (y, x), y up = north, x right = decreasing RA.
            The position is the stamp's centre to a micro-degree. The PSF is not
            part of the answer: ``psf_fwhm_arcsec`` is NaN. Where the release
            has no pixels, ``outside_footprint``.

        Raises
        ------
        ConfigError
            If the size is out of range.
        EngineError
            If the service cannot be reached: no network, or refused after every retry.
        DataError
            If what it sends is not a cutout of these bands, size and scale.
        """
        if not 1 <= size_px <= MAX_SIZE_PX:
            raise ConfigError(
                describe("Size of a cutout", field="size_px", expected=f"1 to {MAX_SIZE_PX}", got=size_px)
            )
        none = no_cutout(OUTSIDE, release)
        if not release.covers(ra_deg, dec_deg).all():
            return none
        path = self._cache.fetch(_file_name(release, ra_deg, dec_deg, size_px))
        planes = _read(path, release, size_px)
        if planes is None:
            return none
        image, invvar, mask = planes
        return judge_pixels(replace(none, x_offset_px=0.0, y_offset_px=0.0), image, invvar, mask, release)

    def cut_all(
        self, release: Release, ra_deg: ArrayLike, dec_deg: ArrayLike, size_px: int
    ) -> Iterator[Cutout]:
        """Yield the stamps of many positions, in order."""
        positions = zip(np.atleast_1d(ra_deg).tolist(), np.atleast_1d(dec_deg).tolist(), strict=True)
        for ra, dec in positions:
            yield self.cut(release, ra, dec, size_px)


class _Requests(WebTransport):
    """Turns the name of a kept answer into the request that gives it."""

    def download(self, relative: str, target: Path) -> int:
        match = _NAME.match(relative)
        if match is None:
            raise DataError(describe("Not the name of a cutout", file=relative))
        query = urlencode(
            {
                "ra": match["ra"],
                "dec": match["dec"],
                "layer": match["layer"],
                "size": match["size"],
                "bands": match["bands"],
                "pixscale": match["scale"],
            }
        )
        return self.download_url(f"{self.base}/fits-cutout?{query}&invvar&maskbits", target)

    def names(self, directory: str) -> list[str]:
        """Return nothing: a service has no listing."""
        del directory
        return []


def _file_name(release: Release, ra_deg: float, dec_deg: float, size_px: int) -> str:
    what = f"{''.join(release.bands)}-{size_px}px-{release.pixel_scale_arcsec}"
    return f"{release.viewer_layer}/{what}/{ra_deg % 360.0:.6f}_{dec_deg:+.6f}.fits"


def _read(
    path: Path, release: Release, size_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]] | None:
    """Return image, invvar and mask; None if the file holds no pixels."""
    shape = (len(release.bands), size_px, size_px)
    with open_fits(path, _WHAT) as hdus:
        try:
            if len(hdus) == 1 and hdus[0].data is None:
                return None
            # The first extension is the image, whatever the layer calls it.
            kinds = ["IMAGE", *(str(hdu.header.get("IMAGETYP", "")).strip().upper() for hdu in hdus[1:])]
            found = {
                kind: np.asarray(hdu.data)
                for kind, hdu in zip(kinds, hdus, strict=True)
                if hdu.data is not None
            }
            header = hdus[0].header
            bands = str(header.get("BANDS", "")).strip()
            scale = abs(float(header["CD1_1"])) * 3600.0
        except UNREADABLE as error:
            raise _not_a_cutout(path, "a complete answer", str(error)) from error
    for name, wanted in (("IMAGE", shape), ("INVVAR", shape), ("MASKBITS", shape[1:])):
        if name not in found or found[name].shape != wanted:
            got = found[name].shape if name in found else f"only {sorted(found)}"
            raise _not_a_cutout(path, f"{name} of shape {wanted}", got)
    if bands and bands != "".join(release.bands):
        raise _not_a_cutout(path, f"bands {''.join(release.bands)}", bands)
    if abs(scale / release.pixel_scale_arcsec - 1.0) > 0.01:
        raise _not_a_cutout(path, f"{release.pixel_scale_arcsec} arcsec per pixel", f"{scale:.4f}")
    return (
        found["IMAGE"].astype(np.float32),
        found["INVVAR"].astype(np.float32),
        found["MASKBITS"].astype(np.int32),
    )


def _not_a_cutout(path: Path, expected: Any, got: Any) -> DataError:
    return DataError(
        describe(
            f"{_WHAT} is not what was asked for",
            file=path,
            expected=expected,
            got=got,
            hint="remove the file and ask again; if it stays so, the service has changed",
        )
    )
