"""The readers on files that cfitsio wrote, in the survey's own style: not astropy's, not ours."""

import fitsio
import numpy as np
import pytest
import sky_tree
from astropy.io import fits

from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.coadds import BrickCoadd, cut_positions
from darkhaloscope.survey.fits_tables import read_columns
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.planes import open_plane
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.sweeps import iter_sources

SIZE = 65
HOW = {
    "image": {"compress": "RICE", "qlevel": -1e-4, "qmethod": "SUBTRACTIVE_DITHER_2"},
    "invvar": {"compress": "RICE", "qlevel": 16, "qmethod": "NO_DITHER"},
    "maskbits": {"compress": "HCOMPRESS"},
    "psfsize": {"compress": "GZIP", "qlevel": 0, "qmethod": "NO_DITHER"},
}
"""Compression of each product, from legacypipe's ``get_compression_kwargs``."""


def write(path, data, wcs, product, **change):
    """Write one coadd with the cards of a survey file: CD matrix, long comments, HIERARCH and history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    header = fitsio.FITSHDR()
    for key, value in dict(wcs.to_header()).items():
        if not key.startswith(("PC", "CDELT", "MJDREF")):
            header.add_record({"name": key, "value": value})
    scale = sky_tree.SCALE_DEG
    for key, value in {"CD1_1": -scale, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale}.items():
        header.add_record({"name": key, "value": value, "comment": "transformation matrix element"})
    header.add_record({"name": "LEGPIPEV", "value": "10.0.3", "comment": "legacypipe git version"})
    header.add_record({"name": "COMMENT", "value": "Image product of the test, " + "long " * 12})
    header.add_record({"name": "HISTORY", "value": "fpack"})
    options = {"tile_dims": (100, 100), **HOW[product], **change}
    fitsio.write(str(path), data, header=header, extname=product, **options)


def mask_of(brick):
    mask = np.zeros((brick.size_px, brick.size_px), dtype=np.int32)
    mask[150:190, 230:260] = 1 << 11
    mask[:40] = 1
    return mask


def write_bricks(root):
    for brick in sky_tree.pair():
        for band in sky_tree.BANDS:
            planes = sky_tree.planes(brick, band)
            # A real map varies, and no tile of it is constant.
            planes["invvar"] *= 1.0 + 0.05 * np.random.default_rng([9]).random(planes["invvar"].shape, "f4")
            for product, data in planes.items():
                write(brick.file(root, product, band), data, brick.wcs, product)
        write(brick.file(root, "maskbits"), mask_of(brick), brick.wcs, "maskbits")


def write_catalogues(root):
    bricks = sky_tree.pair()
    sky_tree.write_brick_tables(root, bricks)
    rows = np.concatenate([sky_tree.sweep_rows(b) for b in bricks])
    path = sky_tree.sweep_path(root, bricks[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    fitsio.write(str(path), rows.astype(rows.dtype.newbyteorder("=")), extname="SWEEP", clobber=True)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("fitsio")
    write_catalogues(root)
    write_bricks(root)
    return root


def as_written(path, window):
    """What cfitsio itself reads back."""
    with fitsio.FITS(str(path)) as file:
        return file[1][window]


def test_files_are_as_the_survey_packs_them(tree):
    brick = sky_tree.pair()[0]
    header = fits.getheader(brick.file(tree, "image", "g"), 1, disable_image_compression=True)
    assert (header["ZCMPTYPE"], header["ZQUANTIZ"]) == ("RICE_1", "SUBTRACTIVE_DITHER_2")
    assert (header["ZTILE1"], header["ZTILE2"]) == (100, 100)
    mask = fits.getheader(brick.file(tree, "maskbits"), 1, disable_image_compression=True)
    assert mask["ZCMPTYPE"] == "HCOMPRESS_1"


def test_stamps_are_the_pixels_cfitsio_reads(tree):
    brick = sky_tree.pair()[0]
    rng = np.random.default_rng([3])
    x, y = rng.uniform(35.0, 380.0, (2, 30))
    with BrickCoadd(tree, DR10_SOUTH, brick.name) as coadd:
        stamps = coadd.cut(x, y, SIZE)
    for stamp, px, py in zip(stamps, x, y, strict=True):
        assert stamp.status == "ok"
        x0, y0 = (int(np.rint(v - (SIZE - 1) / 2)) for v in (px, py))
        window = np.s_[y0 : y0 + SIZE, x0 : x0 + SIZE]
        for k, band in enumerate(sky_tree.BANDS):
            # Dither is subtracted with the same random numbers, so floats agree to rounding.
            image = as_written(brick.file(tree, "image", band), window)
            assert np.abs(stamp.image[k] - image).max() <= 1e-7
            invvar = as_written(brick.file(tree, "invvar", band), window)
            assert np.allclose(stamp.invvar[k], invvar, rtol=1e-6, atol=0)
            seeing = as_written(brick.file(tree, "psfsize", band), np.s_[:, :])
            assert stamp.psf_fwhm_arcsec[k] == seeing[int(np.rint(py)), int(np.rint(px))]
        assert np.array_equal(stamp.maskbits, mask_of(brick)[window])


@pytest.mark.parametrize("tile", [(420, 1), (64, 64), (100, 37)])
def test_any_size_of_tile_gives_the_same_stamps(tmp_path, tree, tile):
    # fpack's default is one row per tile; HCOMPRESS needs at least 4 rows.
    brick = sky_tree.pair()[0]
    for band in sky_tree.BANDS:
        for product in ("image", "invvar", "psfsize"):
            data = as_written(brick.file(tree, product, band), np.s_[:, :])
            lossless = {"compress": "GZIP", "qlevel": 0, "qmethod": "NO_DITHER"}
            write(
                brick.file(tmp_path, product, band),
                data,
                brick.wcs,
                product,
                tile_dims=tile[::-1],
                **lossless,
            )
    rows = max(tile[1], 4)
    write(brick.file(tmp_path, "maskbits"), mask_of(brick), brick.wcs, "maskbits", tile_dims=(rows, tile[0]))
    x, y = np.random.default_rng([4]).uniform(35.0, 380.0, (2, 12))
    with (
        BrickCoadd(tmp_path, DR10_SOUTH, brick.name) as coadd,
        BrickCoadd(tree, DR10_SOUTH, brick.name) as other,
    ):
        for one, reference in zip(coadd.cut(x, y, SIZE), other.cut(x, y, SIZE), strict=True):
            assert one.status == reference.status == "ok"
            assert np.array_equal(one.maskbits, reference.maskbits)
            assert np.abs(one.image - reference.image).max() <= 1e-7
            assert np.allclose(one.invvar, reference.invvar, rtol=1e-6, atol=0)


def test_exact_zeros_stay_zeros_under_dither(tmp_path):
    brick = sky_tree.pair()[0]
    data = sky_tree.planes(brick, "g")["image"]
    data[100:140, 100:160] = 0.0
    path = brick.file(tmp_path, "image", "g")
    write(path, data, brick.wcs, "image")
    plane = open_plane(path, "Coadd image")
    canvas = np.empty(plane.shape, dtype=np.float32)
    section = plane.section((90, 150), (90, 170), canvas).copy()
    plane.close()
    assert np.array_equal(section == 0.0, data[90:150, 90:170] == 0.0)


def test_a_sweep_by_cfitsio_gives_its_values(tree):
    path = sky_tree.sweep_path(tree, sky_tree.pair()[0])
    columns = ("FLUX_Z", "SHAPE_R", "NOBS_G", "PSFDEPTH_G")
    (rows,) = iter_sources(path, DR10_SOUTH, columns, brickids=[1001, 1002])
    with fitsio.FITS(str(path)) as file:
        truth = file[1].read(columns=["RA", "TYPE", "OBJID", "BRICKNAME", *columns])
    for name in ("RA", "OBJID", "FLUX_Z", "SHAPE_R", "NOBS_G"):
        assert np.array_equal(rows[name], truth[name])
    assert rows["TYPE"].tolist() == [
        t.decode().strip() if isinstance(t, bytes) else t.strip() for t in truth["TYPE"]
    ]
    assert rows["PSFDEPTH_G_MAG"] == pytest.approx(22.5 - 2.5 * np.log10(5.0 / np.sqrt(truth["PSFDEPTH_G"])))


def test_columns_of_every_kind_agree_with_cfitsio(tmp_path):
    path = tmp_path / "t.fits"
    rng = np.random.default_rng([1])
    kinds = {
        "A": "i2",
        "B": "u2",
        "C": "i8",
        "D": "u1",
        "E": "f8",
        "F": "3f4",
        "G": "S5",
        "H": "?",
        "I": "u4",
    }
    table = np.zeros(50, dtype=list(kinds.items()))
    for name in "ABCDI":
        table[name] = rng.integers(0, 100 if name == "D" else 30000, 50)
    table["B"][:3], table["I"][0] = 65535, 4_000_000_000
    table["E"], table["F"], table["G"], table["H"] = (
        rng.normal(size=50),
        rng.normal(size=(50, 3)),
        b"ab",
        True,
    )
    fitsio.write(str(path), table)
    found = read_columns(path, tuple(table.dtype.names), "Table")
    for name in "ABCDEFHI":
        assert np.array_equal(found[name], table[name]), name
    assert set(found["G"]) == {"ab"}


def test_parents_and_cutouts_of_a_whole_tree(tree):
    bricks = read_footprint(tree, DR10_SOUTH)
    assert set(bricks["status"].to_pylist()) == {"ok"}
    parents = select_parents(tree, DR10_SOUTH, bricks["tile"][0].as_py(), bricks)
    assert parents.coverage.status == "complete"
    table = parents.table
    stamps = cut_positions(
        tree, DR10_SOUTH, bricks, table["ra"], table["dec"], SIZE, table["brickname"].to_pylist()
    )
    assert [stamp.status for stamp in stamps] == ["ok"] * 6
