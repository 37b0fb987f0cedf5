import numpy as np
import pytest

from darkhaloscope.errors import ConfigError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.sources.bank import SourceBank, build_bank
from darkhaloscope.sources.mock_cosmos import STAMPS_PER_FILE, write_mock_cosmos
from darkhaloscope.sources.realgalaxy import RealGalaxyCatalog


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mock")
    summary = write_mock_cosmos(folder, 120, seed=1)
    return folder, summary


def hashes(folder):
    return {path.name: sha256_file(path) for path in sorted(folder.glob("*.fits"))}


def test_equal_seeds_give_equal_bytes_and_others_do_not(mock, tmp_path):
    write_mock_cosmos(tmp_path / "again", 120, seed=1)
    assert hashes(tmp_path / "again") == hashes(mock[0])
    write_mock_cosmos(tmp_path / "other", 120, seed=2)
    assert not set(hashes(tmp_path / "other").values()) & set(hashes(mock[0]).values())


def test_a_galaxy_does_not_depend_on_how_many_there_are(mock, tmp_path):
    write_mock_cosmos(tmp_path / "few", 10, seed=1)
    with RealGalaxyCatalog.open(tmp_path / "few") as few, RealGalaxyCatalog.open(mock[0]) as many:
        for row in range(10):
            np.testing.assert_array_equal(few.stamp(row), many.stamp(row))
            assert few.mag_f814w[row] == many.mag_f814w[row]


def test_galaxies_differ_in_more_than_brightness_and_size(mock):
    with RealGalaxyCatalog.open(mock[0]) as catalog:
        large = np.flatnonzero(catalog.flux_radius_px > 12.0)[:12]
        ratio = [min(catalog.stamp(row).shape) / catalog.flux_radius_px[row] for row in large]
        corners = [catalog.stamp(row)[:4, :4].ravel() for row in large]
    assert np.std(ratio) > 0.3
    assert np.abs(np.corrcoef(corners)[np.triu_indices(len(large), 1)]).max() < 0.95


def test_several_files_and_the_real_layout(mock):
    folder, summary = mock
    assert summary["n_galaxies"] == 120
    with RealGalaxyCatalog.open(folder) as catalog:
        assert len(catalog.image_files()) == -(-120 // STAMPS_PER_FILE) == 2
        assert catalog.has_psf
        assert catalog.stamp(119).ndim == 2
        assert catalog.psf(119).sum() == pytest.approx(1.0, abs=1e-5)


def test_noise_is_as_wide_and_as_correlated_as_in_the_real_stamps(mock):
    with RealGalaxyCatalog.open(mock[0]) as catalog:
        faint = int(np.argmax(catalog.mag_f814w))
        assert catalog.mag_f814w[faint] > 27.0
        sky = catalog.stamp(faint).astype(float)
        sky -= sky.mean()
        assert sky.std() == pytest.approx(np.sqrt(catalog.noise_variance[faint]), rel=0.1)
        assert (sky[:, 1:] * sky[:, :-1]).mean() / sky.var() == pytest.approx(0.48, abs=0.06)


def test_size_and_magnitude_are_joint(mock):
    with RealGalaxyCatalog.open(mock[0]) as catalog:
        normal = (catalog.mag_f814w < 24.0) & (catalog.flux_radius_px < 33.0) & (catalog.flux_radius_px > 3.3)
        size = np.log10(0.03 * catalog.flux_radius_px[normal])
        slope = np.polyfit(catalog.mag_f814w[normal], size, 1)[0]
        assert slope == pytest.approx(-0.13, abs=0.08)
        assert catalog.mag_f814w[normal].min() > 20.4
        assert catalog.mag_f814w[normal].max() < 23.6


def test_the_builder_accepts_most_and_finds_the_planted_defects(mock, tmp_path):
    folder, summary = mock
    built = build_bank(folder, tmp_path / "bank.h5", max_galaxies=None, seed=1)
    planted = {k: v for k, v in summary["counts"].items() if k in {"star", "faint", "nan", "repeat", "giant"}}
    assert sum(planted.values()) >= 2
    assert built["galaxies"] > 0.8 * 120
    assert built["galaxies"] <= 120 - sum(planted.values())
    assert built["rejected"].get("non_finite_pixels", 0) == planted.get("nan", 0)
    assert built["rejected"].get("duplicate_pixels", 0) == planted.get("repeat", 0)
    assert built["deconvolved"] is True
    assert built["hlr_log10_ratio_rms"] < 0.1
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        assert bank.mag_f814w.max() < 24.0


def test_zero_galaxies_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        write_mock_cosmos(tmp_path, 0, seed=1)


def test_truth_of_mock_reaches_the_template(mock, tmp_path):
    """Flux in the segmentation is the catalogued flux, so units and zero point agree end to end."""
    build_bank(mock[0], tmp_path / "bank.h5", max_galaxies=60, seed=1)
    with SourceBank.open(tmp_path / "bank.h5") as bank:
        ratio = bank.columns["flux"] / bank.columns["flux_catalogue"]
        assert np.median(ratio) == pytest.approx(0.97, abs=0.04)
