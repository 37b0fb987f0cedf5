"""L106: the null-injection gate scored ordinary controls; zero flux never went through the injector."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows
from scipy.special import expit

from darkhaloscope import tabular
from darkhaloscope.gates.behaviour import trial as trials
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import STAMPS
from darkhaloscope.stamps import nulls


@pytest.fixture
def trial(gate_set):
    return trials.read_trial(
        Rows(gate_set.table),
        gate_set.world.paths("hosts"),
        experiment=gate_set.world.experiment,
        n_hosts=400,
        size_px=gate_world.SIZE_PX,
    )


def judged(trial, gate_set):
    def score(images, rows):
        return expit(400.0 * np.median(images[:, 1], axis=(1, 2)) - 4.0)

    experiment = gate_set.world.experiment
    measured = trials.measure_null_injection(trial, score, experiment=experiment, n_boot=50)
    return trials.judge_null_injection(measured, LIMITS)


def test_a_mark_left_by_the_injector_alone_is_found(trial, gate_set, monkeypatch):
    assert judged(trial, gate_set).values["changed_rows"] == 0
    inject = nulls.make_stamps

    def with_a_mark(rows, **given):
        stamps = inject(rows, **given)
        image = tabular.pixels(stamps, "image") + np.float32(0.01)
        return STAMPS.table({**gate_world.columns_of(stamps), "image": image}, gate_world.SIZE_PX)

    monkeypatch.setattr(nulls, "make_stamps", with_a_mark)
    verdict = judged(trial, gate_set)
    assert verdict.values["changed_rows"] == trial.rows.num_rows
    assert verdict.status is GateStatus.FAIL
    assert "tells null injections" in verdict.reason
