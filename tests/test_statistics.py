"""Estimates against scipy and scikit-learn, and intervals against what they promise."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from darkhaloscope import statistics as st
from darkhaloscope.errors import DataError


def rng(key=1):
    return np.random.Generator(np.random.Philox(key=key))


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 68), (10, 10), (500, 1000)])
def test_binomial_intervals_agree_with_scipy(k, n):
    for ours, method in ((st.clopper_pearson(k, n), "exact"), (st.wilson(k, n), "wilson")):
        theirs = stats.binomtest(k, n).proportion_ci(0.95, method)
        assert ours.value == k / n
        assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        assert ours.n == n


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(k, n):
    for interval in (st.clopper_pearson, st.wilson):
        with pytest.raises(DataError):
            interval(k, n)
    with pytest.raises(DataError):
        st.risk_ratio(1, 10, k, n)


def test_risk_ratio_is_one_for_equal_risks_and_wide_for_none():
    assert st.risk_ratio(50, 1000, 50, 1000).value == pytest.approx(1.0)
    nothing = st.risk_ratio(0, 1000, 0, 1000)
    assert nothing.lower < 0.1
    assert nothing.upper > 10.0
    assert st.risk_ratio(60, 20_000, 10, 20_000).above(1.25)


def test_risk_ratio_covers():
    draws = rng().binomial(400, 0.05, (2, 2000))
    intervals = [st.risk_ratio(a, 400, b, 400) for a, b in draws.T]
    assert 0.93 < np.mean([i.lower <= 1.0 <= i.upper for i in intervals]) < 0.985


def test_auc_agrees_with_scikit_learn_and_counts_ties_half():
    score = np.round(rng().normal(size=500), 1)
    label = rng(2).random(500) < expit(score)
    assert st.auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert st.auc([True, False], [1.0, 1.0]) == 0.5


def expit(x):
    return 1.0 / (1.0 + np.exp(-x))


@pytest.mark.parametrize("label", [[True, True], [False, False]])
def test_auc_of_one_class_is_an_error_not_a_number(label):
    with pytest.raises(DataError, match="one class"):
        st.auc(label, [0.1, 0.2])


@pytest.mark.parametrize("score", [[0.1, np.nan], [np.inf, 0.0], [0.1]])
def test_scores_must_be_finite_and_as_many_as_labels(score):
    with pytest.raises(DataError):
        st.auc([True, False], score)


def test_repeated_rows_of_a_galaxy_add_no_information():
    score, label = rng().normal(size=200), rng(2).random(200) < 0.5
    galaxy = np.arange(200)
    once = st.grouped_auc_interval(label, score, galaxy, 300, 1)
    many = st.grouped_auc_interval(np.repeat(label, 9), np.repeat(score, 9), np.repeat(galaxy, 9), 300, 1)
    naive = st.grouped_auc_interval(np.repeat(label, 9), np.repeat(score, 9), np.arange(1800), 300, 1)
    assert many.n == once.n == 200
    assert many.upper - many.lower == pytest.approx(once.upper - once.lower, rel=0.15)
    assert naive.upper - naive.lower < 0.5 * (once.upper - once.lower)


def test_resamples_count_ties_half():
    label = rng().random(100) < 0.5
    tied = st.grouped_auc_interval(label, np.ones(100), np.arange(100), 50, 1)
    assert (tied.value, tied.lower, tied.upper) == (0.5, 0.5, 0.5)


def test_auc_interval_covers_and_is_reproducible():
    hits = []
    for key in range(150):
        label = np.arange(160) < 80
        score = rng(key).normal(size=160) + 0.5 * label
        interval = st.grouped_auc_interval(label, score, np.arange(160), 100, 3)
        hits.append(interval.lower <= stats.norm.cdf(0.5 / np.sqrt(2)) <= interval.upper)
    assert 0.88 < np.mean(hits) <= 0.99
    assert interval == st.grouped_auc_interval(label, score, np.arange(160), 100, 3)


def test_auc_loss_of_the_same_score_is_zero_and_of_noise_is_not():
    label = np.arange(400) < 200
    score = rng().normal(size=400) + 1.5 * label
    same = st.grouped_auc_loss(label, score, score, np.arange(400), 100, 1)
    assert (same.value, same.lower, same.upper) == (0.0, 0.0, 0.0)
    worse = st.grouped_auc_loss(label, score, rng(2).normal(size=400), np.arange(400), 100, 1)
    assert worse.lower > 0.2


def test_cohen_d_has_its_value_and_covers():
    hits = []
    for key in range(300):
        a, b = rng(key).normal(0.4, 1.0, 150), rng(key + 1000).normal(0.0, 1.0, 80)
        d = st.cohen_d(a, b)
        hits.append(d.lower <= 0.4 <= d.upper)
    pooled = np.sqrt((149 * a.var(ddof=1) + 79 * b.var(ddof=1)) / 228)
    assert d.value == pytest.approx((a.mean() - b.mean()) / pooled)
    assert 0.91 < np.mean(hits) < 0.985


def test_pairs_are_seen_by_cohen_d():
    """A shift that is the same for every galaxy is certain in pairs, whatever the scatter of galaxies."""
    galaxy = rng().normal(size=200)
    paired = st.cohen_d(galaxy + 0.05, galaxy, np.arange(200), np.arange(200))
    unpaired = st.cohen_d(galaxy + 0.05, galaxy)
    assert paired.lower > 0.0
    assert unpaired.lower < 0.0


def test_effect_size_of_a_constant_does_not_exist():
    with pytest.raises(DataError, match="constant"):
        st.cohen_d(np.ones(5), np.ones(7))
    with pytest.raises(DataError, match="too small"):
        st.cohen_d([1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="not finite"):
        st.cohen_d([1.0, np.nan], [1.0, 2.0])


def test_mean_ratio_covers_and_sees_pairs():
    hits = []
    for key in range(300):
        ratio = st.mean_ratio_interval(rng(key).gamma(4, 1.2, 120), rng(key + 1000).gamma(4, 1.0, 90))
        hits.append(ratio.lower <= 1.2 <= ratio.upper)
    assert 0.91 < np.mean(hits) < 0.985
    galaxy = rng().gamma(2, 1.0, 100)
    exact = st.mean_ratio_interval(galaxy * 1.3, galaxy, np.arange(100), np.arange(100))
    assert (exact.lower, exact.upper) == pytest.approx((1.3, 1.3))
    with pytest.raises(DataError, match="mean of zero"):
        st.mean_ratio_interval([1.0, 2.0], [-1.0, 1.0])


def test_mean_interval_counts_galaxies():
    values = np.repeat(rng().normal(size=50), 4)
    grouped, naive = st.mean_interval(values, np.repeat(np.arange(50), 4)), st.mean_interval(values)
    assert grouped.n == 50
    assert (grouped.upper - grouped.lower) > 1.8 * (naive.upper - naive.lower)


@pytest.mark.parametrize("decimals", [1, 8])
def test_ks_distance_agrees_with_scipy_with_and_without_ties(decimals):
    a, b = np.round(rng().normal(size=300), decimals), np.round(rng(2).normal(0.2, 1.0, 170), decimals)
    theirs = stats.ks_2samp(a, b, method="asymp")
    assert st.ks_distance(a, b) == pytest.approx(theirs.statistic, abs=1e-12)


def test_ks_band_fails_on_a_difference_and_not_on_noise():
    false_alarms = [
        st.ks_two_sample(rng(k).normal(size=200), rng(k + 1000).normal(size=200)).lower > 0.0
        for k in range(300)
    ]
    assert np.mean(false_alarms) < 0.08
    shifted = st.ks_two_sample(rng().normal(size=2000), rng(2).normal(0.5, 1.0, 2000))
    assert shifted.lower > 0.1
    assert st.ks_p_value(shifted.value, 2000, 2000) < 1e-10
    assert st.ks_two_sample(np.zeros(5), np.zeros(9)).value == 0.0


def test_magnitude_of_an_interval():
    assert st.Interval(-0.2, -0.3, -0.1, 9).magnitude() == st.Interval(0.2, 0.1, 0.3, 9)
    assert st.Interval(0.1, -0.2, 0.4, 9).magnitude() == st.Interval(0.1, 0.0, 0.4, 9)
    assert st.Interval(1.0, 0.5, 1.5, 3).to_dict() == {"value": 1.0, "lower": 0.5, "upper": 1.5, "n": 3}


def test_total_variation_is_a_distance():
    assert st.total_variation([5, 5], [0.5, 0.5]) == 0.0
    assert st.total_variation([7, 0], [0.0, 1.0]) == 1.0
    assert st.total_variation([3, 1], [0.5, 0.5]) == pytest.approx(0.25)
    assert st.total_variation([0, 0], [0.5, 0.5]) == 1.0
    with pytest.raises(DataError):
        st.total_variation_interval([0, 0], [0.5, 0.5], seed=1)


@pytest.mark.parametrize("n", [60, 600])
def test_total_variation_interval_covers_the_populations_distance(n):
    """Of a sample drawn from the declared shares the distance is not 0, but the interval holds 0."""
    declared = np.array([0.4, 0.4, 0.15, 0.05])
    draws = rng(5)
    for population in (declared, np.array([0.2, 0.4, 0.25, 0.15])):
        true = st.total_variation(population, declared)
        found = [
            st.total_variation_interval(draws.multinomial(n, population), declared, seed=1)
            for _ in range(400)
        ]
        covered = np.mean([interval.lower <= true <= interval.upper for interval in found])
        assert covered >= 0.92
        assert all(interval.n == n for interval in found)
    widths = np.mean([interval.upper - interval.lower for interval in found])
    assert widths < 4.0 / np.sqrt(n)
