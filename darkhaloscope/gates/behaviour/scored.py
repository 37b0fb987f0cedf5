"""Scores of stamps: each asked for once, and kept beside the rows they belong to.

A behaviour gate asks a model about stamps as they are and about stamps that were
changed on purpose. The first kind is shared by several gates and lives here; how
stamps are changed, and what follows from the answer, does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates.population import POSITIVE, floats
from darkhaloscope.schema import STAMPS, Role
from darkhaloscope.stamps.shardset import ShardSet
from darkhaloscope.statistics.rates import freeze_threshold
from darkhaloscope.tabular import pixels

FloatArray = NDArray[np.float64]
Images = NDArray[np.float32]
Score = Callable[[Images, pa.Table], FloatArray]
"""Stamps (n, 3, size, size) in nMgy/px and their rows to probabilities, shape (n,)."""

NOTHING_ADDED = ("paired", "unpaired", "hard_negative")
"""Control kinds that are images of galaxies as they are: the negatives of a threshold."""

_TABLE_COLUMNS = [column.name for column in STAMPS if column.role is not Role.PIXELS]


class RememberedScore:
    """A score that asks the model about each stamp once.

    A row's score depends on its own pixels and conditions alone, so it is
    remembered by the bytes of the stamp and the id of the row. Gates that leave
    a stamp as it is, or that find nothing changed, cost no second pass.

    Parameters
    ----------
    score : callable
        The model.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._known: dict[bytes, float] = {}

    def __call__(self, images: Images, rows: pa.Table) -> FloatArray:
        """Return the probability of every stamp.

        Raises
        ------
        DataError
            If the model gives anything but one probability per stamp.
        """
        keys = [
            hashlib.blake2b(np.ascontiguousarray(image).data, key=task.encode()[:64], digest_size=16).digest()
            for image, task in zip(images, rows["task_id"].to_pylist(), strict=True)
        ]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            at = list(new.values())
            p = np.asarray(self._score(images[at], rows.take(pa.array(at))), dtype=np.float64)
            _require_probabilities(p, len(at))
            self._known.update(zip(new, p.tolist(), strict=True))
        return np.array([self._known[key] for key in keys], dtype=np.float64)


@dataclass(frozen=True)
class Scored:
    """Rows of one split and their scores.

    Parameters
    ----------
    rows : pyarrow.Table
        STAMPS without pixels, n rows.
    p : ndarray, shape (n,)
        Probability of a lens at the prior of training.
    """

    rows: pa.Table
    p: FloatArray

    @cached_property
    def kind(self) -> NDArray[Any]:
        """``control_kind`` of each row."""
        return np.asarray(self.rows["control_kind"].to_pylist(), dtype=str)

    @cached_property
    def galaxies(self) -> NDArray[Any]:
        """Host of each row."""
        return np.asarray(self.rows["host_id"].to_pylist(), dtype=str)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether each row is a lens."""
        return np.asarray(self.kind == POSITIVE)

    def column(self, name: str) -> FloatArray:
        """Return a numeric column, NaN where null."""
        return floats(self.rows[name])

    def galaxies_of(self, chosen: NDArray[np.bool_]) -> int:
        """Return the number of galaxies among the chosen rows."""
        return int(np.unique(self.galaxies[chosen]).size)

    def where(self, chosen: NDArray[np.bool_]) -> Scored:
        """Return the chosen rows."""
        return Scored(self.rows.filter(pa.array(chosen)), self.p[chosen])


def score_split(shards: ShardSet, split: str, score: Score, *, n_hosts: int, seed: int) -> Scored:
    """Score a fixed sample of one split, one row group of pixels at a time.

    Parameters
    ----------
    shards : ShardSet
        The rows.
    split : str
        ``train``, ``val`` or ``test``; without rows the result has none.
    score : callable
        The model.
    n_hosts : int
        Galaxies per class, chosen by id hash.
    seed : int
        Key of the sample.
    """
    tables, scores = [], []
    if split in shards.splits:
        tasks = shards.sample(n_hosts, seed=seed, split=split, columns=["task_id"])["task_id"]
        for batch in shards.iter_batches(split, [*_TABLE_COLUMNS, "image"], tasks.combine_chunks()):
            rows = pa.Table.from_batches([batch])
            scores.append(score(pixels(rows, "image"), rows))
            tables.append(rows.select(_TABLE_COLUMNS))
    if not tables:
        empty = shards.metadata(_TABLE_COLUMNS).slice(0, 0)
        return Scored(empty, np.empty(0))
    return Scored(pa.concat_tables(tables).combine_chunks(), np.concatenate(scores))


def operating_threshold(scored: Scored, fpr: float) -> float:
    """Return the score that a share ``fpr`` of galaxies with nothing added exceeds.

    One row per galaxy: the first of each.

    Raises
    ------
    DataError
        If there is no such galaxy.
    """
    chosen = np.flatnonzero(np.isin(scored.kind, NOTHING_ADDED))
    _, first = np.unique(scored.galaxies[chosen], return_index=True)
    return freeze_threshold(scored.p[chosen][first], fpr).score


def _require_probabilities(p: FloatArray, rows: int) -> None:
    if p.shape != (rows,) or not (np.isfinite(p) & (p >= 0.0) & (p <= 1.0)).all():
        raise DataError(
            describe(
                "Score is not a probability",
                expected=f"{rows} numbers in [0, 1]",
                got=f"shape {p.shape}, from {np.min(p, initial=np.inf):g} to {np.max(p, initial=-np.inf):g}",
            )
        )
