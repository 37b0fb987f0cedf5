"""Probes: what can be told is told, what cannot is not, and no galaxy is on both sides."""

import numpy as np
import torch

from darkhaloscope.gates.shortcut import probe
from darkhaloscope.statistics import auc


def rng(key=1):
    return np.random.Generator(np.random.Philox(key=key))


def test_folds_hold_whole_galaxies_and_do_not_depend_on_order():
    galaxies = np.repeat([f"g{i}" for i in range(200)], 3)
    fold = probe.folds_of(galaxies, 1)
    assert (fold.reshape(-1, 3) == fold.reshape(-1, 3)[:, :1]).all()
    assert set(fold) == {0, 1, 2, 3, 4}
    order = rng().permutation(len(galaxies))
    assert np.array_equal(probe.folds_of(galaxies[order], 1), fold[order])
    assert not np.array_equal(probe.folds_of(galaxies, 2), fold)


def test_logistic_probe_tells_what_differs_and_only_that():
    label = np.arange(600) % 2 == 0
    noise = rng().normal(size=(600, 5))
    galaxies = np.arange(600)
    assert abs(auc(label, probe.logistic_scores(noise, label, galaxies, 1)) - 0.5) < 0.08
    told = noise + 2.0 * label[:, None] * np.array([1, 0, 0, 0, 0])
    assert auc(label, probe.logistic_scores(told, label, galaxies, 1)) > 0.88


def test_a_galaxy_on_both_sides_would_be_recognised():
    """Rows that repeat their galaxy with its label: grouped folds must not learn the galaxy."""
    galaxies = np.repeat(np.arange(60), 10)
    label = np.repeat(rng().random(60) < 0.5, 10)
    identity = np.repeat(rng(2).normal(size=(60, 40)), 10, axis=0)
    grouped = auc(label, probe.logistic_scores(identity, label, galaxies, 1))
    leaked = auc(label, probe.logistic_scores(identity, label, np.arange(600), 1))
    assert leaked > 0.9
    assert grouped < 0.7


def test_one_bright_neighbour_does_not_set_the_scale():
    label = np.arange(400) % 2 == 0
    values = rng().normal(size=(400, 1)) + 1.5 * label[:, None]
    values[7] = 1e6
    assert auc(label, probe.logistic_scores(values, label, np.arange(400), 1)) > 0.8


def test_convolutional_probe_sees_shape_at_equal_light():
    """Rings against blobs of the same flux: only morphology is left."""
    n = 400
    label = np.arange(n) % 2 == 0
    axis = np.arange(40) - 19.5
    radius = np.hypot(axis[:, None], axis[None, :])
    ring = np.exp(-0.5 * ((radius - 7) / 1.5) ** 2)
    blob = np.exp(-0.5 * (np.hypot(axis[:, None] - 5, axis[None, :]) / 3.0) ** 2)
    shapes = np.where(label[:, None, None], ring * blob.sum() / ring.sum(), blob)
    images = (rng().normal(size=(n, 3, 40, 40)) + 4.0 * shapes[:, None]).astype(np.float16)
    scores, held = probe.convolutional_scores(images, label, np.arange(n), epochs=6, seed=1)
    assert 0.2 < held.mean() < 0.4
    assert auc(label[held], scores) > 0.9


def test_probe_leaves_torch_as_it_was_and_repeats_itself():
    images = rng().normal(size=(60, 3, 40, 40)).astype(np.float16)
    label = np.arange(60) % 2 == 0
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    one, _ = probe.convolutional_scores(images, label, np.arange(60), epochs=1, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    again, _ = probe.convolutional_scores(images, label, np.arange(60), epochs=1, seed=1)
    assert np.allclose(one, again, atol=1e-4)
