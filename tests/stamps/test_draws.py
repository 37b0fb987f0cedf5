"""Distributions and keys of the draws."""

import numpy as np
import pytest
from scipy import stats

from darkhaloscope.config import Lens, Sources
from darkhaloscope.stamps import draws

IDS = [f"task-{i}" for i in range(4000)]


def test_lens_draws_follow_the_configuration():
    lens = Lens(
        theta_e_arcsec=(0.6, 2.5),
        q=(0.5, 0.9),
        shear_sigma=0.04,
        source_offset_max=0.8,
        centre_jitter_arcsec=0.05,
    )
    drawn = draws.draw_lens(lens, IDS, 1)
    for name, cdf in {
        "theta_e_arcsec": stats.uniform(0.6, 1.9),
        "lens_q": stats.uniform(0.5, 0.4),
        "lens_phi_rad": stats.uniform(0.0, np.pi),
        "gamma1": stats.norm(0, 0.04),
        "gamma2": stats.norm(0, 0.04),
        "lens_x_arcsec": stats.norm(0, 0.05),
        "lens_y_arcsec": stats.norm(0, 0.05),
    }.items():
        assert stats.kstest(drawn[name], cdf.cdf).pvalue > 1e-3, name
    share = np.hypot(drawn["src_x_arcsec"], drawn["src_y_arcsec"]) / drawn["theta_e_arcsec"] / 0.8
    assert stats.kstest(share**2, stats.uniform.cdf).pvalue > 1e-3
    assert share.max() < 1.0
    values = np.stack(list(drawn.values()))
    correlation = np.corrcoef(values) - np.eye(len(values))
    assert np.abs(correlation).max() < 0.06


def test_theta_e_may_be_log_uniform_or_a_grid():
    drawn = draws.draw_lens(Lens(theta_e_draw="log_uniform"), IDS, 1)["theta_e_arcsec"]
    assert stats.kstest(np.log(drawn), stats.uniform(np.log(0.6), np.log(2.5 / 0.6)).cdf).pvalue > 1e-3
    grid = (0.5, 0.75, 1.0)
    drawn = draws.draw_lens(Lens(theta_e_draw="grid", theta_e_arcsec=grid), IDS, 1)["theta_e_arcsec"]
    values, counts = np.unique(drawn, return_counts=True)
    assert tuple(values) == grid
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_draw_depends_on_its_id_and_the_seed_alone():
    one = draws.draw_lens(Lens(), IDS, 1)
    backwards = draws.draw_lens(Lens(), IDS[::-1], 1)
    other = draws.draw_lens(Lens(), IDS, 2)
    for name, values in one.items():
        np.testing.assert_array_equal(values, backwards[name][::-1])
        assert not np.any(values == other[name])


@pytest.mark.parametrize("rotate", [True, False])
def test_templates_are_turned_and_mirrored_only_if_asked(rotate):
    rotation, flip = draws.draw_orientation(Sources(rotate=rotate), IDS, 1)
    assert bool(rotation.any()) == bool(flip.any()) == rotate
    if rotate:
        assert stats.kstest(rotation, stats.uniform(0, 2 * np.pi).cdf).pvalue > 1e-3
        assert abs(flip.mean() - 0.5) < 0.03


def test_light_positions_stay_off_the_outermost_wings():
    drawn = draws.draw_light_position(IDS, 1)
    low, high = draws.QUANTILE_RANGE
    assert stats.kstest(drawn["light_quantile"], stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert stats.kstest(drawn["light_azimuth_rad"], stats.uniform(0, 2 * np.pi).cdf).pvalue > 1e-3
