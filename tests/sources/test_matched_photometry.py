"""A table of photometry: read from either format, matched by position, incomplete without harm."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.sources.matched_photometry import (
    MATCH_ARCSEC,
    find_photometry,
    match_photometry,
    read_photometry,
)

N = 400
ARCSEC = 1.0 / 3600.0


def columns(**changed):
    rng = np.random.Generator(np.random.Philox(key=4))
    g = rng.uniform(22.0, 26.0, N)
    data = {
        "ID": np.arange(N),
        "ALPHA_J2000": rng.uniform(149.5, 150.7, N),
        "DELTA_J2000": rng.uniform(1.6, 2.8, N),
        "HSC_g_MAG": g,
        "HSC_r_MAG": g - rng.normal(0.6, 0.3, N),
        "HSC_z_MAG": g - rng.normal(1.2, 0.4, N),
        "lp_zPDF": rng.uniform(0.1, 3.0, N),
    }
    return data | changed


def write(folder, data, kind="parquet", name="matched_photometry"):
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table(data), path)
    else:
        Table(data).write(path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "fits"])
def test_colours_are_those_of_the_row_at_the_position(tmp_path, kind):
    data = columns()
    table = read_photometry(write(tmp_path, data, kind))
    order = np.random.Generator(np.random.Philox(key=6)).permutation(N)[:150]
    offset = 0.3 * ARCSEC
    ra = data["ALPHA_J2000"][order] + offset / np.cos(np.radians(data["DELTA_J2000"][order]))
    matched = match_photometry(table, ra, data["DELTA_J2000"][order])
    np.testing.assert_allclose(matched.g_r, (data["HSC_g_MAG"] - data["HSC_r_MAG"])[order], atol=1e-12)
    np.testing.assert_allclose(matched.r_z, (data["HSC_r_MAG"] - data["HSC_z_MAG"])[order], atol=1e-12)
    np.testing.assert_allclose(matched.z_phot, data["lp_zPDF"][order])
    np.testing.assert_allclose(matched.separation_arcsec, 0.3, atol=1e-4)
    coverage = matched.coverage()
    assert (coverage["galaxies"], coverage["matched"], coverage["with_colours"]) == (150, 150, 150)
    assert coverage["median_separation_arcsec"] == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize(("distance", "found"), [(0.95 * MATCH_ARCSEC, True), (1.05 * MATCH_ARCSEC, False)])
def test_a_galaxy_farther_than_the_radius_has_no_match(tmp_path, distance, found):
    data = columns()
    table = read_photometry(write(tmp_path, data))
    matched = match_photometry(table, data["ALPHA_J2000"][:1], data["DELTA_J2000"][:1] + distance * ARCSEC)
    assert bool(np.isfinite(matched.g_r[0])) == found
    assert matched.coverage()["matched"] == int(found)


def test_a_row_belongs_to_the_nearest_of_several_galaxies(tmp_path):
    data = columns()
    table = read_photometry(write(tmp_path, data))
    ra, dec = data["ALPHA_J2000"][0], data["DELTA_J2000"][0]
    matched = match_photometry(table, [ra, ra, ra], [dec + 0.4 * ARCSEC, dec - 0.1 * ARCSEC, np.nan])
    assert np.isfinite(matched.g_r).tolist() == [False, True, False]


@pytest.mark.parametrize("code", [np.nan, -99.0, 99.0, 0.0])
def test_a_band_without_a_measurement_gives_no_colour(tmp_path, code):
    data = columns()
    data["HSC_z_MAG"][3] = code
    table = read_photometry(write(tmp_path, data))
    assert np.isnan(table.r_z[3])
    assert np.isfinite(table.g_r[3])
    assert np.isfinite(np.delete(table.r_z, 3)).all()


def test_redshifts_are_optional_and_negative_ones_unknown(tmp_path):
    data = columns()
    data["lp_zPDF"][5] = -99.0
    assert np.flatnonzero(np.isnan(read_photometry(write(tmp_path, data)).z_phot)).tolist() == [5]
    del data["lp_zPDF"]
    assert np.isnan(read_photometry(write(tmp_path, data)).z_phot).all()


def test_the_classic_catalogue_is_read_too(tmp_path):
    data = columns()
    for band in "grz":
        data[f"HSC_{band}_MAG_AUTO"] = data.pop(f"HSC_{band}_MAG")
    table = read_photometry(write(tmp_path, data, "fits"))
    np.testing.assert_allclose(table.g_r, data["HSC_g_MAG_AUTO"] - data["HSC_r_MAG_AUTO"])


def test_faults_are_named(tmp_path):
    with pytest.raises(MissingDataError, match="absent"):
        read_photometry(tmp_path / "absent.parquet")
    data = columns()
    del data["HSC_r_MAG"]
    with pytest.raises(DataError, match=r"field r.*HSC_r_MAG"):
        read_photometry(write(tmp_path, data))
    hours = columns()
    hours["DELTA_J2000"][7] = 150.0
    path = write(tmp_path, hours)
    with pytest.raises(DataError, match=r"degrees.*row 7"):
        read_photometry(path)
    with pytest.raises(DataError, match="no rows"):
        read_photometry(write(tmp_path, {name: values[:0] for name, values in columns().items()}))
    whole = write(tmp_path, columns(), "fits")
    for name, kind in (("cut.fits", whole.read_bytes()[:4000]), ("cut.parquet", b"PAR1 and no more")):
        (tmp_path / name).write_bytes(kind)
        with pytest.raises(DataError, match=r"cannot be read|No table"):
            read_photometry(tmp_path / name)


def test_a_table_is_found_by_its_name_and_two_are_too_many(tmp_path):
    assert find_photometry(tmp_path) is None
    path = write(tmp_path, columns())
    assert find_photometry(tmp_path) == path
    write(tmp_path, columns(), "fits")
    with pytest.raises(DataError, match="Several"):
        find_photometry(tmp_path)
