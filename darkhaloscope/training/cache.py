"""Scaled images of a split in one memory-mapped file, built once per machine.

The archive is read once, in order, with the Parquet reader; from then on a batch
is one gather from memory, in any order. The file is keyed by the shards' content
and by what scaling depends on, so experiments that differ in treatment, network
or optimiser share it, and a changed shard never meets an old image.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.artifacts import atomic_path, read_json, write_json
from darkhaloscope.errors import DataError
from darkhaloscope.hashing import hash_json
from darkhaloscope.preprocess import centre
from darkhaloscope.preprocess.spec import PreprocessSpec
from darkhaloscope.progress import track
from darkhaloscope.stamps.shardset import iter_stamps
from darkhaloscope.tabular import pixels
from darkhaloscope.training.rows import SplitData

_FORMAT = 1


def cache_split(
    paths: Sequence[str | Path], rows: pa.Table, preprocess: PreprocessSpec, folder: Path, *, content: str
) -> SplitData:
    """Return the rows of a split with their images in a memory-mapped file of ``folder``.

    Several processes may ask at once: one builds, the others wait for it.

    Parameters
    ----------
    paths : sequence of path
        Shards of the split.
    rows : pyarrow.Table
        From :func:`darkhaloscope.training.rows.read_rows` of the same shards.
    preprocess : PreprocessSpec
        Fitted.
    folder : Path
        Where cached files lie; created.
    content : str
        Hash of the shards' content.

    Raises
    ------
    DataError
        Naming the task whose stamp cannot be normalised.
    """
    shape = [rows.num_rows, len(preprocess.bands), preprocess.crop_px, preprocess.crop_px]
    names = [path.name for path in map(Path, paths)]
    key = hash_json([_FORMAT, content, names, preprocess.scale_sha256, _drawn_centre(preprocess)])
    images, sidecar = folder / f"{key[:24]}.npy", folder / f"{key[:24]}.json"
    made = {"key": key, "shape": shape}
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / f"{key[:24]}.lock"):
        whole = sidecar.is_file() and images.is_file() and read_json(sidecar) == made
        if not whole:
            _build(paths, preprocess, images, tuple(shape))
            write_json(sidecar, made)
    return SplitData.of(rows, np.load(images, mmap_mode="r"), preprocess)


def _build(
    paths: Sequence[str | Path], preprocess: PreprocessSpec, target: Path, shape: tuple[int, ...]
) -> None:
    columns = ["task_id", "image", *(["invvar"] if preprocess.needs_invvar else [])]
    with atomic_path(target) as temporary:
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        start = 0
        for path in track(paths, total=len(paths), label="cache for training [shards]"):
            for batch in iter_stamps([path], columns):
                images[start : start + batch.num_rows] = _linear(batch, preprocess)
                start += batch.num_rows
        images.flush()


def _linear(batch: pa.RecordBatch, preprocess: PreprocessSpec) -> NDArray[np.float32]:
    """Scale the images of a batch; a centre of noise keyed by the stamps is drawn here, where stamps are."""
    stamps = pixels(batch, "image")
    invvar = pixels(batch, "invvar") if preprocess.needs_invvar else None
    try:
        images = preprocess.linear(stamps, invvar).values
    except DataError as error:
        bad = np.flatnonzero(~preprocess.valid_rows(stamps))
        if not len(bad):
            raise
        task = batch["task_id"][int(bad[0])].as_py()
        raise DataError(f"Task {task} cannot be trained on: {error}") from error
    if _drawn_centre(preprocess):
        return centre.treat(images, "noise", preprocess.centre_radius_px, preprocess.cropped(stamps))
    return images


def _drawn_centre(preprocess: PreprocessSpec) -> list[Any]:
    """Return what a centre of noise that is always there depends on; nothing for other treatments."""
    always = preprocess.treats_always and preprocess.centre == "noise"
    return [preprocess.centre_radius_px] if always else []


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)
