"""The declared distribution of S/N: what is drawn from it has its shares, density and range."""

from itertools import pairwise

import numpy as np
import pytest

from darkhaloscope.config import SnrTargeting
from darkhaloscope.stamps.snr_target import LOG_UNIFORM_BINS, declared_target

TABLE = SnrTargeting(mode="choose_flux", target="table")
FLAT = SnrTargeting(mode="choose_flux", low=2.0, high=50.0)
U = (np.arange(100_000) + 0.5) / 100_000


def test_only_ways_that_aim_declare_a_target():
    assert declared_target(SnrTargeting(mode="none")) is None
    assert declared_target(SnrTargeting(mode="floor")) is None
    for mode in ("log_uniform", "choose_flux"):
        assert len(declared_target(SnrTargeting(mode=mode)).shares) == LOG_UNIFORM_BINS


def test_log_uniform_quantiles():
    np.testing.assert_allclose(declared_target(FLAT).quantile([1e-12, 0.5, 1 - 1e-12]), [2.0, 10.0, 50.0])


def test_the_table_has_its_shares():
    snr = declared_target(TABLE).quantile(U)
    shares = np.histogram(snr, bins=[0.8, 2.0, 8.0, 20.0, 50.0])[0] / len(U)
    np.testing.assert_allclose(shares, [0.40, 0.40, 0.15, 0.05], atol=1e-4)
    # log-uniform within a bin: half of it below the geometric mean of its edges
    assert ((snr < 4.0) & (snr >= 2.0)).mean() == pytest.approx(0.2, abs=1e-4)


@pytest.mark.parametrize("targeting", [TABLE, FLAT])
def test_the_density_is_that_of_the_quantiles(targeting):
    target = declared_target(targeting)
    edges = np.geomspace(0.5, 80.0, 400)
    middle, width = np.sqrt(edges[1:] * edges[:-1]), np.diff(np.log(edges))
    drawn = np.histogram(target.quantile(U), bins=edges)[0] / len(U) / width
    inside = np.array([not ((target.edges > a) & (target.edges < b)).any() for a, b in pairwise(edges)])
    np.testing.assert_allclose(target.density_per_ln(middle)[inside], drawn[inside], atol=5e-3)
    assert (target.density_per_ln(middle) * width).sum() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(target.density_per_ln([0.1, 1000.0]), 0.0)


def test_variation_counts_what_lies_outside_and_forgives_rounding():
    target = declared_target(TABLE)
    assert target.variation(target.quantile(U)) < 1e-4
    assert target.variation([0.8 * (1 - 1e-6), 50.0 * (1 + 1e-6)]) == pytest.approx(0.55)
    assert target.variation(np.full(9, 60.0)) == 1.0
    assert target.variation([]) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 5.0, "high": 5.0},
        {"low": 0.0},
        {"bin_edges": (1.0, 3.0, 2.0), "bin_shares": (0.5, 0.5)},
        {"bin_edges": (1.0, 2.0, 3.0), "bin_shares": (0.5, 0.6)},
        {"bin_shares": (1.0,)},
        {"mag_r_range": (30.0, 16.0)},
    ],
)
def test_a_target_that_is_no_distribution_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must"):
        SnrTargeting(mode="choose_flux", **wrong)
