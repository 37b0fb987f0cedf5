"""What the gates of a data set are asked of: its files, and what several gates take from them.

Each part is read when a gate first asks for it, and once. What a gate measures
is its family's business (``runs`` of each family); in which order gates run and
what becomes of their verdicts is the business of ``run``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.columns import Columns, Plan, scan_columns
from darkhaloscope.gates.features import Sample, measure_sample
from darkhaloscope.gates.hosts import HostSums, measure_hosts
from darkhaloscope.gates.inputs import Input, missing_column, optional
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.physics.arcs import Arcs, read_arcs
from darkhaloscope.gates.population import POSITIVE, Population
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.gates.views import Features
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import Profile
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.stamps.snr_target import declared_target
from darkhaloscope.survey.tiles import SplitMap


@dataclass(repr=False)
class DataSet:
    """A data set under judgement and what its gates share.

    What follows ``folder`` may be absent; a gate that reads an absent input is deferred.

    Parameters
    ----------
    shards : ShardSet
        The rows.
    experiment : Experiment
        What they were meant to be.
    profile : Profile
        Sample sizes.
    folder : Path
        Where figures go.
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
    ledger_path : path
        One file in place of both ``manifest`` and ``injected_stamps`` for those
        who ask what became of the tasks; of data that have neither.
    anchors : pyarrow.Table
        ANCHORS: known lenses and look-alikes, and what each may be used for.
    """

    shards: ShardSet
    experiment: Experiment
    profile: Profile
    folder: Path
    bricks: Input[pa.Table] = Input("the bricks of the footprint")
    splits: Input[SplitMap] = Input("the published plan of the splits (sky_splits)")
    manifest_paths: Input[Sequence[str | Path]] = Input("the manifest: every task that was planned")
    stamp_paths: Input[Sequence[str | Path]] = Input("injected_stamps: the archive the shards were made from")
    hosts_paths: Input[Sequence[str | Path]] = Input("host_cutouts: the hosts before injection")
    bank_path: Input[str | Path] = Input("the source bank")
    ledger_path: Input[str | Path] = Input("the ledger of all tasks")
    anchors: Input[pa.Table] = Input("the catalogue of known lenses and look-alikes (anchor_catalog)")

    @cached_property
    def limits(self) -> Thresholds:
        """Limits of the experiment, overrides applied."""
        return Thresholds.of(self.experiment.gates)

    @cached_property
    def population(self) -> Population:
        """Class, split and galaxy of every row."""
        return Population.read(self.shards)

    @cached_property
    def columns(self) -> Columns:
        """What one pass over the columns of all rows found."""
        nside = optional(lambda: self.experiment.split.nside) or Plan.nside
        target = optional(lambda: declared_target(self.experiment.snr_targeting))
        return scan_columns(self.shards, Plan(nside, optional(lambda: self.splits), target))

    @property
    def task_files(self) -> tuple[Sequence[str | Path], Sequence[str | Path]]:
        """Files that name every task, and files that say how each ended."""
        ledger = optional(lambda: self.ledger_path)
        return ([ledger], [ledger]) if ledger is not None else (self.manifest_paths, self.stamp_paths)

    @cached_property
    def sample(self) -> Sample:
        """Pixel statistics of the fixed sample."""
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
        """Light of the sample's hosts before injection."""
        return measure_hosts(
            self.hosts_paths,
            self.sample.table["host_id"].to_pylist(),
            experiment=self.experiment,
            size_px=self.profile.stamp_px,
        )

    @cached_property
    def arcs(self) -> Arcs:
        """Some arcs in pixels, beside what an independent renderer makes of their rows."""
        with open_sources(self.experiment.sources.kind, self.bank_path) as library:
            return read_arcs(
                self.sample.table,
                self.shards,
                self.stamp_paths,
                self.hosts_paths,
                library,
                experiment=self.experiment,
                size_px=self.profile.stamp_px,
                n_rows=self.profile.oracle_rows,
            )

    @property
    def views(self) -> dict[str, Features]:
        """What is judged: the stamps as they are, and as the model sees them."""
        return {"raw": self.sample.raw, "model": self.sample.model}

    def in_views(
        self, measured: Mapping[str, Measured], judge: Callable[[Measured, Thresholds], Verdict], figure: str
    ) -> list[Verdict]:
        """Judge each view; the raw one informs, the model one blocks."""
        return [
            replace(judge(values, self.limits), view=view, blocking=view == "model", figure=figure)
            for view, values in measured.items()
        ]


Ask: TypeAlias = Callable[[DataSet], list[Verdict]]
"""One gate: reads what it needs, measures, judges and draws; one verdict per view."""


def ask(question: Ask, data: DataSet) -> list[Verdict]:
    """Put one gate's question to a data set.

    Raises
    ------
    MissingInputError
        If the gate needs an input or a column that is absent.
    """
    try:
        return question(data)
    except KeyError as error:
        missing = missing_column(data.shards, error)
        if missing is None:
            raise
        raise missing from error
