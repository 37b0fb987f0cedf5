"""A small learnable dataset in the stamp schema: smooth hosts, half of them with an arc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from darkhaloscope.config import Experiment
from darkhaloscope.profiles import TEST, Profile
from darkhaloscope.schema import BANDS, STAMPS
from darkhaloscope.streams import generator
from darkhaloscope.tabular import write_table
from darkhaloscope.training.request import TrainRequest

SIZE_PX = 64
SKY_NMGY = 0.01


def stamp_images(n: int, positive: np.ndarray, key: str, arc_nmgy: float = 0.06) -> np.ndarray:
    """Hosts with Gaussian cores in noise; positives carry a ring segment."""
    rng = generator(1, "test_stamps", key)
    axis = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2
    x, y = axis[None, :], axis[:, None]
    radius, azimuth = np.hypot(x, y), np.arctan2(y, x)
    images = rng.normal(0.0, SKY_NMGY, (n, 3, SIZE_PX, SIZE_PX))
    images += 0.5 * np.exp(-0.5 * (radius / 3.0) ** 2) * rng.uniform(0.5, 1.5, (n, 3, 1, 1))
    theta = rng.uniform(4.0, 9.0, n)[:, None, None]
    turn = rng.uniform(-np.pi, np.pi, n)[:, None, None]
    arc = np.exp(-0.5 * ((radius - theta) / 1.5) ** 2) * np.exp(2.0 * (np.cos(azimuth - turn) - 1.0))
    images += (positive * arc_nmgy)[:, None, None, None] * arc[:, None]
    return images.astype(np.float32)


def stamp_table(n: int, split: str, *, key: str = "", **changes: Any) -> pa.Table:
    """Rows in pairs of one host: a positive and its control with nothing added."""
    key = key or split
    rng = generator(2, "test_rows", key)
    positive = np.arange(n) % 2 == 0
    hosts = [f"10000-{key}-{i // 2}" for i in range(n)]
    data: dict[str, Any] = {}
    for column in STAMPS:
        if column.type is None:
            continue
        if column.nullable:
            data[column.name] = pa.nulls(n, column.type)
        elif pa.types.is_string(column.type):
            data[column.name] = [""] * n
        elif pa.types.is_boolean(column.type):
            data[column.name] = [False] * n
        elif pa.types.is_integer(column.type):
            data[column.name] = rng.integers(1, 9, n // 2).repeat(2)[:n]
        else:
            data[column.name] = rng.normal(1.3, 0.1, (n + 1) // 2).repeat(2)[:n]
    data |= {
        "task_id": [f"{key}-{i:05d}" for i in range(n)],
        "pair_id": hosts,
        "host_id": hosts,
        "control_kind": np.where(positive, "positive", "paired").tolist(),
        "is_control": ~positive,
        "split": [split] * n,
        "experiment": ["unit"] * n,
        "status": ["ok"] * n,
        "bandset": ["".join(BANDS)] * n,
        "image": stamp_images(n, positive, key),
        "invvar": np.full((n, 3, SIZE_PX, SIZE_PX), SKY_NMGY**-2, dtype=np.float32),
        "maskbits": np.zeros((n, SIZE_PX, SIZE_PX), dtype=np.int32),
    }
    return STAMPS.table(data | changes, SIZE_PX)


def write_shards(directory: Path, *, train: int = 96, val: int = 48) -> list[Path]:
    """Write two train shards and one val shard; return their paths."""
    paths = []
    for split, name, n in (
        ("train", "train-00000", train // 2),
        ("train", "train-00001", train - train // 2),
        ("val", "val-00000", val),
    ):
        paths.append(directory / f"{name}.parquet")
        write_table(paths[-1], STAMPS, stamp_table(n, split, key=name))
    return paths


def request(
    shards: Sequence[Path],
    output: Path,
    *,
    threads: int = 1,
    epochs: int = 2,
    sizes: Mapping[str, Any] = MappingProxyType({}),
    **sections: Any,
) -> TrainRequest:
    """A request on the CPU with the smallest sizes that still train."""
    return TrainRequest(
        experiment=experiment(**sections).model_dump(mode="json"),
        profile=profile(epochs=epochs, **sizes).as_dict(),
        shard_paths=[str(path) for path in shards],
        shards_hash="shards",
        output_dir=str(output),
        threads=threads,
        device="cpu",
    )


def experiment(**sections: Any) -> Experiment:
    """An experiment with timm's smallest residual network and the given sections changed."""
    base = {"name": "unit", "title": "t", "description": "d", "seed": 7, "model": {"encoder": "test_resnet"}}
    return Experiment.model_validate(base | sections)


def profile(**changes: Any) -> Profile:
    """The test profile with some sizes changed."""
    return Profile(**{**TEST.as_dict(), **changes})
