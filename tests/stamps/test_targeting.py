"""The S/N target: what it keeps, and that it keeps groups."""

import numpy as np
import pytest

from darkhaloscope.config import SnrTargeting
from darkhaloscope.stamps.snr_target import LOG_UNIFORM_BINS
from darkhaloscope.stamps.targeting import MAX_VARIATION, target_groups, thin_evenly

IDS = np.array([f"pair-{i}" for i in range(6000)])
SNR = np.exp(np.random.Generator(np.random.Philox(key=1)).normal(np.log(8.0), 1.0, len(IDS)))


def test_none_keeps_all_and_floor_keeps_the_range():
    assert target_groups(SnrTargeting(mode="none"), SNR, IDS, 1).kept.all()
    target = target_groups(SnrTargeting(mode="floor", low=3.0, high=40.0), SNR, IDS, 1)
    np.testing.assert_array_equal(target.kept, (SNR >= 3.0) & (SNR <= 40.0))
    assert set(target.outcome[SNR < 3.0]) == {"snr_low"}
    assert set(target.outcome[SNR > 40.0]) == {"snr_high"}


def test_log_uniform_is_flat_in_log_snr_and_keeps_what_it_can():
    target = target_groups(SnrTargeting(mode="log_uniform", low=2.0, high=50.0), SNR, IDS, 1)
    kept = np.log(SNR[target.kept] / 2.0) / np.log(25.0)
    counts, _ = np.histogram(kept, bins=LOG_UNIFORM_BINS, range=(0, 1))
    scatter = np.sqrt((LOG_UNIFORM_BINS - 1) / (2 * np.pi * counts.sum()))
    assert target.variation <= MAX_VARIATION + scatter < 0.08
    assert 0.5 * np.abs(counts / counts.sum() - 1 / LOG_UNIFORM_BINS).sum() == pytest.approx(target.variation)
    before, _ = np.histogram(np.log(SNR / 2.0) / np.log(25.0), bins=LOG_UNIFORM_BINS, range=(0, 1))
    assert counts.min() == before.min()
    assert "snr_thinned" in set(target.outcome)


def test_a_small_sample_is_not_thinned_below_its_own_scatter():
    rng = np.random.Generator(np.random.Philox(key=2))
    kept = []
    for trial in range(40):
        snr = 2.0 * 25.0 ** rng.uniform(size=60)
        kept.append(target_groups(SnrTargeting(mode="log_uniform"), snr, IDS[:60], trial).kept.mean())
    # A sample that is log-uniform already stays nearly whole, although its bins scatter.
    assert np.mean(kept) > 0.9


def test_an_empty_bin_does_not_empty_the_set():
    snr = np.full(100, 5.0)
    target = target_groups(SnrTargeting(mode="log_uniform"), snr, IDS[:100], 1)
    assert target.kept.all()
    assert target.variation > 0.5


def test_no_groups_are_no_error():
    target = target_groups(SnrTargeting(mode="log_uniform"), SNR[:0], IDS[:0], 1)
    assert target.kept.size == 0


def test_thinning_is_keyed_by_id_and_not_by_place():
    targeting = SnrTargeting(mode="log_uniform")
    one = target_groups(targeting, SNR, IDS, 1)
    order = np.random.default_rng(0).permutation(len(IDS))
    other = target_groups(targeting, SNR[order], IDS[order], 1)
    np.testing.assert_array_equal(one.outcome[order], other.outcome)
    assert (target_groups(targeting, SNR, IDS, 2).outcome != one.outcome).any()


def test_rows_without_a_positive_are_thinned_to_the_same_share():
    kept = thin_evenly(IDS, 0.37, 1)
    assert kept.sum() == round(0.37 * len(IDS))
    assert thin_evenly(IDS, 1.0, 1).all()


def test_weights_undo_the_thinning():
    """Weighted, what is kept has the S/N distribution of all that lay in the range."""
    target = target_groups(SnrTargeting(mode="log_uniform", low=2.0, high=50.0), SNR, IDS, 1)
    inside = (SNR >= 2.0) & (SNR <= 50.0)
    edges = np.geomspace(2.0, 50.0, LOG_UNIFORM_BINS + 1)
    before, _ = np.histogram(SNR[inside], bins=edges)
    plain, _ = np.histogram(SNR[target.kept], bins=edges)
    weighted, _ = np.histogram(SNR[target.kept], bins=edges, weights=target.weight[target.kept])
    np.testing.assert_allclose(weighted, before, rtol=1e-12)
    assert 0.5 * np.abs(plain / plain.sum() - before / before.sum()).sum() > 0.1
    assert target.weight.min() == 1.0


@pytest.mark.parametrize("mode", ["none", "floor"])
def test_a_cut_weighs_nothing(mode):
    target = target_groups(SnrTargeting(mode=mode), SNR, IDS, 1)
    np.testing.assert_array_equal(target.weight, 1.0)
    assert np.isnan(target.variation)


def test_a_chosen_flux_leaves_nothing_to_reject():
    targeting = SnrTargeting(mode="choose_flux", low=2.0, high=50.0)
    snr = 2.0 * 25.0 ** ((np.arange(600) + 0.5) / 600) * (1.0 + 1e-6)
    target = target_groups(targeting, snr, IDS[:600], 1)
    assert target.kept.all()
    assert target.variation < 1e-3
