import numpy as np
import pytest

from darkhaloscope.config import Sources
from darkhaloscope.errors import DataError
from darkhaloscope.sources.population import (
    F814W_BETWEEN_R_AND_Z,
    draw_source_magnitudes,
    draw_source_rows,
    prior_density_per_mag,
)

IDS = [f"task-{i}" for i in range(20_000)]
MAG = np.linspace(21.0, 23.5, len(IDS))
HOST = np.linspace(17.0, 20.0, len(IDS))


def draw(seed=1, ids=IDS, mag=MAG, host=HOST, **options):
    return draw_source_magnitudes(Sources(**options), mag_f814w=mag, host_mag_r=host, ids=ids, seed=seed)


def test_population_follows_the_galaxy_and_not_the_host():
    mags = draw(colours="single", g_r=(0.4, 0.0), r_z=(0.5, 0.0), dimming_mag=(0.0, 1.5))
    dimming = mags[:, 1] - MAG - F814W_BETWEEN_R_AND_Z * 0.5
    assert dimming.min() > 0.0
    assert dimming.max() < 1.5
    assert dimming.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_array_equal(mags, draw(host=HOST + 3.0, colours="single", g_r=(0.4, 0), r_z=(0.5, 0)))


def test_f814w_lies_between_r_and_z():
    mags = draw(colours="single", g_r=(0.0, 0.0), r_z=(1.0, 0.0), dimming_mag=(0.0, 0.0))
    assert ((mags[:, 1] > MAG) & (mags[:, 2] < MAG)).all()
    assert pytest.approx(0.617, abs=0.005) == F814W_BETWEEN_R_AND_Z


def test_host_tied_uses_every_offset_alike_and_ignores_the_galaxy():
    options = {"magnitude": "host_tied", "host_dmag": (0.5, 1.0, 2.0)}
    mags = draw(**options)
    offset = np.round(mags[:, 1] - HOST, 9)
    values, counts = np.unique(offset, return_counts=True)
    assert values.tolist() == [0.5, 1.0, 2.0]
    assert counts / len(IDS) == pytest.approx([1 / 3] * 3, abs=0.015)
    np.testing.assert_array_equal(mags, draw(mag=np.full(len(IDS), np.nan), **options))


def test_scattered_colours_have_the_configured_moments():
    mags = draw(g_r=(0.45, 0.30), r_z=(0.40, 0.20), colour_correlation=0.5)
    g_r, r_z = mags[:, 0] - mags[:, 1], mags[:, 1] - mags[:, 2]
    assert (g_r.mean(), g_r.std()) == pytest.approx((0.45, 0.30), abs=0.01)
    assert (r_z.mean(), r_z.std()) == pytest.approx((0.40, 0.20), abs=0.01)
    assert np.corrcoef(g_r, r_z)[0, 1] == pytest.approx(0.5, abs=0.02)


def test_dimming_and_colours_are_independent():
    mags = draw(mag=np.full(len(IDS), 22.0))
    g_r, r_z = mags[:, 0] - mags[:, 1], mags[:, 1] - mags[:, 2]
    dimming = mags[:, 1] - F814W_BETWEEN_R_AND_Z * r_z
    assert abs(np.corrcoef(dimming, g_r)[0, 1]) < 0.03
    assert abs(np.corrcoef(dimming, r_z)[0, 1]) < 0.03


def test_a_task_draws_the_same_in_any_company_and_another_by_seed():
    order = np.random.Generator(np.random.Philox(key=3)).permutation(len(IDS))[:500]
    part = draw(ids=[IDS[i] for i in order], mag=MAG[order], host=HOST[order])
    np.testing.assert_array_equal(part, draw()[order])
    assert not np.array_equal(part, draw(seed=2)[order])


def test_the_prior_is_the_density_of_what_population_draws():
    """Given galaxy and colour: one over the width inside, zero outside, and nothing is drawn outside."""
    sources = Sources(dimming_mag=(0.2, 1.7))
    mags = draw(dimming_mag=(0.2, 1.7))
    r_z = mags[:, 1] - mags[:, 2]
    density = prior_density_per_mag(sources, mag_f814w=MAG, mag_r=mags[:, 1], r_z=r_z)
    np.testing.assert_allclose(density, 1.0 / 1.5)
    # averaged over the galaxies it is the histogram of all that is drawn
    edges = np.linspace(20.5, 26.5, 31)
    drawn = np.histogram(mags[:, 1], bins=edges)[0] / len(IDS) / np.diff(edges)
    at = 0.5 * (edges[1:] + edges[:-1])
    mean = [prior_density_per_mag(sources, mag_f814w=MAG, mag_r=m + 0.0 * MAG, r_z=r_z).mean() for m in at]
    np.testing.assert_allclose(mean, drawn, atol=0.035)
    assert max(drawn) > 0.2


def test_nan_magnitude_names_the_task():
    mag = MAG.copy()
    mag[7] = np.nan
    with pytest.raises(DataError, match="mag_f814w, row task-7"):
        draw(mag=mag)


SOURCES = np.array([f"cosmos-{i}" for i in range(40)])
SPLIT = np.array((["train"] * 5 + ["val", "test", "train"]) * 5)


def test_rows_come_from_the_split_asked_and_do_not_depend_on_order():
    rows = draw_source_rows(SOURCES, SPLIT, split="val", ids=IDS[:300], seed=1)
    assert set(SPLIT[rows]) == {"val"}
    back = draw_source_rows(SOURCES, SPLIT, split="val", ids=IDS[:300][::-1], seed=1)
    np.testing.assert_array_equal(rows, back[::-1])


def test_equal_identities_share_a_source():
    ids = [*IDS[:50], *IDS[:50]]
    rows = draw_source_rows(SOURCES, SPLIT, split="train", ids=ids, seed=1)
    np.testing.assert_array_equal(rows[:50], rows[50:])


def test_split_without_sources_is_a_typed_error():
    with pytest.raises(DataError, match="0 in test"):
        draw_source_rows(SOURCES[:5], SPLIT[:5], split="test", ids=IDS[:3], seed=1)


def test_no_tasks_need_no_sources():
    assert draw_source_rows(SOURCES, SPLIT, split="val", ids=[], seed=1).shape == (0,)
