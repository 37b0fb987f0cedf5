"""The store: where artefacts lie, how a partition is replaced, what a reader may trust.

A partition is a directory of parts and a ``_manifest.json`` that is written
last. It is built in a staging directory keyed by the plan (configuration, code
and input hashes), so a killed build resumes and a changed plan starts afresh;
then it replaces the old partition whole. Readers refuse a partition without a
manifest. What the parts contain is no concern of this module.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from darkhaloscope.errors import ArtifactError, StorageError, describe
from darkhaloscope.hashing import canonical_json, hash_json, sha256_file

MANIFEST_NAME = "_manifest.json"
SIDECAR_SUFFIX = ".unit.json"
_STAGING = ".staging"
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Part:
    """One file of a partition.

    Parameters
    ----------
    path : str
        Relative to the partition directory, with ``/``.
    bytes : int
        Size.
    sha256 : str
        Hash of the content.
    rows : int
        Rows, 0 for files that are not tables.
    """

    path: str
    bytes: int
    sha256: str
    rows: int = 0


@dataclass(frozen=True)
class ArtifactRecord:
    """What ``_manifest.json`` says of a partition.

    Parameters
    ----------
    name : str
        Artefact (asset) name.
    partition : tuple of str
        Partition key, one entry per dimension; empty for an unpartitioned one.
    content_hash : str
        SHA-256 over the parts' names and hashes: equal content, equal hash.
    schema : str
        Schema name and version, ``"stamps/1"``; empty if the parts are not tables.
    config_hash, code_version : str
        Of the plan that made it.
    inputs : dict of str to str
        Content hash of every input artefact.
    summary : dict
        Numbers for people: counts, statuses, seconds. Not part of the hash.
    """

    name: str
    partition: tuple[str, ...]
    parts: tuple[Part, ...]
    content_hash: str
    schema: str
    config_hash: str
    code_version: str
    inputs: dict[str, str]
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Total rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def key(self) -> str:
        """Readable name, ``"injected_stamps/gen6/0042"``."""
        return "/".join((self.name, *self.partition))


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    The file is flushed to disk before the rename. If the block raises, nothing
    is left behind.

    Raises
    ------
    StorageError
        If the disk is full or a quota is reached.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(final)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                describe(
                    "No space left while writing",
                    file=final,
                    expected="enough free space",
                    got=f"{shutil.disk_usage(final.parent).free} bytes free",
                    hint="free some space or choose another root, then run again; finished parts are kept",
                )
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    ArtifactError
        If the file is absent or not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise ArtifactError(describe("Not a readable record", file=path, got=str(error))) from error


def plan_hash(config_hash: str, code_version: str, inputs: Mapping[str, str]) -> str:
    """Return the key of a build: same plan, same staging directory, resumable."""
    return hash_json([config_hash, code_version, dict(inputs)])[:16]


class ArtifactStore:
    """Artefacts below one root directory.

    Parameters
    ----------
    root : path
        Created on first use.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def directory(self, name: str, *partition: str) -> Path:
        """Return the directory of a committed partition, which may not exist."""
        return self.root.joinpath(name, *partition)

    def stage(self, name: str, *partition: str, plan: str) -> Path:
        """Return the staging directory of a build, keeping what an equal plan left there.

        Staging left by another plan of the same partition is removed.
        """
        parent = self.root.joinpath(_STAGING, name, *partition)
        staging = parent / f"plan-{plan}"
        if parent.is_dir():
            for stale in parent.glob("plan-*"):
                if stale != staging:
                    shutil.rmtree(stale)
        staging.mkdir(parents=True, exist_ok=True)
        return staging

    def commit(
        self,
        name: str,
        *partition: str,
        staging: Path,
        schema: str,
        config_hash: str,
        code_version: str,
        inputs: Mapping[str, str],
        rows: Mapping[str, int] | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> ArtifactRecord:
        """Turn a staging directory into the partition, replacing the old one whole.

        Parameters
        ----------
        staging : Path
            Directory returned by :meth:`stage`, holding all parts.
        rows : mapping, optional
            Rows per relative part path; parts that are not named count 0 rows.
        summary : mapping, optional
            Numbers for people.

        Returns
        -------
        ArtifactRecord

        Raises
        ------
        ArtifactError
            If there is no part at all.
        """
        for sidecar in staging.rglob(f"*{SIDECAR_SUFFIX}"):
            sidecar.unlink()
        for unfinished in staging.rglob(".*.tmp"):  # of a writer that was killed: no part of anything
            unfinished.unlink()
        files = sorted(p for p in staging.rglob("*") if p.is_file() and p.name != MANIFEST_NAME)
        if not files:
            raise ArtifactError(
                describe("Nothing to commit", file=staging, expected="at least one part", got=0)
            )
        parts = tuple(
            Part(
                path=(relative := file.relative_to(staging).as_posix()),
                bytes=file.stat().st_size,
                sha256=sha256_file(file),
                rows=(rows or {}).get(relative, 0),
            )
            for file in files
        )
        record = ArtifactRecord(
            name=name,
            partition=partition,
            parts=parts,
            content_hash=hash_json([[part.path, part.sha256] for part in parts]),
            schema=schema,
            config_hash=config_hash,
            code_version=code_version,
            inputs=dict(inputs),
            summary=dict(summary or {}),
        )
        write_json(
            staging / MANIFEST_NAME,
            {"format": _FORMAT_VERSION, "rows": record.rows, **asdict(record)},
        )
        self._replace(self.directory(name, *partition), staging)
        return record

    def record(self, name: str, *partition: str) -> ArtifactRecord:
        """Read the manifest of a partition.

        Raises
        ------
        ArtifactError
            If the partition was never committed, or a part is absent or has
            another size than recorded.
        """
        directory = self.directory(name, *partition)
        path = directory / MANIFEST_NAME
        if not path.is_file():
            raise ArtifactError(
                describe(
                    "Artefact is not complete",
                    file=directory,
                    expected=MANIFEST_NAME,
                    got="none",
                    hint=f"materialise {'/'.join((name, *partition))} first",
                )
            )
        raw = json.loads(path.read_text())
        record = ArtifactRecord(
            name=raw["name"],
            partition=tuple(raw["partition"]),
            parts=tuple(Part(**part) for part in raw["parts"]),
            content_hash=raw["content_hash"],
            schema=raw["schema"],
            config_hash=raw["config_hash"],
            code_version=raw["code_version"],
            inputs=raw["inputs"],
            summary=raw["summary"],
        )
        for part in record.parts:
            file = directory / part.path
            size = file.stat().st_size if file.is_file() else None
            if size != part.bytes:
                raise ArtifactError(
                    describe(
                        "Part does not match its manifest",
                        file=file,
                        expected=f"{part.bytes} bytes",
                        got="no file" if size is None else f"{size} bytes",
                        hint=f"materialise {record.key} again",
                    )
                )
        return record

    def has(self, name: str, *partition: str) -> bool:
        """Say whether a partition is committed."""
        return (self.directory(name, *partition) / MANIFEST_NAME).is_file()

    def paths(self, record: ArtifactRecord, suffix: str = "") -> list[Path]:
        """Return the absolute paths of the parts whose name ends with ``suffix``."""
        directory = self.directory(record.name, *record.partition)
        return [directory / part.path for part in record.parts if part.path.endswith(suffix)]

    def verify(self, record: ArtifactRecord) -> None:
        """Hash every part again.

        Raises
        ------
        ArtifactError
            Naming the first part whose content differs from its record.
        """
        for part, path in zip(record.parts, self.paths(record), strict=True):
            found = sha256_file(path)
            if found != part.sha256:
                raise ArtifactError(
                    describe(
                        "Part was changed after it was committed",
                        file=path,
                        expected=part.sha256,
                        got=found,
                        hint=f"materialise {record.key} again",
                    )
                )

    def partitions(self, name: str, *prefix: str) -> list[str]:
        """List the committed keys of the next partition dimension, sorted."""
        base = self.directory(name, *prefix)
        if not base.is_dir():
            return []
        return sorted(p.name for p in base.iterdir() if (p / MANIFEST_NAME).is_file())

    def _replace(self, final: Path, staging: Path) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            trash = final.with_name(f".{final.name}.{uuid.uuid4().hex}.old")
            final.replace(trash)
            staging.replace(final)
            shutil.rmtree(trash)
        else:
            staging.replace(final)


def equal_plan(record: ArtifactRecord, config_hash: str, code: str, inputs: Mapping[str, str]) -> bool:
    """Say whether a committed partition was made by exactly this plan."""
    return canonical_json([record.config_hash, record.code_version, record.inputs]) == canonical_json(
        [config_hash, code, dict(inputs)]
    )
