"""Counts in fine bins: the distance is right within its proven limits, and workers' parts add up."""

import numpy as np
import pytest
from scipy import stats

from darkhaloscope.errors import DataError
from darkhaloscope.gates.columns import ValueCounts

A, B = [0], [1]


def counted(a, b):
    counts = ValueCounts(2)
    for cell, values in enumerate((a, b)):
        counts.update(np.asarray(values, float), np.full(len(values), cell, np.uint8))
    return counts


def rng(key):
    return np.random.Generator(np.random.Philox(key=key))


SAMPLES = {
    "normal": lambda g: (g.normal(0.0, 1.0, 40_000), g.normal(0.02, 1.1, 30_000)),
    "one octave": lambda g: (1.3 + 0.1 * g.random(50_000), 1.3 + 0.1 * g.random(20_000) ** 1.1),
    "within a few bins": lambda g: (1.3 + 1e-4 * g.random(9_000), 1.3 + 1e-4 * g.random(9_000) ** 1.5),
    "counts": lambda g: (g.poisson(3.0, 20_000), g.poisson(3.1, 30_000)),
    "both signs": lambda g: (g.normal(0.0, 1e-3, 5_000), -np.abs(g.normal(0.0, 1e-3, 5_000))),
    "rounded": lambda g: ((x := g.normal(1.3, 0.1, 30_000)), np.round(x, 2)),
    "apart": lambda g: (g.random(100), 5.0 + g.random(100)),
    "zeros": lambda g: (np.zeros(100), np.r_[np.zeros(50), -np.zeros(25), g.random(25)]),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("key", [1, 2])
def test_the_exact_distance_lies_between_the_limits(name, key):
    a, b = SAMPLES[name](rng(key))
    exact = stats.ks_2samp(a, b, method="asymp").statistic
    found = counted(a, b).ks(A, B)
    assert found.lower - 1e-12 <= exact <= found.upper + 1e-12


def test_the_limits_are_as_wide_as_a_bin_is_full():
    a, b = SAMPLES["one octave"](rng(3))
    found = counted(a, b).ks(A, B)
    assert found.upper - found.lower < 0.002  # 1/1,638 of each sample falls into a bin


@pytest.mark.parametrize("name", ["counts", "zeros"])
def test_repeated_values_give_the_exact_distance(name):
    a, b = SAMPLES[name](rng(4))
    found = counted(a, b).ks(A, B)
    exact = stats.ks_2samp(a, b, method="asymp").statistic
    assert found.lower == found.upper == pytest.approx(exact, abs=1e-12)


def test_equal_samples_are_at_distance_zero():
    a = rng(5).normal(size=7_000)
    assert counted(a, rng(6).permutation(a)).ks(A, B).lower == 0.0


def test_a_sample_of_nothing_has_no_distance():
    with pytest.raises(DataError, match="nothing"):
        counted([1.0, 2.0], [np.nan]).ks(A, B)


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.75, 1.0])
def test_quantiles_are_right_to_the_width_of_a_bin(q):
    a, b = SAMPLES["normal"](rng(7))
    values = np.concatenate([a, b]) + 5.0
    exact = np.quantile(values, q, method="inverted_cdf")
    assert counted(a + 5.0, b + 5.0).quantile(q) == pytest.approx(exact, rel=2.0**-14)


def test_moments_are_those_of_numpy():
    a, b = SAMPLES["normal"](rng(8))
    n, mean, squares = counted(a + 1e6, b + 1e6).variance([0, 1])
    both = np.concatenate([a, b]) + 1e6
    assert n == both.size
    assert mean == pytest.approx(both.mean(), rel=1e-12)
    assert squares / (n - 1) == pytest.approx(both.var(ddof=1), rel=1e-9)


def test_moments_of_batches_that_differ_are_those_of_all():
    counts = ValueCounts(1)
    parts = [rng(20 + i).normal(3.0 * i, 1.0, 500 * (i + 1)) for i in range(4)]
    for part in parts:
        counts.update(part, np.zeros(len(part), np.uint8))
    n, mean, squares = counts.variance([0])
    every = np.concatenate(parts)
    assert mean == pytest.approx(every.mean())
    assert squares / (n - 1) == pytest.approx(every.var(ddof=1))


def test_what_is_not_finite_is_counted_apart():
    counts = counted([1.0, np.nan, np.inf, -np.inf, 2.0], [3.0])
    assert counts.skipped.tolist() == [3, 0]
    assert counts.number.tolist() == [2.0, 1.0]


def test_one_value_is_constant_and_two_are_not():
    assert counted([1.5, 1.5], [1.5]).is_constant()
    assert not counted([1.5, 1.5], [np.nextafter(1.5, 2.0)]).is_constant()


def test_two_workers_parts_are_one_pass():
    values, cell = rng(9).normal(size=60_000), rng(10).integers(0, 2, 60_000).astype(np.uint8)
    whole, first, second = ValueCounts(2), ValueCounts(2), ValueCounts(2)
    for start in range(0, 60_000, 10_000):
        part = slice(start, start + 10_000)
        whole.update(values[part], cell[part])
        (first if start % 20_000 else second).update(values[part], cell[part])
    first.merge(second)
    for mine, theirs in zip(whole.bins(), first.bins(), strict=True):
        assert np.array_equal(mine, theirs)
    np.testing.assert_allclose(first.mean, whole.mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(first.squares, whole.squares, rtol=1e-12)
