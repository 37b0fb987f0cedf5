"""Galaxies of the mock against the DR10 galaxies they are drawn after."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from darkhaloscope import streams
from darkhaloscope.survey.mock.config import SLOT_PX, MockSkyConfig
from darkhaloscope.survey.mock.geometry import PIXEL_SCALE_ARCSEC, plan_bricks
from darkhaloscope.survey.mock.population import background_sources, draw_lrg_photometry, slots

CONFIG = MockSkyConfig()


def photometry(n=20_000):
    return draw_lrg_photometry(streams.generator(3, "lrg", "test"), n)


@pytest.mark.realdata
def test_red_galaxies_follow_dr10(realdata):
    table = pq.read_table(realdata / "catalogs" / "lrg_dr10_total_v3.parquet")
    g, r, z, w1 = (
        22.5 - 2.5 * np.log10(np.maximum(table[f"FLUX_{b}"].to_numpy(), 1e-9)) for b in ("G", "R", "Z", "W1")
    )
    kinds = np.array(table["TYPE"].to_pylist())
    good = (kinds != "PSF") & (z > 17) & (g < 30)
    mock_kinds, mock = photometry()
    for real, drawn in (
        (z, mock[2]),
        ((g - r), mock[0] - mock[1]),
        ((r - z), mock[1] - mock[2]),
        ((z - w1), mock[2] - mock[3]),
    ):
        quantiles = [0.1, 0.25, 0.5, 0.75, 0.9]
        assert np.quantile(drawn, quantiles) == pytest.approx(np.quantile(real[good], quantiles), abs=0.07)
    for kind in ("DEV", "SER", "REX", "EXP"):
        assert np.mean(mock_kinds == kind) == pytest.approx(np.mean(kinds[good] == kind), abs=0.03)
    real_slope = np.corrcoef((g - r)[good], (r - z)[good])[0, 1]
    assert np.corrcoef(mock[0] - mock[1], mock[1] - mock[2])[0, 1] == pytest.approx(real_slope, abs=0.15)


def test_red_galaxies_pass_the_parent_cut():
    _, (_, r, z, w1) = photometry()
    assert np.mean((z < 20.4) & (r - z > 0.4) & (z - w1 > 0.8)) > 0.99


def test_hosts_are_apart_and_inside_their_box():
    for brick in plan_bricks(CONFIG)[:3]:
        places = slots(CONFIG, brick)
        assert len(places) >= CONFIG.hosts_per_brick + 5
        assert brick.contains(*places.T).all()
        dx = (places[:, None, 0] - places[None, :, 0]) * np.cos(np.deg2rad(brick.dec))
        distance = np.hypot(dx, places[:, None, 1] - places[None, :, 1]) * 3600
        distance[np.diag_indices(len(places))] = np.inf
        assert distance.min() > 0.45 * SLOT_PX * PIXEL_SCALE_ARCSEC


def test_sources_depend_on_the_brick_alone():
    first, second = plan_bricks(CONFIG)[:2]
    places = slots(CONFIG, first)
    assert np.array_equal(
        background_sources(CONFIG, first, places), background_sources(CONFIG, first, places)
    )
    assert len(background_sources(CONFIG, first, places)) != len(background_sources(CONFIG, second, places))
    other = background_sources(MockSkyConfig(seed=11), first, places)
    assert not np.array_equal(other["flux"][:50], background_sources(CONFIG, first, places)["flux"][:50])
