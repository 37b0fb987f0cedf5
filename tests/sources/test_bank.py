import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from cosmos_catalog import Galaxy, disc, good_galaxies, write_catalogue
from scipy import ndimage

from darkhaloscope.errors import ContractError, DataError, MissingDataError, StorageError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.sources import trying
from darkhaloscope.sources.bank import (
    BankLimits,
    SourceBank,
    assign_source_splits,
    build_bank,
    check_bank,
    input_hashes,
    open_sources,
)
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog
from darkhaloscope.sources.selection import DEFAULT_LIMITS


def build(folder, galaxies, **options):
    write_catalogue(folder / "cat", galaxies)
    options = {"max_galaxies": None, "seed": 1, **options}
    return build_bank(folder / "cat", folder / "bank.h5", **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bank")
    build(folder, good_galaxies(24))
    return folder


@pytest.fixture
def bank(folder):
    with SourceBank.open(folder / "bank.h5") as bank:
        yield bank


def reasons(path):
    with h5py.File(path) as file:
        pairs = zip(file["rejected/ident"][:], file["rejected/reason"][:], strict=True)
        return {ident.decode(): reason.decode() for ident, reason in pairs}


def test_every_good_galaxy_is_in_with_its_catalogue_truth(bank):
    galaxies = {f"cosmos-{g.ident}": g for g in good_galaxies(24)}
    assert bank.ids.tolist() == sorted(galaxies)
    for row, source_id in enumerate(bank.ids):
        galaxy = galaxies[source_id]
        assert bank.index_of(source_id) == row
        assert bank.mag_f814w[row] == pytest.approx(galaxy.mag)
        assert bank.z_phot[row] == pytest.approx(galaxy.z_phot)
        assert bank.hlr_arcsec[row] == pytest.approx(0.03 * galaxy.hlr_px, rel=0.07)
        truth = disc(96, galaxy.hlr_px)
        assert np.corrcoef(bank.templates([row])[0].ravel(), truth.ravel())[0, 1] > 0.97


def test_templates_are_float32_sum_to_one_and_come_in_the_order_asked(bank):
    rows = [5, 0, 5, 23]
    templates = bank.templates(rows)
    assert templates.shape == (4, 96, 96)
    assert templates.dtype == np.float32
    np.testing.assert_allclose(templates.sum(axis=(1, 2), dtype=float), 1.0, atol=1e-5)
    np.testing.assert_array_equal(templates[0], templates[2])
    np.testing.assert_array_equal(templates[3], bank.templates([23])[0])
    assert bank.pixel_scale_arcsec == 0.03


def test_equal_builds_give_equal_bytes_at_any_time(folder, tmp_path):
    time.sleep(1.1)
    build_bank(folder / "cat", tmp_path / "again.h5", max_galaxies=None, seed=1)
    assert sha256_file(tmp_path / "again.h5") == sha256_file(folder / "bank.h5")


def test_smaller_bank_is_a_subset_with_the_same_splits(folder, bank, tmp_path):
    summary = build_bank(folder / "cat", tmp_path / "small.h5", max_galaxies=20, seed=1)
    assert summary["galaxies"] == 20
    with SourceBank.open(tmp_path / "small.h5") as small:
        assert set(small.ids) < set(bank.ids)
        large = dict(zip(bank.ids, bank.split, strict=True))
        assert all(large[i] == s for i, s in zip(small.ids, small.split, strict=True))
        assert small.bank_id != bank.bank_id


def test_a_repeated_galaxy_is_counted_only_where_it_was_reached(tmp_path):
    write_catalogue(tmp_path / "cat", [*good_galaxies(24), Galaxy(3)])
    counted = [
        build_bank(tmp_path / "cat", tmp_path / "b.h5", max_galaxies=4, seed=seed)["tried"]
        for seed in range(1, 7)
    ]
    assert min(counted) == 4


def test_another_seed_chooses_other_galaxies(folder, tmp_path):
    chosen = []
    for seed in (1, 2):
        build_bank(folder / "cat", tmp_path / "b.h5", max_galaxies=8, seed=seed)
        with SourceBank.open(tmp_path / "b.h5") as small:
            chosen.append(set(small.ids))
    assert chosen[0] != chosen[1]


BLEND = Galaxy(912, mag=21.5, hlr_px=6.0).pixels() + 10.0 ** (0.4 * (25.94 - 22.2)) * disc(
    90, 2.5, (57.5, 44.5)
).astype(np.float32)

FAULTS = {
    "hlr_catalogue_outside": Galaxy(901, hlr_px=2.0),
    "snr_low": Galaxy(902, mag=26.5, hlr_px=4.0),
    "hlr_disagrees": Galaxy(903, hlr_px=8.0, catalogue_hlr_px=16.0),
    "flux_disagrees": Galaxy(904, catalogue_mag=20.5),
    "larger_than_template": Galaxy(905, mag=19.5, hlr_px=30.0, side=260),
    "hlr_measured_outside": Galaxy(906, mag=21.0, hlr_px=2.6, catalogue_hlr_px=3.4),
    "catalogue_values_missing": Galaxy(907, catalogue_hlr_px=float("nan")),
    "non_finite_pixels": Galaxy(908, stamp=np.full((60, 60), np.nan, dtype=np.float32)),
    "duplicate_pixels": Galaxy(909, mag=21.5, hlr_px=6.0, stamp=good_galaxies(1)[0].pixels()),
    "blended": Galaxy(912, mag=21.5, hlr_px=6.0, catalogue_mag=21.2, stamp=BLEND),
    "duplicate_position": Galaxy(910, dec_deg=2.003),
    "not_detected": Galaxy(911, stamp=np.zeros((60, 60), dtype=np.float32)),
}


def test_every_fault_has_its_own_reason_and_no_row_is_lost(tmp_path):
    galaxies = [*good_galaxies(6), *FAULTS.values(), Galaxy(3)]
    summary = build(tmp_path, galaxies, seed=3)
    found = reasons(tmp_path / "bank.h5")
    expected = {str(galaxy.ident): reason for reason, galaxy in FAULTS.items()}
    # of a repeated pair either may come first in hash order
    for first, second in (("1", "909"), ("4", "910")):
        kept_out = ({first, second} & set(found)).pop()
        assert found.pop(kept_out) == expected.pop(second)
    assert found.pop("3") == "duplicate_ident"
    assert found == expected
    assert summary["galaxies"] + sum(summary["rejected"].values()) == len(galaxies)
    assert summary["tried"] == len(galaxies)


def test_unreadable_stamp_is_counted_and_absent_file_is_an_error(tmp_path):
    write_catalogue(tmp_path / "cat", good_galaxies(8))
    images = tmp_path / "cat" / "real_galaxy_images_test_n1.fits"
    images.write_bytes(images.read_bytes()[:-40_000])
    summary = build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    assert summary["rejected"]["unreadable_stamp"] >= 1
    images.unlink()
    with pytest.raises(MissingDataError, match="images_test_n1"):
        build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)


def test_bank_without_a_galaxy_is_a_typed_error_that_counts_reasons_and_leaves_no_file(tmp_path):
    with pytest.raises(DataError, match=r"Too few galaxies pass.*0 of 3; left out: \{'snr_low': 3\}"):
        build(tmp_path, [Galaxy(i, mag=27.0, side=60, hlr_px=5.0) for i in (1, 2, 3)])
    assert [p.name for p in tmp_path.iterdir()] == ["cat"]


def test_full_scratch_disk_is_a_typed_error(folder, tmp_path, monkeypatch):
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115  closed by the builder under test
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_options: full)
    with pytest.raises(StorageError, match="collecting templates"):
        build_bank(folder / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)


def test_other_pixel_scale_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"PIXEL_SCALE, row 7.*0\.03 arcsec, got 0\.05"):
        build(tmp_path, [*good_galaxies(3), Galaxy(7, pixel_scale_arcsec=0.05)])


def test_unknown_redshift_is_nan(tmp_path):
    build(tmp_path, [Galaxy(1, z_phot=-99.0), *good_galaxies(4, first=2)])
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        assert np.isnan(bank.z_phot[bank.index_of("cosmos-1")])
        assert np.isfinite(bank.z_phot).sum() == 4


def test_psf_images_are_used_where_they_are_and_their_absence_is_recorded(folder, bank, tmp_path):
    assert bank.metadata["deconvolved"] is False
    assert "absent" in bank.metadata["psf"]
    y, x = np.indices((31, 31)) - 15.0
    psf = np.exp(-(x**2 + y**2) / (2.0 * 1.6**2)).astype(np.float32)
    write_catalogue(tmp_path / "cat", good_galaxies(24), psf=psf)
    summary = build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    assert summary["deconvolved"] is True
    with SourceBank.open(tmp_path / "bank.h5") as matched:
        row = bank.index_of("cosmos-1")
        assert matched.metadata["bank_id"] != bank.bank_id
        assert not np.array_equal(matched.templates([row]), bank.templates([row]))
    assert set(input_hashes(tmp_path / "cat")) - set(input_hashes(folder / "cat")) == {
        "real_galaxy_PSF_images_test_n1.fits"
    }


def test_input_hashes_follow_the_pixels(tmp_path):
    write_catalogue(tmp_path / "cat", good_galaxies(3))
    before = input_hashes(tmp_path / "cat")
    assert before["real_galaxy_catalog_test.fits"] == sha256_file(
        tmp_path / "cat" / "real_galaxy_catalog_test.fits"
    )
    write_catalogue(tmp_path / "cat", [*good_galaxies(2), Galaxy(3, stamp=disc(60, 9.0).astype(np.float32))])
    after = input_hashes(tmp_path / "cat")
    assert [name for name in before if before[name] != after[name]]


def test_splits_are_near_their_shares_and_never_empty():
    many = assign_source_splits([f"cosmos-{i}" for i in range(20_000)])
    for name, share in (("train", 0.70), ("val", 0.15), ("test", 0.15)):
        assert np.mean(many == name) == pytest.approx(share, abs=0.01)
    for count in range(3, 12):
        for first in range(0, 300, 20):
            few = assign_source_splits([f"cosmos-{i}" for i in range(first, first + count)])
            assert set(few) == {"train", "val", "test"}


def test_check_finds_a_stored_row_outside_a_limit(folder, bank):
    check_bank(bank, DEFAULT_LIMITS)
    with pytest.raises(ContractError, match="hlr_catalogue_outside"):
        check_bank(bank, BankLimits(hlr_arcsec=(0.1, 0.3)))


def test_check_finds_a_template_of_another_sum(folder, tmp_path):
    path = tmp_path / "bank.h5"
    shutil.copy(folder / "bank.h5", path)
    with h5py.File(path, "r+") as file:
        file["templates"][3] *= 1.01
    with SourceBank.open(path) as bank, pytest.raises(ContractError, match="sum to 1"):
        check_bank(bank, DEFAULT_LIMITS)


def test_missing_truncated_and_foreign_files_are_typed_errors(folder, tmp_path):
    with pytest.raises(MissingDataError, match="materialise cosmos_bank"):
        SourceBank.open(tmp_path / "none.h5")
    data = (folder / "bank.h5").read_bytes()
    for keep in (10, 2000, len(data) // 2, len(data) - 10):
        (tmp_path / "cut.h5").write_bytes(data[:keep])
        with pytest.raises(DataError, match=r"cut\.h5"):
            SourceBank.open(tmp_path / "cut.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(DataError, match="Not a source bank"):
        SourceBank.open(tmp_path / "other.h5")


def test_another_format_version_is_refused(folder, tmp_path):
    shutil.copy(folder / "bank.h5", tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file.attrs["format_version"] = 0
    with pytest.raises(DataError, match="must be 2, got 0"):
        SourceBank.open(tmp_path / "old.h5")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("pixel_scale_arcsec", 0.05, r"field pixel_scale_arcsec.*must be 0\.03, got 0\.05"),
        ("template_px", 128, "field template_px.*must be 96, got 128"),
        ("limits", None, "lacks metadata.*field limits"),
        ("bank_id", None, "lacks metadata.*field bank_id"),
    ],
)
def test_metadata_of_another_geometry_or_without_a_key_is_refused(folder, tmp_path, key, value, told):
    shutil.copy(folder / "bank.h5", tmp_path / "bank.h5")
    with h5py.File(tmp_path / "bank.h5", "r+") as file:
        metadata = json.loads(file.attrs["metadata"])
        if value is None:
            del metadata[key]
        else:
            metadata[key] = value
        file.attrs["metadata"] = np.bytes_(json.dumps(metadata))
    with pytest.raises(DataError, match=told):
        SourceBank.open(tmp_path / "bank.h5")


def test_a_missing_column_is_named(folder, tmp_path):
    shutil.copy(folder / "bank.h5", tmp_path / "bank.h5")
    with h5py.File(tmp_path / "bank.h5", "r+") as file:
        del file["columns/concentration"]
    with pytest.raises(DataError, match="concentration"):
        SourceBank.open(tmp_path / "bank.h5")


def test_catalogued_radii_in_another_unit_are_refused_though_each_galaxy_might_pass(tmp_path):
    """flux_radius in pixels of 0.05 arcsec beside stamps of 0.03: every ratio is 1.67, or 1.3 for 0.04."""
    for scale in (0.05, 0.04, 0.024):
        wrong = [replace(g, catalogue_hlr_px=g.hlr_px * 0.03 / scale) for g in good_galaxies(8)]
        with pytest.raises(DataError, match=r"another scale.*catalog_test_fits\.fits, field flux_radius"):
            build(tmp_path / str(scale), wrong)


@pytest.mark.parametrize("limit", [None, 20])
def test_workers_do_not_change_a_byte(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(trying, "BLOCK_GALAXIES", 3)
    twin = Galaxy(77, mag=21.5, hlr_px=6.0, stamp=good_galaxies(1)[0].pixels())
    write_catalogue(tmp_path / "cat", [*good_galaxies(40), *list(FAULTS.values())[:4], twin])
    for workers in (1, 2):
        path = tmp_path / f"{workers}.h5"
        built = build_bank(tmp_path / "cat", path, max_galaxies=limit, seed=1, workers=workers)
        assert built["galaxies"] == (limit or 40)
    assert sha256_file(tmp_path / "1.h5") == sha256_file(tmp_path / "2.h5")


def test_a_fault_in_a_worker_is_the_same_typed_error(tmp_path, monkeypatch):
    monkeypatch.setattr(trying, "BLOCK_GALAXIES", 4)
    write_catalogue(tmp_path / "cat", good_galaxies(16))
    with RealGalaxyCatalog.open(tmp_path / "cat") as catalog:
        (tmp_path / "cat" / "real_galaxy_images_test_n1.fits").unlink()
        with pytest.raises(MissingDataError, match="images_test_n1"):
            list(trying.try_galaxies(catalog, list(range(16)), DEFAULT_LIMITS, workers=2))


@pytest.mark.parametrize("damage", ["cut", "nan", "dark"])
def test_a_psf_that_cannot_be_used_is_a_reason(tmp_path, damage):
    y, x = np.indices((31, 31)) - 15.0
    psf = np.exp(-(x**2 + y**2) / (2.0 * 1.6**2)).astype(np.float32)
    write_catalogue(tmp_path / "cat", good_galaxies(8), psf=psf)
    path = tmp_path / "cat" / "real_galaxy_PSF_images_test_n1.fits"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-6000])
    else:
        with fits.open(path, mode="update") as file:
            file[3].data[...] = np.nan if damage == "nan" else 0.0
    summary = build_bank(tmp_path / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    reason = "unreadable_psf" if damage == "cut" else "unusable_psf"
    assert summary["rejected"][reason] >= 1
    assert summary["galaxies"] + summary["rejected"][reason] == 8


def test_every_template_fades_to_zero_at_its_edge(bank):
    """No template ends in a step: beside a zero pixel the light is a small part of the peak."""
    for template in bank.templates(range(len(bank))).astype(float):
        lit = template != 0.0
        rim = lit & (ndimage.minimum_filter(lit.astype(int), 3) == 0)
        assert (template[0] == 0.0).all() or abs(template[0]).max() < 0.02 * template.max()
        assert np.abs(template[rim]).mean() < 0.01 * template.max()


def test_shape_columns_and_the_resolution_are_recorded(bank):
    assert bank.metadata["psf_fwhm_arcsec"] == 0.13
    assert np.abs(bank.columns["concentration"] - 2.7).max() < 0.5
    assert (np.abs(bank.columns["clumpiness"]) < 3.0).all()
    assert (bank.columns["blended_flux_fraction"] == 0.0).all()
    np.testing.assert_allclose(bank.columns["mag_auto"], bank.mag_f814w)


def test_unknown_source_is_a_typed_error(bank):
    with pytest.raises(DataError, match=r"'cosmos-0'.*materialise manifest"):
        bank.index_of("cosmos-0")


def test_metadata_is_what_the_builder_returned(folder, bank, tmp_path):
    summary = build_bank(folder / "cat", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    assert json.loads(json.dumps(summary)) == bank.metadata
    assert summary["splits"] == {name: int((bank.split == name).sum()) for name in summary["splits"]}


def test_open_sources_by_kind(folder):
    with (
        open_sources("cosmos", folder / "bank.h5") as cosmos,
        open_sources("sersic", folder / "bank.h5") as sersic,
    ):
        assert len(cosmos) == len(sersic) == 24
        assert not np.array_equal(cosmos.templates([0]), sersic.templates([0]))
    with pytest.raises(ValueError, match="cosmos or sersic"):
        open_sources("gan", folder / "bank.h5")  # type: ignore[arg-type]  # the fault under test


@pytest.mark.realdata
def test_real_galaxies(realdata, tmp_path):
    summary = build_bank(realdata / "cosmos_23.5_sample", tmp_path / "bank.h5", max_galaxies=None, seed=1)
    assert summary["galaxies"] == 8
    found = reasons(tmp_path / "bank.h5")
    assert found.pop("141190") == "larger_than_template"
    assert list(found.values()) == ["larger_than_template"]
    assert summary["deconvolved"] is False
    assert summary["hlr_log10_ratio_rms"] < 0.02
    assert min(summary["splits"].values()) >= 1


def test_photometry_beside_the_catalogue_goes_into_the_bank(tmp_path):
    galaxies = [replace(g, ra_deg=150.0 + 0.01 * i, dec_deg=2.0) for i, g in enumerate(good_galaxies(6))]
    galaxies[1] = replace(galaxies[1], z_phot=-99.0)
    galaxies[2] = replace(galaxies[2], z_phot=0.4)
    without = build(tmp_path / "without", galaxies)
    table = {
        "ra": [g.ra_deg for g in galaxies[:4]],
        "dec": [2.0] * 4,
        "mag_g": [24.0, 24.5, 25.0, 99.0],
        "mag_r": [23.5, 23.6, 24.8, 23.0],
        "mag_z": [23.1, 22.6, 24.7, 22.0],
        "z_phot": [2.2] * 4,
    }
    (tmp_path / "with" / "cat").mkdir(parents=True)
    pq.write_table(pa.table(table), tmp_path / "with" / "cat" / "matched_photometry.parquet")
    summary = build(tmp_path / "with", galaxies)
    assert without["photometry"] is None
    assert summary["bank_id"] != without["bank_id"]
    assert "matched_photometry.parquet" in summary["input_sha256"]
    assert {k: summary["photometry"][k] for k in ("galaxies", "matched", "with_colours")} == {
        "galaxies": 6,
        "matched": 4,
        "with_colours": 3,
    }
    with SourceBank.open(tmp_path / "with" / "bank.h5") as bank:
        rows = [bank.index_of(f"cosmos-{g.ident}") for g in galaxies]
        np.testing.assert_allclose(bank.g_r[rows], [0.5, 0.9, 0.2, *[np.nan] * 3], atol=1e-9)
        np.testing.assert_allclose(bank.r_z[rows], [0.4, 1.0, 0.1, 1.0, np.nan, np.nan], atol=1e-9)
        # the catalogue's redshift stands; the table fills in
        np.testing.assert_allclose(bank.z_phot[rows[:3]], [0.7, 2.2, 0.4])
