import numpy as np
import pytest
from astropy.io import fits
from cosmos_catalog import good_galaxies, write_catalogue, write_table

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog


@pytest.fixture
def folder(tmp_path):
    return write_catalogue(tmp_path / "cat", good_galaxies(4))


def test_rows_and_stamps_belong_together(folder):
    galaxies = good_galaxies(4)
    with RealGalaxyCatalog.open(folder) as catalog:
        assert catalog.ident.tolist() == [1, 2, 3, 4]
        assert not catalog.has_psf
        for row, galaxy in enumerate(galaxies):
            np.testing.assert_array_equal(catalog.stamp(row), galaxy.pixels())
            assert catalog.flux_radius_px[row] == pytest.approx(galaxy.hlr_px)


def test_companion_in_another_order_is_matched_by_identifier(folder):
    path = folder / "real_galaxy_catalog_test_fits.fits"
    write_table(
        path,
        [
            ("IDENT", "J", [4, 3, 2, 1]),
            ("flux_radius", "D", [40.0, 30.0, 20.0, 10.0]),
            ("zphot", "D", [1] * 4),
            ("mag_auto", "D", [22] * 4),
        ],
    )
    with RealGalaxyCatalog.open(folder) as catalog:
        assert catalog.flux_radius_px.tolist() == [10.0, 20.0, 30.0, 40.0]


def test_companion_of_other_galaxies_is_refused(folder):
    path = folder / "real_galaxy_catalog_test_fits.fits"
    values = [("flux_radius", "D", [9.0] * 4), ("zphot", "D", [1] * 4), ("mag_auto", "D", [22] * 4)]
    write_table(path, [("IDENT", "J", [1, 2, 3, 99]), *values])
    with pytest.raises(DataError, match=r"real_galaxy_catalog_test_fits\.fits.*IDENT, row 4"):
        RealGalaxyCatalog.open(folder)


def test_missing_column_is_named(folder):
    path = folder / "real_galaxy_catalog_test_fits.fits"
    write_table(
        path, [("IDENT", "J", [1, 2, 3, 4]), ("flux_radius", "D", [9.0] * 4), ("mag_auto", "D", [22] * 4)]
    )
    with pytest.raises(DataError, match="field zphot"):
        RealGalaxyCatalog.open(folder)


def test_missing_directory_catalogue_companion_and_images_are_named(folder, tmp_path):
    with pytest.raises(MissingDataError, match="nowhere"):
        RealGalaxyCatalog.open(tmp_path / "nowhere")
    with pytest.raises(MissingDataError, match="real_galaxy_catalog_<sample>"):
        RealGalaxyCatalog.open(tmp_path)
    (folder / "real_galaxy_images_test_n1.fits").unlink()
    with (
        RealGalaxyCatalog.open(folder) as catalog,
        pytest.raises(MissingDataError, match=r"images_test_n1\.fits, row 3"),
    ):
        catalog.stamp(2)
    (folder / "real_galaxy_catalog_test_fits.fits").unlink()
    with pytest.raises(MissingDataError, match=r"real_galaxy_catalog_test_fits\.fits"):
        RealGalaxyCatalog.open(folder)


def test_two_catalogues_in_one_directory_need_a_choice(folder):
    main = folder / "real_galaxy_catalog_test.fits"
    (folder / "real_galaxy_catalog_other.fits").write_bytes(main.read_bytes())
    (folder / "real_galaxy_catalog_test_selection.fits").write_bytes(main.read_bytes())
    with pytest.raises(DataError, match="Several source catalogues"):
        RealGalaxyCatalog.open(folder)
    with RealGalaxyCatalog.open(main) as catalog:
        assert len(catalog) == 4


@pytest.mark.parametrize("keep", [100, 2880, 6000])
def test_truncated_table_is_a_typed_error(folder, keep):
    path = folder / "real_galaxy_catalog_test.fits"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"real_galaxy_catalog_test\.fits"):
        RealGalaxyCatalog.open(folder)


def test_truncated_images_fail_at_the_lost_galaxy_and_not_before(folder):
    path = folder / "real_galaxy_images_test_n1.fits"
    path.write_bytes(path.read_bytes()[:80_000])
    with RealGalaxyCatalog.open(folder) as catalog:
        assert catalog.stamp(0).shape == (90, 90)
        with pytest.raises(DataError, match=r"Galaxy stamp cannot be read.*row 4"):
            catalog.stamp(3)


def test_a_table_where_an_image_must_be_is_refused(folder):
    write_table(folder / "real_galaxy_images_test_n1.fits", [("A", "J", [1])])
    with RealGalaxyCatalog.open(folder) as catalog, pytest.raises(DataError, match="two-dimensional"):
        catalog.stamp(1)


def test_empty_catalogue_is_refused(folder):
    path = folder / "real_galaxy_catalog_test.fits"
    table = fits.BinTableHDU(fits.getdata(path)[:0])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="no rows"):
        RealGalaxyCatalog.open(folder)


@pytest.mark.realdata
def test_real_catalogue(realdata):
    with RealGalaxyCatalog.open(realdata / "cosmos_23.5_sample") as catalog:
        assert len(catalog) == 10
        assert not catalog.has_psf
        assert catalog.ident[0] == 141190
        assert catalog.mag_f814w[0] == pytest.approx(21.041)
        assert catalog.z_phot[0] == pytest.approx(0.195)
        assert [catalog.stamp(row).shape for row in (0, 9)] == [(234, 233), (81, 82)]
