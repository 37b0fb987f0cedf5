"""Run a family of gates over one artefact and return the report.

Reading is shared: columns are read once, the pixel sample is read once, hosts
are read once. A fault in the data makes its gate fail with the reason; a fault
of the machine is raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.gates import behaviour, figures
from darkhaloscope.gates.data_gates import DataGates
from darkhaloscope.gates.judging import failed
from darkhaloscope.gates.registry import CHECKPOINT, DATA_GATES, MODEL_GATES, SHARDS
from darkhaloscope.gates.result import GateReport, GateResult, Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.profiles import Profile
from darkhaloscope.progress import track
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.survey.tiles import SplitMap
from darkhaloscope.training.predict import load_model


def run_data_gates(
    shards: ShardSet,
    *,
    experiment: Experiment,
    profile: Profile,
    bricks: pa.Table,
    splits: SplitMap,
    manifest_paths: Sequence[str | Path],
    stamp_paths: Sequence[str | Path],
    hosts_paths: Sequence[str | Path],
    bank_path: str | Path,
    artefact_hash: str,
    figures_dir: str | Path,
) -> GateReport:
    """Run every gate of the training shards.

    Parameters
    ----------
    shards : ShardSet
        The shards.
    experiment : Experiment
        What they were meant to be; its overrides of limits apply, its waivers
        do not (:meth:`GateReport.with_waivers`).
    profile : Profile
        Sample sizes.
    bricks : pyarrow.Table
        BRICKS: galaxies and area behind the promised proportions.
    splits : SplitMap
        The plan of the splits.
    manifest_paths, stamp_paths : sequence of path
        Parts of ``manifest`` and ``injected_stamps`` of all tiles: every task,
        and the status it ended with.
    hosts_paths : sequence of path
        Parts of ``host_cutouts`` of all tiles.
    bank_path : path
        Source bank, for the oracle.
    artefact_hash : str
        Content hash of the shards.
    figures_dir : path
        Where the figures go; created.

    Returns
    -------
    GateReport
        One result per gate, two (``raw``, ``model``) for S2, S2p and S3.

    Raises
    ------
    MissingDataError
        If a file does not exist.
    """
    data = DataGates(
        shards,
        experiment,
        profile,
        bricks,
        splits,
        manifest_paths,
        stamp_paths,
        hosts_paths,
        bank_path,
        Path(figures_dir),
    )
    gates: dict[str, Callable[[], list[Verdict]]] = {
        "Q1": data.conditions,
        "Q2": data.bands,
        "Q3": data.finite,
        "Q4": data.losses,
        "Q5": data.classes,
        "Q7": data.snr_mix,
        "Q8": data.storage,
        "L1": data.sky,
        "L2": data.galaxies,
        "L3": data.sources,
        "L4": data.proportions,
        "P1": data.flux,
        "P3": data.arc_colours,
        "S1": data.normalisation,
        "S2": data.aperture_light,
        "S2p": data.core,
        "S3": data.brightness,
        "S6": data.signal,
    }
    results = _run({gate: gates[gate] for gate in DATA_GATES}, artefact_hash, experiment.name)
    return GateReport(experiment.name, experiment.config_hash(profile), SHARDS, artefact_hash, results)


def run_model_gates(
    checkpoint_path: str | Path,
    shards: ShardSet,
    *,
    experiment: Experiment,
    profile: Profile,
    hosts_paths: Sequence[str | Path],
    artefact_hash: str,
    figures_dir: str | Path,
) -> GateReport:
    """Run every gate of a checkpoint, on galaxies of the validation split.

    Parameters
    ----------
    checkpoint_path : path
        ``checkpoint.pt``.
    shards : ShardSet
        The shards it was trained on.
    experiment, profile, hosts_paths, figures_dir
        As in :func:`run_data_gates`.
    artefact_hash : str
        Content hash of the checkpoint.

    Returns
    -------
    GateReport
        One result per gate.
    """
    data = _ModelGates(
        load_model(checkpoint_path).score, shards, experiment, profile, hosts_paths, Path(figures_dir)
    )
    gates: dict[str, Callable[[], list[Verdict]]] = {"B1": data.null_injection, "B2": data.arc_removed}
    results = _run({gate: gates[gate] for gate in MODEL_GATES}, artefact_hash, experiment.name)
    return GateReport(experiment.name, experiment.config_hash(profile), CHECKPOINT, artefact_hash, results)


@dataclass
class _ModelGates:
    """The gates of a checkpoint and the trial they share."""

    score: behaviour.Score
    shards: ShardSet
    experiment: Experiment
    profile: Profile
    hosts_paths: Sequence[str | Path]
    folder: Path

    @cached_property
    def limits(self) -> Thresholds:
        return Thresholds.of(self.experiment.gates)

    @cached_property
    def trial(self) -> behaviour.Trial:
        return behaviour.read_trial(
            self.shards,
            self.hosts_paths,
            experiment=self.experiment,
            n_hosts=self.profile.gate_hosts_per_class,
            size_px=self.profile.stamp_px,
        )

    def null_injection(self) -> list[Verdict]:
        measured = behaviour.measure_null_injection(
            self.trial, self.score, experiment=self.experiment, n_boot=self.profile.bootstrap
        )
        name = figures.draw_scores(self.folder / "B1.png", measured, "null injections and their hosts")
        return [replace(behaviour.judge_null_injection(measured, self.limits), figure=name)]

    def arc_removed(self) -> list[Verdict]:
        measured = behaviour.measure_arc_removed(self.trial, self.score, experiment=self.experiment)
        name = figures.draw_scores(self.folder / "B2.png", measured, "positives with and without their arc")
        return [replace(behaviour.judge_arc_removed(measured, self.limits), figure=name)]


def _run(
    gates: Mapping[str, Callable[[], list[Verdict]]], artefact_hash: str, experiment: str
) -> tuple[GateResult, ...]:
    """Run gates in order, timing each; what is wrong with the data fails the gate that met it."""
    results: list[GateResult] = []
    for gate in track(list(gates), total=len(gates), label=f"gates {experiment} [gates]"):
        started = time.perf_counter()
        try:
            verdicts = gates[gate]()
        except MissingDataError:
            raise
        except DataError as error:
            verdicts = [failed(None, str(error), {"error": type(error).__name__})]
        seconds = time.perf_counter() - started
        results += [
            GateResult.bind(gate, verdict, artefact_hash=artefact_hash, seconds=seconds / len(verdicts))
            for verdict in verdicts
        ]
    return tuple(results)
