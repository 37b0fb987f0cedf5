"""Run a family of gates over one artefact and return the report.

Reading is shared: columns are read once, the pixel sample is read once, hosts
are read once. A fault in the data makes its gate fail with the reason; a fault
of the machine is raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.gates.anchors import runs as anchors
from darkhaloscope.gates.anchors.runs import Grade
from darkhaloscope.gates.behaviour import runs as behaviour
from darkhaloscope.gates.behaviour.runs import Model
from darkhaloscope.gates.context import Ask, DataSet, ask
from darkhaloscope.gates.inputs import MissingInputError
from darkhaloscope.gates.judging import deferred, failed
from darkhaloscope.gates.leakage import runs as leakage
from darkhaloscope.gates.physics import runs as physics
from darkhaloscope.gates.quality import runs as quality
from darkhaloscope.gates.registry import (
    ANCHOR_EVALUATION,
    CHECKPOINT,
    DATA_GATES,
    EVALUATION_GATES,
    MODEL_GATES,
    SHARDS,
)
from darkhaloscope.gates.result import GateReport, GateResult, Verdict
from darkhaloscope.gates.shortcut import runs as shortcut
from darkhaloscope.progress import track

DATA_FAMILIES: dict[str, Ask] = {**quality.GATES, **leakage.GATES, **physics.GATES, **shortcut.GATES}
"""Every gate of the training shards by id."""


def run_data_gates(data: DataSet, *, artefact_hash: str) -> GateReport:
    """Run every gate of the training shards.

    Parameters
    ----------
    data : DataSet
        The shards and everything they were made from. Overrides of limits
        apply, waivers do not (:meth:`GateReport.with_waivers`).
    artefact_hash : str
        Content hash of the shards.

    Returns
    -------
    GateReport
        One result per gate, two (``raw``, ``model``) where pixels are judged in both views.

    Raises
    ------
    MissingDataError
        If a file does not exist.
    """
    experiment = data.experiment
    asked = {gate: partial(ask, DATA_FAMILIES[gate], data) for gate in DATA_GATES}
    results = _run(asked, artefact_hash, experiment.name)
    return GateReport(experiment.name, experiment.config_hash(data.profile), SHARDS, artefact_hash, results)


def run_model_gates(model: Model, *, artefact_hash: str) -> GateReport:
    """Run every gate of a checkpoint, on galaxies it was not trained on.

    Parameters
    ----------
    model : Model
        The model and the data it was trained on. Overrides of limits apply,
        waivers do not (:meth:`GateReport.with_waivers`).
    artefact_hash : str
        Content hash of the checkpoint.

    Returns
    -------
    GateReport
        One result per gate.
    """
    experiment = model.experiment
    asked = {gate: partial(behaviour.GATES[gate], model) for gate in MODEL_GATES}
    results = _run(asked, artefact_hash, experiment.name)
    return GateReport(
        experiment.name, experiment.config_hash(model.profile), CHECKPOINT, artefact_hash, results
    )


def run_evaluation_gates(grade: Grade, *, artefact_hash: str) -> GateReport:
    """Run every gate of a grade on real objects.

    Parameters
    ----------
    grade : Grade
        The record and what it was made from. Overrides of limits apply, waivers
        do not (:meth:`GateReport.with_waivers`).
    artefact_hash : str
        Content hash of the evaluation record.

    Returns
    -------
    GateReport
        One result per gate.
    """
    experiment = grade.experiment
    asked = {gate: partial(anchors.GATES[gate], grade) for gate in EVALUATION_GATES}
    results = _run(asked, artefact_hash, experiment.name)
    return GateReport(
        experiment.name, experiment.config_hash(grade.profile), ANCHOR_EVALUATION, artefact_hash, results
    )


def _run(
    gates: Mapping[str, Callable[[], list[Verdict]]], artefact_hash: str, experiment: str
) -> tuple[GateResult, ...]:
    """Run gates in order, timing each; a fault of the data fails the gate that met it, a gap defers it."""
    results: list[GateResult] = []
    for gate in track(list(gates), total=len(gates), label=f"gates {experiment} [gates]"):
        started = time.perf_counter()
        try:
            verdicts = gates[gate]()
        except MissingDataError:
            raise
        except MissingInputError as error:
            verdicts = [deferred(str(error))]
        except DataError as error:
            verdicts = [failed(None, str(error), {"error": type(error).__name__})]
        seconds = time.perf_counter() - started
        results += [
            GateResult.bind(gate, verdict, artefact_hash=artefact_hash, seconds=seconds / len(verdicts))
            for verdict in verdicts
        ]
    return tuple(results)
