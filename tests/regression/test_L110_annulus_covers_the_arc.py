"""L110: a fixed annulus of 10-25 px lay outside the arcs, so 'arcs removed' removed nothing."""

import gate_world
import numpy as np
from gate_world import Rows

from darkhaloscope.gates.behaviour import trial as trials


def test_the_annulus_follows_the_lens_and_the_fixed_one_misses_it(gate_set):
    trial = trials.read_trial(
        Rows(gate_set.table),
        gate_set.world.paths("hosts"),
        experiment=gate_set.world.experiment,
        n_hosts=400,
        size_px=gate_world.SIZE_PX,
        split="train",
    )
    arc = np.maximum(trial.image - trial.bare, 0.0)[:, 1]
    radius = np.hypot(*np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5))

    def held(mask):
        return np.median((arc * mask).sum(axis=(1, 2)) / arc.sum(axis=(1, 2)))

    assert held(trials.arc_annulus(trial.rows, 0.262, 64)) > 0.9
    assert held((radius >= 10) & (radius <= 25)) < 0.6
