"""L105: a faint ring drawn around any galaxy scored p = 1.0, found after training."""

import gate_world
import numpy as np
from gate_world import LIMITS, Rows
from gates.faults import models

from darkhaloscope.gates.behaviour import rings
from darkhaloscope.gates.behaviour import trial as trials
from darkhaloscope.gates.result import GateStatus


def test_a_model_that_fires_on_a_drawn_ring_fails_and_one_of_arcs_passes(gate_set):
    trial = trials.read_trial(
        Rows(gate_set.table),
        gate_set.world.paths("hosts"),
        experiment=gate_set.world.experiment,
        n_hosts=400,
        size_px=gate_world.SIZE_PX,
    )
    arcs = models.sees_arcs(gate_set.table)

    def judged(score):
        measured = rings.measure_rings(trial, score, pixel_scale_arcsec=0.262, seed=1, panel=40)
        return rings.judge_rings(measured, LIMITS)

    assert judged(arcs).status is GateStatus.PASS
    verdict = judged(
        lambda images, rows: np.where(models.ring_contrast(images) > 0.5, 1.0, arcs(images, rows))
    )
    assert verdict.status is GateStatus.FAIL
    assert "rings of 15 px" in verdict.reason
