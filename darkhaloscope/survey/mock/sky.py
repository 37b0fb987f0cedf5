"""Writing a mock sky: plan, one task per brick in processes, then the catalogues.

A record beside the tree names the configuration and code it was made with; an
equal request finds it and writes nothing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from darkhaloscope import progress
from darkhaloscope.artifacts import write_json
from darkhaloscope.errors import ConfigError, DataError, describe
from darkhaloscope.hashing import code_version, hash_json, sha256_file
from darkhaloscope.schema import BANDS
from darkhaloscope.survey import layout
from darkhaloscope.survey.mock import catalogs, listing
from darkhaloscope.survey.mock.coadds import write_coadds
from darkhaloscope.survey.mock.config import MockSkyConfig
from darkhaloscope.survey.mock.geometry import MockBrick, plan_bricks
from darkhaloscope.survey.mock.known import KnownObject, plan_objects
from darkhaloscope.survey.mock.pixels import make_brick
from darkhaloscope.survey.mock.population import slots
from darkhaloscope.survey.release import get_release

RECORD = "mock-sky.json"
TRUTH = "catalogs/mock-truth.csv"
RELEASE_NAME = "dr10-south"

_TREES = ("south", "catalogs")
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def write_mock_sky(root: str | Path, config: MockSkyConfig, workers: int = 2) -> dict[str, Any]:
    """Write a survey tree in DR10's layout, with a catalogue of known objects.

    Parameters
    ----------
    root : path
        Survey root; new, empty, or the root of an earlier mock sky, whose
        files are replaced.
    config : MockSkyConfig
        What it holds.
    workers : int
        Processes. The bytes do not depend on their number.

    Returns
    -------
    dict
        ``root``, ``bricks`` and ``usable_bricks``, ``sources``, ``lenses``,
        ``lookalikes``, ``known_objects`` (path of the CSV), ``content_hash``,
        ``files``, ``bytes`` and ``reused``.

    Raises
    ------
    DataError
        If ``root`` holds files that no mock sky put there.
    ConfigError
        If the known objects do not fit into the bricks.
    """
    root = Path(root)
    request = hash_json([config.as_dict(), code_version("darkhaloscope.survey.mock")])
    previous = _previous(root)
    if previous is not None and previous["request"] == request and _intact(root, previous):
        return {**previous["summary"], "root": str(root), "reused": True}
    _clear(root, previous)
    bricks = plan_bricks(config)
    objects = plan_objects(config, bricks)
    _check_room(config, bricks, objects)
    # The mark of an unfinished sky: whoever finds it may write the tree again.
    write_json(root / RECORD, {"request": "", "summary": {}, "sha256": {}})
    observed = [brick for brick in bricks if brick.kind != "zero_coverage"]
    damaged = next(brick for brick in observed if brick.kind == "ok")
    tasks = [
        _task(root, config, brick, objects, config.nan_pixels if brick is damaged else 0)
        for brick in observed
    ]
    done: dict[str, dict[str, Any]] = {}
    for result in progress.track(_run(tasks, workers), total=len(tasks), label="mock sky [bricks]"):
        done[result["brick"]] = result

    release = get_release(RELEASE_NAME)
    sweep = np.concatenate([done[brick.name]["rows"] for brick in observed])
    truth = sorted((fact for b in observed for fact in done[b.name]["truth"]), key=lambda f: f["id"])
    summary = [
        done[b.name]["summary"] if b.name in done else catalogs.summary_row(b, None, None, ()) for b in bricks
    ]
    files = [root / name for b in observed for name in done[b.name]["files"]]
    files += catalogs.write_sweeps(root, release, sweep, config.seed)
    files += catalogs.write_brick_tables(root, release, bricks, summary)
    known = listing.known_object_rows(truth, listing.usable_star(sweep))
    files.append(listing.write_csv(root / listing.KNOWN_OBJECTS, listing.LENSCAT_COLUMNS, known))
    keys = list(dict.fromkeys(key for fact in truth for key in fact)) or ["id"]
    files.append(listing.write_csv(root / TRUTH, keys, truth))
    return _record(root, request, files, bricks, len(sweep), truth)


def _record(
    root: Path,
    request: str,
    files: list[Path],
    bricks: list[MockBrick],
    sources: int,
    truth: list[dict[str, Any]],
) -> dict[str, Any]:
    hashes = {path.relative_to(root).as_posix(): sha256_file(path) for path in sorted(files)}
    summary = {
        "bricks": len(bricks),
        "usable_bricks": sum(brick.kind == "ok" for brick in bricks),
        "sources": sources,
        "lenses": sum(fact["kind"] == "lens" for fact in truth),
        "lookalikes": sum(fact["kind"] not in {"lens", "quasar", "cluster"} for fact in truth),
        "known_objects": str(root / listing.KNOWN_OBJECTS),
        "content_hash": hash_json(hashes),
        "files": len(hashes),
        "bytes": sum(path.stat().st_size for path in files),
    }
    write_json(root / RECORD, {"request": request, "summary": summary, "sha256": hashes})
    return {**summary, "root": str(root), "reused": False}


def _task(
    root: Path, config: MockSkyConfig, brick: MockBrick, objects: list[KnownObject], nan_pixels: int = 0
) -> dict[str, Any]:
    """Return what one process needs: the known objects of the brick and its neighbours."""
    near = {brick.brickid, *(other.brickid for other in brick.neighbours())}
    return {
        "root": str(root),
        "config": config.as_dict(),
        "brick": brick.as_dict(),
        "objects": [vars(o) for o in objects if o.brickid in near],
        "nan_pixels": nan_pixels,
    }


def write_brick(task: dict[str, Any]) -> dict[str, Any]:
    """Render one brick and write its coadds; return its catalogue rows and truth."""
    config = MockSkyConfig.from_dict(task["config"])
    brick = MockBrick(**task["brick"])
    objects: dict[int, list[KnownObject]] = {}
    for entry in task["objects"]:
        objects.setdefault(entry["brickid"], []).append(KnownObject(**entry))
    bands = tuple(b for b in BANDS if brick.kind != "missing_band" or b != config.missing_band)
    pixels = make_brick(config, brick, objects, task["nan_pixels"])
    root = Path(task["root"])
    files = write_coadds(root, brick, pixels, bands)
    rows = catalogs.sweep_rows(config, brick, pixels, bands)
    return {
        "brick": brick.name,
        "files": [path.relative_to(root).as_posix() for path in files],
        "rows": rows,
        "summary": catalogs.summary_row(brick, pixels, rows, bands),
        "truth": pixels.truth,
    }


def _run(tasks: list[dict[str, Any]], workers: int) -> Iterator[dict[str, Any]]:
    if workers <= 1 or len(tasks) == 1:
        yield from map(write_brick, tasks)
        return
    limits = {name: os.environ.get(name) for name in _THREAD_LIMITS}
    os.environ.update(dict.fromkeys(_THREAD_LIMITS, "1"))
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool:
            for future in as_completed([pool.submit(write_brick, task) for task in tasks]):
                yield future.result()
    finally:
        for name, value in limits.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _check_room(config: MockSkyConfig, bricks: list[MockBrick], objects: list[KnownObject]) -> None:
    for brick in bricks:
        room = len(slots(config, brick)) - config.hosts_per_brick
        wanted = sum(o.brickid == brick.brickid for o in objects)
        if wanted > room:
            raise ConfigError(
                describe(
                    "Known objects do not fit beside the hosts",
                    field="hosts_per_brick",
                    row=brick.name,
                    expected=f"room for {wanted} objects",
                    got=room,
                    hint="use fewer hosts, lenses or look-alikes, or more bricks",
                )
            )


def _previous(root: Path) -> dict[str, Any] | None:
    path = root / RECORD
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def _intact(root: Path, record: dict[str, Any]) -> bool:
    return bool(record["sha256"]) and all((root / name).is_file() for name in record["sha256"])


def _clear(root: Path, previous: dict[str, Any] | None) -> None:
    """Remove an earlier mock sky, whole or unfinished; refuse a root that holds anything else."""
    if previous is not None:
        for name in _TREES:
            shutil.rmtree(root / name, ignore_errors=True)
        (root / layout.ALL_BRICKS).unlink(missing_ok=True)
        (root / RECORD).unlink()
    left = (
        sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())
        if root.is_dir()
        else []
    )
    if left:
        raise DataError(
            describe(
                "The root of a mock sky holds other files",
                file=root / left[0],
                expected="an empty directory",
                got=f"{len(left)} files",
                hint="choose another root; real survey files are never overwritten",
            )
        )
