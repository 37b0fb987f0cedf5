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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, MissingDataError, describe
from darkhaloscope.gates import behaviour, figures, leakage, physics, quality, shortcut, snr_mix, storage
from darkhaloscope.gates.features import Features, Sample, measure_sample, sample_columns
from darkhaloscope.gates.hosts import HostSums, measure_hosts
from darkhaloscope.gates.judging import Measured, failed
from darkhaloscope.gates.population import POSITIVE, SPLITS, Population, floats
from darkhaloscope.gates.registry import CHECKPOINT, DATA_GATES, MODEL_GATES, SHARDS
from darkhaloscope.gates.result import GateReport, GateResult, Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import Profile
from darkhaloscope.progress import track
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.survey.tiles import SplitMap, cell_ids
from darkhaloscope.tabular import read_table
from darkhaloscope.training.predict import load_model

_POPULATION = ("control_kind", "split", "host_id")


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
    data = _DataGates(
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
class _DataGates:
    """The gates of the shards and what they share, each part read when first asked for."""

    shards: ShardSet
    experiment: Experiment
    profile: Profile
    bricks: pa.Table
    splits: SplitMap
    manifest_paths: Sequence[str | Path]
    stamp_paths: Sequence[str | Path]
    hosts_paths: Sequence[str | Path]
    bank_path: str | Path
    folder: Path

    @cached_property
    def limits(self) -> Thresholds:
        return Thresholds.of(self.experiment.gates)

    @cached_property
    def population(self) -> Population:
        return Population.read(self.shards)

    @cached_property
    def sample(self) -> Sample:
        if not self.population.present([POSITIVE]):
            raise DataError(describe("No positives to judge", expected="both classes", got="controls only"))
        return measure_sample(
            self.shards,
            hosts_per_class=self.profile.gate_hosts_per_class,
            spec=PreprocessSpec.from_config(self.experiment.preprocess, crop_px=self.profile.stamp_px),
            seed=self.experiment.seed,
            probe_min_snr=self.limits.value("S6", "min_snr_footprint"),
        )

    @cached_property
    def hosts(self) -> HostSums:
        return measure_hosts(
            self.hosts_paths,
            self.sample.table["host_id"].to_pylist(),
            experiment=self.experiment,
            size_px=self.profile.stamp_px,
        )

    @property
    def views(self) -> dict[str, Features]:
        return {"raw": self.sample.raw, "model": self.sample.model}

    def conditions(self) -> list[Verdict]:
        measured = quality.measure_conditions(
            self.shards, self.population, sample_columns(self.sample), self.sample.population
        )
        limit = self.limits.value("Q1", "max_abs_d")
        name = figures.draw_effects(
            self.folder / "Q1.png", figures.condition_effects(measured), limit, "conditions"
        )
        return [replace(quality.judge_conditions(measured, self.limits), figure=name)]

    def bands(self) -> list[Verdict]:
        measured = quality.measure_bands(self.shards, self.population, self.sample.empty_planes)
        return [quality.judge_bands(measured, self.limits)]

    def finite(self) -> list[Verdict]:
        measured = quality.measure_finite(self.shards, self.population, self.sample.not_finite)
        return [quality.judge_finite(measured, self.limits)]

    def losses(self) -> list[Verdict]:
        measured = quality.measure_losses(self.manifest_paths, self.stamp_paths)
        return [quality.judge_losses(measured, self.limits)]

    def classes(self) -> list[Verdict]:
        measured = quality.measure_classes(
            self.population, self.experiment.controls, self.experiment.split.fractions
        )
        name = figures.draw_classes(self.folder / "Q5.png", measured)
        return [replace(quality.judge_classes(measured, self.limits), figure=name)]

    def snr_mix(self) -> list[Verdict]:
        measured = snr_mix.measure_snr_mix(
            self.shards, self.population, self.experiment.snr_targeting, seed=self.experiment.seed
        )
        name = figures.draw_snr_mix(self.folder / "Q7.png", measured)
        return [replace(snr_mix.judge_snr_mix(measured, self.limits), figure=name)]

    def storage(self) -> list[Verdict]:
        measured = storage.measure_storage(
            self.shards,
            self.population,
            self.stamp_paths,
            self.experiment.storage,
            hosts_per_class=self.profile.gate_hosts_per_class,
            seed=self.experiment.seed,
            limits=self.limits,
        )
        return [storage.judge_storage(measured, self.limits)]

    def sky(self) -> list[Verdict]:
        table = self.shards.metadata(["ra", "dec"])
        ra, dec = floats(table["ra"]), floats(table["dec"])
        measured = leakage.measure_sky(
            self.shards, self.population, self.experiment.split, self.splits.of(ra, dec)
        )
        name = figures.draw_sky(self.folder / "L1.png", ra, dec, self.population.split)
        return [replace(leakage.judge_sky(measured, self.limits), figure=name)]

    def galaxies(self) -> list[Verdict]:
        measured = leakage.measure_shared_hosts(self.shards, self.population)
        return [leakage.judge_hosts(measured, self.limits)]

    def sources(self) -> list[Verdict]:
        return [leakage.judge_sources(leakage.measure_sources(self.shards, self.population), self.limits)]

    def proportions(self) -> list[Verdict]:
        usable = self.bricks.filter(pc.equal(self.bricks["status"], "ok"))
        cell = cell_ids(floats(usable["ra"]), floats(usable["dec"]), self.splits.nside)
        measured = leakage.measure_proportions(
            cell=cell,
            split=np.array([self.splits.cells.get(int(c), "none") for c in cell]),
            galaxies=floats(usable["n_galaxies"]),
            area_deg2=floats(usable["area_deg2"]),
            fractions=self.experiment.split.fractions,
            available=_hosts_per_split(Population.of(read_table(self.manifest_paths, _POPULATION))),
            kept=_hosts_per_split(self.population),
        )
        return [leakage.judge_proportions(measured, self.limits)]

    def flux(self) -> list[Verdict]:
        with open_sources(self.experiment.sources.kind, self.bank_path) as library:
            measured = physics.measure_flux(
                self.sample,
                self.hosts,
                library,
                experiment=self.experiment,
                size_px=self.profile.stamp_px,
                oracle_rows=self.profile.oracle_rows,
                limits=self.limits,
            )
        name = figures.draw_flux(
            self.folder / "P1.png", measured, self.limits.value("P1", "max_median_error")
        )
        return [replace(physics.judge_flux(measured, self.limits), figure=name)]

    def normalisation(self) -> list[Verdict]:
        measured = shortcut.measure_normalisation(self.sample)
        limit = self.limits.value("S1", "max_abs_d_matched_light")
        name = figures.draw_effects(self.folder / "S1.png", measured["effects"], limit, "normalisation")
        return [replace(shortcut.judge_normalisation(measured, self.limits), view="model", figure=name)]

    def aperture_light(self) -> list[Verdict]:
        return self._probed(
            "S2", "aperture light", shortcut.measure_aperture_light, shortcut.judge_aperture_light
        )

    def core(self) -> list[Verdict]:
        return self._probed("S2p", "core statistics", shortcut.measure_core, shortcut.judge_core)

    def brightness(self) -> list[Verdict]:
        measured = {
            view: shortcut.measure_brightness(self.sample, seen, self.hosts)
            for view, seen in self.views.items()
        }
        low, high = (self.limits.value("S3", f"{side}_ratio_matched_light") for side in ("min", "max"))
        name = figures.draw_brightness(self.folder / "S3.png", measured, low, high)
        return self._in_views(measured, shortcut.judge_brightness, name)

    def signal(self) -> list[Verdict]:
        measured = shortcut.measure_signal(
            self.sample,
            epochs=self.profile.gate_probe_epochs,
            seed=self.experiment.seed,
            n_boot=self.profile.bootstrap,
            limits=self.limits,
        )
        name = figures.draw_signal(self.folder / "S6.png", measured)
        return [replace(shortcut.judge_signal(measured, self.limits), view="model", figure=name)]

    def _probed(
        self,
        gate: str,
        title: str,
        measure: Callable[..., Measured],
        judge: Callable[[Measured, Thresholds], Verdict],
    ) -> list[Verdict]:
        measured = {
            view: measure(self.sample, seen, seed=self.experiment.seed, n_boot=self.profile.bootstrap)
            for view, seen in self.views.items()
        }
        return self._in_views(measured, judge, figures.draw_roc(self.folder / f"{gate}.png", measured, title))

    def _in_views(
        self, measured: Mapping[str, Measured], judge: Callable[[Measured, Thresholds], Verdict], figure: str
    ) -> list[Verdict]:
        """Judge each view; the raw one informs, the model one blocks."""
        return [
            replace(judge(values, self.limits), view=view, blocking=view == "model", figure=figure)
            for view, values in measured.items()
        ]


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


def _hosts_per_split(population: Population) -> dict[str, int]:
    return {split: population.galaxies(population.where(split=split)) for split in SPLITS}


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
