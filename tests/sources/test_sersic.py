import numpy as np
import pytest
from cosmos_catalog import good_galaxies, write_catalogue

from darkhaloscope.errors import DataError
from darkhaloscope.sources.bank import SourceBank, build_bank
from darkhaloscope.sources.morphology import half_light_radius_px
from darkhaloscope.sources.sersic import SersicSources, exponential_template


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sersic")
    write_catalogue(folder / "cat", good_galaxies(12))
    build_bank(folder / "cat", folder / "bank.h5", max_galaxies=None, seed=1)
    return folder / "bank.h5"


@pytest.mark.parametrize("hlr_px", [3.4, 8.0, 14.0])
def test_round_template_has_the_half_light_radius_asked(hlr_px):
    template = exponential_template(hlr_px, axis_ratio=1.0, angle_rad=0.0)
    assert template.sum(dtype=float) == pytest.approx(1.0, abs=1e-5)
    measured = half_light_radius_px(template.astype(float), (47.5, 47.5))
    assert measured == pytest.approx(hlr_px, rel=0.03)


def test_core_is_averaged_over_the_pixel_not_sampled_at_the_cusp():
    template = exponential_template(4.0, axis_ratio=1.0, angle_rad=0.0, size=95)
    fine = np.linspace(-0.5, 0.5, 201)
    mean = np.exp(-1.67835 * np.hypot(fine[:, None], fine[None, :]) / 4.0).mean()
    assert template[47, 47] == pytest.approx(mean / (2 * np.pi * (4.0 / 1.67835) ** 2), rel=0.02)


@pytest.mark.parametrize(("angle_rad", "wide"), [(0.0, "x"), (np.pi / 2, "y")])
def test_major_axis_points_where_the_angle_says(angle_rad, wide):
    template = exponential_template(8.0, axis_ratio=0.4, angle_rad=angle_rad)
    y, x = np.indices(template.shape) - 47.5
    spread = {"x": (template * x**2).sum(), "y": (template * y**2).sum()}
    assert max(spread, key=spread.get) == wide
    assert min(spread.values()) / max(spread.values()) == pytest.approx(0.16, rel=0.15)


def test_interface_follows_the_bank(path):
    with SourceBank.open(path) as bank, SersicSources.open(path) as sersic:
        assert [i.split("-")[1] for i in sersic.ids] == [i.split("-")[1] for i in bank.ids]
        np.testing.assert_array_equal(sersic.split, bank.split)
        np.testing.assert_array_equal(sersic.mag_f814w, bank.mag_f814w)
        np.testing.assert_array_equal(sersic.hlr_arcsec, bank.columns["hlr_catalogue_arcsec"])
        assert sersic.index_of(sersic.ids[7]) == 7
        assert sersic.bank_id != bank.bank_id
        with pytest.raises(DataError, match="not in the bank"):
            sersic.index_of("cosmos-1")


def test_templates_do_not_depend_on_what_else_is_asked(path):
    with SersicSources.open(path) as sersic:
        together = sersic.templates([4, 2, 4])
        np.testing.assert_array_equal(together[1], sersic.templates([2])[0])
        np.testing.assert_array_equal(together[0], together[2])
        assert not np.array_equal(together[0], together[1])
        np.testing.assert_allclose(together.sum(axis=(1, 2), dtype=float), 1.0, atol=1e-5)
