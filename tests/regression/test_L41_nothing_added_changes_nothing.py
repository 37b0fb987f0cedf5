"""L41: counts were clamped to one before the Poisson draw, so that adding nothing made the image noisier."""

import gate_world
import numpy as np
from gate_world import LIMITS, Rows, kinds
from gates.physics.arc_world import Wrong, arcs_of

from darkhaloscope.gates.physics import path
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.lensing.renderers import open_renderer
from darkhaloscope.stamps import light
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for

ELECTRONS_PER_NMGY = 20_000.0


def judged(gate_set):
    controls = gate_world.keep(gate_set.table, kinds(gate_set.table) == "paired")
    experiment = gate_set.world.experiment
    located = locate_hosts(gate_set.world.paths("hosts"), controls["host_id"].to_pylist())
    measured = path.measure_nulls(
        arcs_of(gate_set, n_rows=25),
        controls,
        Rows(gate_set.table),
        stamp_paths=gate_set.world.paths("stamps"),
        control_hosts=load_hosts_for(experiment, located, size_px=gate_world.SIZE_PX),
        experiment=experiment,
    )
    return path.judge_nulls(measured, LIMITS)


def test_l41_no_light_leaves_every_bit(gate_set):
    assert judged(gate_set).status is GateStatus.PASS


def test_l41_counts_clamped_to_one_are_a_mark(gate_set, monkeypatch):
    def clamped(image, _scene):
        return np.maximum(image, 1.0 / ELECTRONS_PER_NMGY)

    monkeypatch.setattr(
        light, "open_renderer", lambda engine, quality: Wrong(open_renderer(engine, quality), image=clamped)
    )
    verdict = judged(gate_set)
    assert verdict.status is GateStatus.FAIL
    assert "injections of nothing differ from their host: image of 25, invvar of 25" in verdict.reason
