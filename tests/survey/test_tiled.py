"""Compressed images read without astropy's header objects, beside astropy's own reading."""

import numpy as np
import pytest
import sky_tree
from astropy.io import fits
from astropy.wcs import WCS

from darkhaloscope.survey import tiled

HOW = {
    "rice_dither": ("f4", {"compression_type": "RICE_1", "quantize_method": 2, "dither_seed": 7}),
    "rice_plain": ("f4", {"compression_type": "RICE_1", "quantize_method": -1}),
    "rice_short": ("i2", {"compression_type": "RICE_1"}),
    "gzip": ("f4", {"compression_type": "GZIP_1", "quantize_level": 0.0}),
    "gzip_shuffled": ("f4", {"compression_type": "GZIP_2", "quantize_level": 0.0}),
    "hcompress": ("i4", {"compression_type": "HCOMPRESS_1"}),
}


def write(path, how, *, shape=(210, 330), tiles=(100, 100), cards=()):
    kind, options = HOW[how]
    data = np.random.default_rng([5]).normal(0.0, 40.0, shape).astype(kind)
    hdu = fits.CompImageHDU(data, tile_shape=tiles, **options)
    hdu.header.extend(cards)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("tiles", [(100, 100), (1, 330), (64, 37)])
def test_every_tile_is_what_astropy_reads(tmp_path, how, tiles):
    if how == "hcompress" and tiles[0] == 1:
        tiles = (10, 330)  # its tiles have at least four rows
    path = write(tmp_path / "p.fits.fz", how, tiles=tiles)
    image = tiled.open_tiled(path)
    with fits.open(path) as hdus:
        truth = np.asarray(hdus[1].data)
    high, wide = tiles
    for y in range(0, 210, high):
        for x in range(0, 330, wide):
            window = np.s_[y : min(y + high, 210), x : min(x + wide, 330)]
            assert np.array_equal(image[window], truth[window])
    assert image[0:210, 0:330].dtype == truth.dtype
    assert np.array_equal(image[0:210, 0:330], truth)
    image.close()


def test_cards_have_the_values_astropy_gives_them(tmp_path):
    cards = [
        ("TEXT", "it's text / with a slash", "and a comment"),
        ("EMPTY", "", "no text"),
        ("YES", True, "truth / slash"),
        ("WHOLE", -12345678901, ""),
        ("REAL", -1.2345678901234567e-17, ""),
        ("HIERARCH long keyword", 3.0, ""),
        ("COMMENT", "no value", ""),
        ("NOTHING", None, "undefined"),
    ]
    path = write(tmp_path / "p.fits.fz", "gzip", cards=cards)
    with path.open("rb") as handle, fits.open(path, disable_image_compression=True) as hdus:
        found = [extension.cards for extension in tiled.iter_extensions(handle)]
        assert len(found) == len(hdus)
        for mine, hdu in zip(found, hdus, strict=True):
            for key, value in mine.items():
                truth = hdu.header[key]
                assert value == (None if isinstance(truth, fits.card.Undefined) else truth), key
            plain = {key for key in hdu.header if len(key) <= 8 and " " not in key}
            assert plain - set(mine) <= {"", "COMMENT", "HISTORY", "END"}


def test_a_real_in_fortran_notation_is_a_number():
    card = "CRVAL1  =         1.234567D+02 / old".ljust(80)
    assert tiled.parse_cards(card) == {"CRVAL1": 123.4567}


def test_the_coordinate_system_is_astropys_to_the_last_bit(pristine_tree):
    path = sky_tree.pair()[0].file(pristine_tree, "image", "g")
    image = tiled.open_tiled(path)
    with fits.open(path) as hdus:
        truth = WCS(hdus[1].header)
    x, y = np.random.default_rng([2]).uniform(0.0, 420.0, (2, 50))
    assert np.array_equal(WCS(image.header).all_pix2world(x, y, 0), truth.all_pix2world(x, y, 0))
    image.close()


def test_units_are_found_by_their_headers_and_a_cut_file_is_named(tmp_path, pristine_tree):
    path = sky_tree.pair()[0].file(pristine_tree, "maskbits")
    with path.open("rb") as handle, fits.open(path, disable_image_compression=True) as hdus:
        for extension, hdu in zip(tiled.iter_extensions(handle), hdus, strict=True):
            info = hdu.fileinfo()
            assert extension.offset == info["datLoc"]
            assert -(-extension.size // tiled.BLOCK) * tiled.BLOCK == info["datSpan"]
    content = path.read_bytes()
    for length in (100, tiled.BLOCK, tiled.BLOCK + 80, len(content) - tiled.BLOCK):
        (tmp_path / "cut").write_bytes(content[:length])
        with (tmp_path / "cut").open("rb") as handle:
            if length == tiled.BLOCK:
                assert len(list(tiled.iter_extensions(handle))) == 1  # whole, but without the image
            else:
                with pytest.raises(tiled.TileError, match=r"ends at byte|has no end"):
                    list(tiled.iter_extensions(handle))


def test_what_is_no_compressed_image(tmp_path):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((5, 5)))]).writeto(tmp_path / "plain.fits")
    assert tiled.open_tiled(tmp_path / "plain.fits") is None
    (tmp_path / "page").write_bytes(b"<html>".ljust(tiled.BLOCK) + b"END".ljust(80).ljust(tiled.BLOCK))
    with pytest.raises(tiled.TileError, match="not a FITS file"):
        tiled.open_tiled(tmp_path / "page")
    hdu = fits.CompImageHDU(np.ones((50, 50), dtype=np.uint16))
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "scaled.fits")
    with pytest.raises(tiled.TileError, match="BZERO"):
        tiled.open_tiled(tmp_path / "scaled.fits")


def test_random_damage_is_an_error_or_other_pixels_never_a_crash(tmp_path):
    """Header and table of tiles are what steers the decoders; each byte of them may be wrong."""
    path = write(tmp_path / "p.fits.fz", "rice_dither")
    content = path.read_bytes()
    rng = np.random.default_rng([11])
    steered = content.index(b"END".ljust(80), tiled.BLOCK) + tiled.BLOCK
    outcomes = set()
    for _ in range(300):
        broken = bytearray(content)
        broken[rng.integers(0, steered)] = rng.integers(0, 256)
        path.write_bytes(bytes(broken))
        try:
            image = tiled.open_tiled(path)
        except tiled.TileError:
            outcomes.add("refused")
            continue
        if image is None:  # ZIMAGE is gone
            continue
        outcomes.add(_read(image))
        image.close()
    assert outcomes == {"refused", "undecodable", "decoded"}


def _read(image):
    try:
        image[0 : min(image.tile_shape[0], image.shape[0]), 0 : min(image.tile_shape[1], image.shape[1])]
    except Exception:  # noqa: BLE001 # the decoders raise a class that astropy does not export
        return "undecodable"
    return "decoded"
