"""Sound cases of each artefact that gates judge, which faults are planted in.

A case is a frozen record; a fault takes one and returns another
(``dataclasses.replace``). :meth:`judge` runs every gate of the artefact over the
real files and readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gate_world
import pyarrow as pa
import stamp_world
from gate_world import GateWorld

from darkhaloscope import tabular
from darkhaloscope.config import Experiment
from darkhaloscope.gates.behaviour.runs import Model
from darkhaloscope.gates.context import DataSet
from darkhaloscope.gates.physics.bank import run_bank_gates
from darkhaloscope.gates.result import GateReport
from darkhaloscope.gates.run import run_data_gates, run_model_gates
from darkhaloscope.profiles import Profile
from darkhaloscope.schema import HOSTS, MANIFEST, QUANTISED, STAMPS
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.survey.tiles import SplitMap

HASH = "planted"


@dataclass(frozen=True)
class ShardsCase:
    """Training shards and everything they were made from.

    Parameters
    ----------
    good : GateWorld
        The sound set; a table that is still its own is read from its files.
    table : pyarrow.Table
        Rows of the shards, STAMPS.
    manifest, stamps, hosts : pyarrow.Table
        MANIFEST, STAMPS (all tasks, with their status) and HOSTS.
    bricks : pyarrow.Table
        BRICKS.
    splits : SplitMap
        The plan of the splits.
    experiment : Experiment
        What the rows were meant to be.
    bank_path : Path
        The source bank.
    anchors : pyarrow.Table
        ANCHORS.
    """

    good: GateWorld
    table: pa.Table
    manifest: pa.Table
    stamps: pa.Table
    hosts: pa.Table
    bricks: pa.Table
    splits: SplitMap
    experiment: Experiment
    bank_path: Path
    anchors: pa.Table

    def data_set(
        self, folder: Path, *, in_memory: bool = False, profile: Profile = gate_world.PROFILE
    ) -> DataSet:
        """Return what the gates are asked of; changed tables are written below ``folder``.

        Rows ``in_memory`` are not written, for those who judge many.
        """
        return DataSet(
            shards=gate_world.Rows(self.table) if in_memory else ShardSet(self._shards(folder)),
            experiment=self.experiment,
            profile=profile,
            bricks=self.bricks,
            splits=self.splits,
            manifest_paths=self._paths(folder, "manifest", MANIFEST),
            stamp_paths=self._paths(folder, "stamps", STAMPS),
            hosts_paths=self._paths(folder, "hosts", HOSTS),
            bank_path=self.bank_path,
            anchors=self.anchors,
            folder=folder / "figures",
        )

    def judge(self, folder: Path) -> GateReport:
        """Run every gate of the training shards."""
        return run_data_gates(self.data_set(folder), artefact_hash=HASH)

    def _shards(self, folder: Path) -> list[Path]:
        counted = self.experiment.storage.form == "quantised"
        if self.table is self.good.table and not counted:
            return self.good.world.paths("shards")
        paths = []
        for split in sorted(set(self.table["split"].to_pylist())):
            rows = self.table.filter(pa.compute.equal(self.table["split"], split))
            path = folder / "shards" / f"{split}-0000.parquet"
            schema, rows = (QUANTISED, quantised(rows, 32.0)) if counted else (STAMPS, rows)
            tabular.write_table(path, schema, rows)
            paths.append(path)
        return paths

    def _paths(self, folder: Path, name: str, schema: Any) -> list[Path]:
        table = getattr(self, name)
        if table is read(self.good, name):
            return self.good.world.paths(name)
        path = folder / name / f"{name}.parquet"
        tabular.write_table(path, schema, table)
        return [path]


@dataclass(frozen=True)
class ModelCase:
    """A trained model and the data it is asked about.

    Parameters
    ----------
    good : GateWorld
        The sound set.
    model : Model
        What the behaviour gates are asked of.
    """

    good: GateWorld
    model: Model

    def judge(self, folder: Path) -> GateReport:
        """Run every gate of the checkpoint."""
        del folder
        return run_model_gates(self.model, artefact_hash=HASH)


@dataclass(frozen=True)
class BankCase:
    """A source bank and the catalogue it was built from."""

    bank_path: Path
    catalog_dir: Path
    folder: Path

    def judge(self, folder: Path) -> GateReport:
        """Run every gate of the bank."""
        return run_bank_gates(self.bank_path, artefact_hash=HASH, figures_dir=folder)


_TABLES: dict[tuple[int, str], pa.Table] = {}


def read(good: GateWorld, name: str) -> pa.Table:
    """Return a table of the sound set, the same object each time."""
    key = (id(good), name)
    if key not in _TABLES:
        _TABLES[key] = tabular.read_table(good.world.paths(name)).combine_chunks()
    return _TABLES[key]


def sound_shards(good: GateWorld) -> ShardsCase:
    """Return the case of a sound set."""
    return ShardsCase(
        good=good,
        table=good.table,
        manifest=read(good, "manifest"),
        stamps=read(good, "stamps"),
        hosts=read(good, "hosts"),
        bricks=gate_world.bricks(),
        splits=stamp_world.split_map(),
        experiment=good.world.experiment,
        bank_path=good.world.bank_path,
        anchors=gate_world.anchors(),
    )
