"""Coadd files and CCD table of a brick, with DR10's HDUs, compression, quantisation and headers.

Kinds of compression follow legacypipe's ``get_compression_kwargs``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from darkhaloscope.schema import BANDS
from darkhaloscope.survey import layout
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, MockBrick
from darkhaloscope.survey.mock.pixels import BrickPixels
from darkhaloscope.survey.release import DR10_SOUTH

RELEASE_NUMBER = 10000

_CHECKSUM_SEED = -1
_DITHER_2, _NO_DITHER = 2, -1
_TILE_PX = 100
_TILE_COLUMNS = {"COMPRESSED_DATA", "GZIP_COMPRESSED_DATA"}
_GZIP_MAGIC = b"\x1f\x8b"

COMPRESSION: dict[str, dict[str, Any]] = {
    "image": {
        "compression_type": "RICE_1",
        "quantize_level": -1e-4,
        "quantize_method": _DITHER_2,
        "dither_seed": _CHECKSUM_SEED,
    },
    "invvar": {"compression_type": "RICE_1", "quantize_level": 16.0, "quantize_method": _NO_DITHER},
    "psfsize": {"compression_type": "GZIP_1", "quantize_level": 0.0, "quantize_method": _NO_DITHER},
    "maskbits": {"compression_type": "HCOMPRESS_1", "hcomp_scale": 0, "hcomp_smooth": 0},
}
"""Per product: a negative level is an absolute quantum in nMgy, level 0 is lossless."""

CCD_DTYPE = np.dtype(
    [
        ("brickname", "S8"),
        ("ccdname", "S4"),
        ("expnum", "i8"),
        ("filter", "S1"),
        ("exptime", "f4"),
        ("fwhm", "f4"),
        ("ccdskysb", "f4"),
        ("sig1", "f4"),
    ]
)
"""Columns of a brick's CCD table that sky level and noise are derived from."""

UNITS = {"image": "nanomaggy", "invvar": "1/nanomaggy^2", "psfsize": "arcsec", "maskbits": ""}


def write_coadds(root: Path, brick: MockBrick, pixels: BrickPixels, bands: tuple[str, ...]) -> list[Path]:
    """Write the files of a brick and return their paths.

    Parameters
    ----------
    root : Path
        Survey root.
    brick : MockBrick
    pixels : BrickPixels
    bands : tuple of str
        Bands that have files.
    """
    written = []
    for plane, band in enumerate(BANDS):
        if band not in bands:
            continue
        for product, planes in (
            ("image", pixels.image),
            ("invvar", pixels.invvar),
            ("psfsize", pixels.psfsize),
        ):
            path = root / layout.coadd_file(DR10_SOUTH, brick.name, product, band)
            _write(path, brick, product, band, {"": planes[plane]})
            written.append(path)
    path = root / layout.coadd_file(DR10_SOUTH, brick.name, "maskbits")
    empty = np.zeros(pixels.maskbits.shape, dtype=np.uint8)
    planes_by_name: dict[str, NDArray[Any]] = {"MASKBITS": pixels.maskbits, "WISEM1": empty, "WISEM2": empty}
    _write(path, brick, "maskbits", None, planes_by_name)
    written.append(path)
    written.append(_write_ccds(root, brick, pixels, bands))
    return written


def _write_ccds(root: Path, brick: MockBrick, pixels: BrickPixels, bands: tuple[str, ...]) -> Path:
    """Write the table of the brick's exposures, whose mean sky level is that of the band."""
    rows: list[tuple[Any, ...]] = []
    for band in bands:
        facts = pixels.conditions.bands[band]
        count = len(facts.nexp_histogram()) - 1
        level = facts.sky_nmgy / PIXEL_SCALE_ARCSEC**2 * (1.0 + 0.05 * np.linspace(-1.0, 1.0, count))
        fwhm_px = float(np.median(facts.seeing_x) + np.median(facts.seeing_y)) / PIXEL_SCALE_ARCSEC
        sig1 = facts.invvar_per_exposure**-0.5
        rows += [
            (
                brick.name,
                f"S{1 + i}",
                1000 * brick.brickid + i,
                band,
                90.0,
                fwhm_px,
                22.5 - 2.5 * np.log10(v),
                sig1,
            )
            for i, v in enumerate(level)
        ]
    table = np.array(rows, dtype=CCD_DTYPE)
    path = root / layout.ccd_table(DR10_SOUTH, brick.name)
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table)]).writeto(path)
    return path


def _write(
    path: Path, brick: MockBrick, product: str, band: str | None, planes: dict[str, NDArray[Any]]
) -> None:
    hdus: list[Any] = [fits.PrimaryHDU(header=_survey_header(brick, product, band))]
    for name, data in planes.items():
        hdus.append(
            fits.CompImageHDU(
                np.ascontiguousarray(data),
                header=_image_header(brick, data.shape[0], product, band),
                name=name or None,
                tile_shape=(_tile_side(data.shape[0]), _tile_side(data.shape[1])),
                **COMPRESSION[product],
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    packed = bytearray(buffer.getvalue())
    _clear_gzip_times(packed)
    path.write_bytes(packed)


def _clear_gzip_times(packed: bytearray) -> None:
    """Zero the time that astropy's gzip writes into the header of every compressed tile.

    Tiles lie in the heap of a binary table, behind descriptors of length and
    offset; a tile that RICE cannot quantise is gzipped as well.
    """
    with fits.open(io.BytesIO(packed), disable_image_compression=True, lazy_load_hdus=False) as hdus:
        for hdu in hdus[1:]:
            heap = hdu.fileinfo()["datLoc"] + hdu.header.get(
                "THEAP", hdu.header["NAXIS1"] * hdu.header["NAXIS2"]
            )
            for name in _TILE_COLUMNS & set(hdu.columns.names):
                for length, offset in np.asarray(hdu.data.view(np.ndarray)[name]):
                    start = heap + int(offset)
                    if length and packed[start : start + 2] == _GZIP_MAGIC:
                        packed[start + 4 : start + 8] = bytes(4)


def _tile_side(size: int) -> int:
    """Return 100, or a little more where the last tile would be narrower than 4 pixels."""
    side = _TILE_PX
    while 0 < size % side < 4:
        side += 1
    return min(side, size)


def _survey_header(brick: MockBrick, product: str, band: str | None) -> fits.Header:
    header = fits.Header()
    header["SURVEY"] = ("DECaLS", "survey name")
    header["SURVEYDR"] = ("DR10", "survey data release")
    header["RELEASE"] = (RELEASE_NUMBER, "release number")
    header["MOCKSKY"] = (True, "simulated by darkhaloscope.survey.mock")
    header["BRICK"] = (brick.name, "brick name")
    header["BRICKID"] = (brick.brickid, "brick id")
    ra1, ra2, dec1, dec2 = brick.bounds_deg
    for key, value in (("RAMIN", ra1), ("RAMAX", ra2), ("DECMIN", dec1), ("DECMAX", dec2)):
        header[key] = (value, "primary box [deg]")
    header["IMTYPE"] = (product, "coadd product")
    if band is not None:
        header["BAND"] = (band, "band")
        header["FILTER"] = (band, "band")
    return header


def _image_header(brick: MockBrick, size: int, product: str, band: str | None) -> fits.Header:
    header = _survey_header(brick, product, band)
    scale = PIXEL_SCALE_ARCSEC / 3600.0
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": brick.ra,
        "CRVAL2": brick.dec,
        "CRPIX1": (size + 1) / 2.0,
        "CRPIX2": (size + 1) / 2.0,
        "CD1_1": -scale,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale,
        "EQUINOX": 2000.0,
        "IMAGEW": float(size),
        "IMAGEH": float(size),
    }
    header.update(cards)
    if UNITS[product]:
        header["BUNIT"] = UNITS[product]
    if product == "image":
        header["MAGZERO"] = (22.5, "AB magnitude of one nanomaggy")
    return header
