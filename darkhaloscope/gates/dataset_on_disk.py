"""A data set found on disk: whose it is, what lies beside it, and its gates.

Our shards come with the campaign's other artefacts when they lie where a store
put them, and without them anywhere else; the predecessor's Parquet files come
alone. What is absent is left absent: the gates that need it are deferred.
Formats are read elsewhere (``stamps.shardset``, ``stamps.predecessor``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from darkhaloscope import tabular
from darkhaloscope.artifacts import MANIFEST_NAME, ArtifactRecord, ArtifactStore, read_json
from darkhaloscope.config import Experiment
from darkhaloscope.config.sections import Split
from darkhaloscope.errors import ArtifactError, DataError, MissingDataError, MissingInputError, describe
from darkhaloscope.gates.context import DataSet
from darkhaloscope.gates.registry import SHARDS
from darkhaloscope.gates.result import GateReport
from darkhaloscope.gates.run import run_data_gates
from darkhaloscope.gates.undeclared import UndeclaredExperiment
from darkhaloscope.hashing import hash_json, sha256_file
from darkhaloscope.profiles import Profile
from darkhaloscope.progress import track
from darkhaloscope.schema import STAMPS, TableSchema
from darkhaloscope.stamps.predecessor import PredecessorShards, is_predecessor
from darkhaloscope.stamps.predecessor_columns import MAPPED
from darkhaloscope.stamps.shardset import ShardSet
from darkhaloscope.survey.split_files import read_splits

Form = Literal["shards", "predecessor"]

BANK_FILE = "bank.h5"
_LEDGER = "ledger.parquet"
_UNREAD = (".", "_")
"""First letters of what writers leave beside their parts."""


@dataclass(frozen=True)
class FoundShards:
    """Shards on disk, opened.

    Parameters
    ----------
    path : Path
        Where they were found.
    form : str
        ``shards`` or ``predecessor``.
    shards : ShardSet
        Their rows, in our schema.
    content_hash : str
        That of the artefact, or over names and hashes of the files.
    record : ArtifactRecord or None
        What the store says of them, if they lie in one.
    """

    path: Path
    form: Form
    shards: ShardSet
    content_hash: str
    record: ArtifactRecord | None = None

    @property
    def size_px(self) -> int:
        """Side of the stamps."""
        if isinstance(self.shards, PredecessorShards):
            return self.shards.size_px
        return int(tabular.read_schema(self.shards.paths()[0]).field("invvar").type.shape[-1])


@dataclass
class _Beside:
    """Inputs that were found, by field of DataSet, and what to say of those left out."""

    inputs: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, read: Callable[[], Any]) -> None:
        try:
            self.inputs[name] = read()
        except (ArtifactError, MissingInputError) as error:
            self.left_out[name] = str(error)


def find_shards(path: str | Path) -> FoundShards:
    """Open the shards at a path and hash them.

    Parameters
    ----------
    path : path
        A directory of Parquet files, with subdirectories, or one file.

    Raises
    ------
    MissingDataError
        If there is nothing there.
    DataError
        If the files are neither our shards nor the predecessor's stamps.
    ArtifactError
        If they lie in a store and are not what it recorded.
    """
    path = Path(path)
    files = parquet_files(path)
    if is_predecessor(files[0]):
        return FoundShards(path, "predecessor", PredecessorShards(files), _hash(path, files))
    columns = set(tabular.read_schema(files[0]).names)
    if not {"control_kind", "split"} <= columns or not {"image", "image_low"} & columns:
        raise DataError(
            describe(
                "Neither training shards nor stamps of the predecessor",
                file=files[0],
                expected="columns control_kind, split and image, or stamp_npz",
                got=", ".join(sorted(columns)[:8]),
            )
        )
    record = _record_of(path)
    if record is not None:
        ArtifactStore(_store_root(path, record)).verify(record)
    content_hash = record.content_hash if record is not None else _hash(path, files)
    return FoundShards(path, "shards", ShardSet(files), content_hash, record)


def judge_on_disk(
    found: FoundShards,
    *,
    profile: Profile,
    folder: str | Path,
    experiment: Experiment | None = None,
    hosts: str | Path | None = None,
    bank: str | Path | None = None,
) -> GateReport:
    """Run the data gates on shards found on disk.

    Parameters
    ----------
    found : FoundShards
        From :func:`find_shards`.
    profile : Profile
        Sizes of samples; the side of the stamps is that of the files.
    folder : path
        Where figures go; created.
    experiment : Experiment, optional
        What the rows were meant to be, with its limits. Without one nothing is
        held against a promise, and gates that need one are deferred.
    hosts : path, optional
        Host cutouts, a directory or a file.
    bank : path, optional
        Source bank.

    Returns
    -------
    GateReport
        Waivers are not applied (:meth:`GateReport.with_waivers`).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    declared = experiment or UndeclaredExperiment.assuming(
        **({"split": Split()} if found.form == "predecessor" else {})
    )
    beside = _beside(found, declared, folder)
    if hosts is not None:
        beside.inputs["hosts_paths"] = parquet_files(hosts)
        beside.left_out.pop("hosts_paths", None)
    if bank is not None:
        beside.inputs["bank_path"] = _existing(Path(bank))
        beside.left_out.pop("bank_path", None)
    data = DataSet(
        shards=found.shards,
        experiment=declared,
        profile=replace(profile, stamp_px=found.size_px),
        folder=folder,
        **beside.inputs,
    )
    report = run_data_gates(data, artefact_hash=found.content_hash)
    return replace(report, about=_about(found, beside))


def parquet_files(path: str | Path) -> list[Path]:
    """Return the Parquet files at or below a path, sorted.

    Raises
    ------
    MissingDataError
        If there are none.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if p.is_file())
    below = [f for f in files if not any(s.startswith(_UNREAD) for s in f.relative_to(path).parts)]
    if not below:
        raise MissingDataError(
            describe(
                "No Parquet files",
                file=path,
                expected="a directory that holds some",
                got="no such path" if not path.exists() else "none",
            )
        )
    return below


def _beside(found: FoundShards, experiment: Experiment, folder: Path) -> _Beside:
    """Return what lies beside the shards."""
    beside = _Beside()
    if isinstance(found.shards, PredecessorShards):
        shards = found.shards
        beside.add("ledger_path", lambda: _write_ledger(shards, folder / _LEDGER))
    if found.record is None:
        return beside
    record, store = found.record, ArtifactStore(_store_root(found.path, found.record))
    beside.add("manifest_paths", lambda: _made_from(store, record, "manifest"))
    beside.add("stamp_paths", lambda: _made_from(store, record, "injected_stamps"))
    beside.add("hosts_paths", lambda: _every_part(store, "host_cutouts"))
    beside.add("bank_path", lambda: store.paths(store.record("cosmos_bank"), BANK_FILE)[0])
    beside.add("bricks", lambda: _table(store, "footprint"))
    beside.add("anchors", lambda: _table(store, "anchor_catalog"))
    beside.add(
        "splits", lambda: read_splits(store.paths(store.record("sky_splits"), ".parquet"), experiment.split)
    )
    return beside


def _made_from(store: ArtifactStore, shards: ArtifactRecord, name: str) -> list[Path]:
    """Return the parts of an artefact that shards were made from, all tiles.

    Raises
    ------
    ArtifactError
        If a tile is absent, or was made again since.
    """
    keys = sorted(key for key in shards.inputs if key.split("/")[0] == name)
    if not keys:
        raise ArtifactError(describe("The shards do not say what they were made from", field=name))
    paths: list[Path] = []
    for key in keys:
        record = store.record(name, *key.split("/")[1:])
        if record.content_hash != shards.inputs[key]:
            raise ArtifactError(describe("Made again since the shards were", file=key))
        paths += store.paths(record, ".parquet")
    return paths


def _every_part(store: ArtifactStore, name: str) -> list[Path]:
    keys = store.partitions(name)
    if not keys:
        raise ArtifactError(describe("Artefact is not complete", file=store.directory(name)))
    return [path for key in keys for path in store.paths(store.record(name, key), ".parquet")]


def _table(store: ArtifactStore, name: str) -> Any:
    return tabular.read_table(store.paths(store.record(name), ".parquet"))


def _write_ledger(shards: PredecessorShards, path: Path) -> Path:
    """Write every task and how it ended as a table."""
    ledger = shards.ledger()
    tabular.write_table(path, TableSchema("ledger", 1, tuple(STAMPS[n] for n in ledger.column_names)), ledger)
    return path


def _record_of(path: Path) -> ArtifactRecord | None:
    """Return what a store says of a directory, None if it lies in none."""
    if not (path / MANIFEST_NAME).is_file():
        return None
    raw = read_json(path / MANIFEST_NAME)
    name, partition = str(raw["name"]), tuple(raw["partition"])
    if name != SHARDS:
        raise DataError(describe("Another artefact", file=path, expected=SHARDS, got=name))
    return ArtifactStore(path.resolve().parents[len(partition)]).record(name, *partition)


def _store_root(path: Path, record: ArtifactRecord) -> Path:
    return path.resolve().parents[len(record.partition)]


def _hash(path: Path, files: Sequence[Path]) -> str:
    """Hash files as a store hashes the parts of an artefact."""
    base = path if path.is_dir() else path.parent
    hashed = track(list(files), total=len(files), label="hash [files]")
    return hash_json([[file.relative_to(base).as_posix(), sha256_file(file)] for file in hashed])


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingDataError(describe("File not found", file=path))
    return path


def _about(found: FoundShards, beside: _Beside) -> dict[str, Any]:
    """Say how the files were read."""
    about: dict[str, Any] = {
        "path": str(found.path),
        "form": "training shards" if found.form == "shards" else "the predecessor's stamps",
        "inputs beside it": sorted(beside.inputs),
        "inputs left out": beside.left_out,
    }
    if isinstance(found.shards, PredecessorShards):
        absent = found.shards.absent
        about |= {
            "rows without a stamp": found.shards.lost,
            "columns read": {
                column.ours: f"from {', '.join(column.theirs)}: {column.note}"
                for column in MAPPED
                if column.ours not in absent
            },
            "columns ignored": found.shards.ignored,
        }
    about["columns absent"] = dict(found.shards.absent)
    return about
