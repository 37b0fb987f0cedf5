"""Scores of rows with pixels, bound to the checkpoint and the preprocessing that made them.

Scoring goes through the model's own PreprocessSpec; scores of another spec or
checkpoint cannot be joined to these. A row that cannot be scored is an error or
a counted status, never a score of zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from darkhaloscope.errors import ArtifactError, DataError, describe
from darkhaloscope.schema import SCORES
from darkhaloscope.tabular import pixels
from darkhaloscope.training.predict import LoadedModel

BATCH_ROWS = 256
"""Rows scored at a time; bounds memory, never changes a score."""


def score_rows(
    model: LoadedModel,
    table: pa.Table,
    *,
    id_column: str,
    preprocess_sha256: str | None = None,
) -> pa.Table:
    """Score every row of a table with pixels.

    Parameters
    ----------
    model : LoadedModel
        Weights and PreprocessSpec.
    table : pyarrow.Table
        Rows with ``image`` and the condition columns the model reads, all ``ok``.
    id_column : str
        Column that names a row.
    preprocess_sha256 : str, optional
        Hash the caller expects; another one is an error.

    Returns
    -------
    pyarrow.Table
        Schema ``SCORES``, in the order of ``table``.

    Raises
    ------
    ArtifactError
        If the model's PreprocessSpec is not the one expected.
    DataError
        If there is no row, a row has a status other than ok, an id occurs twice,
        or a score is not a probability, naming the row.
    """
    if preprocess_sha256 is not None and preprocess_sha256 != model.preprocess.sha256:
        raise ArtifactError(
            describe(
                "Scoring with another PreprocessSpec",
                field="preprocess_sha256",
                expected=preprocess_sha256,
                got=model.preprocess.sha256,
                hint="score with the checkpoint's own spec, or train again",
            )
        )
    ids = table[id_column].to_pylist()
    if not ids:
        raise DataError(describe("No row to score", field=id_column, expected="at least one", got=0))
    if len(set(ids)) != len(ids):
        raise DataError(describe("Row to be scored twice", field=id_column, got=_first_repeated(ids)))
    if "status" in table.column_names:
        _require_ok(table, id_column)
    scores = np.concatenate(
        [
            model.score(pixels(part, "image"), part)
            for start in range(0, table.num_rows, BATCH_ROWS)
            if (part := table.slice(start, BATCH_ROWS)).num_rows
        ]
    ).astype(np.float64)
    wrong = ~(np.isfinite(scores) & (scores >= 0.0) & (scores <= 1.0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            describe(
                "Score", row=ids[row], expected="a probability", got=f"{scores[row]} ({wrong.sum()} rows)"
            )
        )
    return SCORES.table(
        {
            "object_id": ids,
            "score": scores,
            "preprocess_sha256": [model.preprocess.sha256] * len(ids),
            "checkpoint_sha256": [model.sha256] * len(ids),
        }
    )


def join_scores(scores: Sequence[pa.Table]) -> pa.Table:
    """Concatenate score tables of one checkpoint and one PreprocessSpec.

    Raises
    ------
    ArtifactError
        If they come from different ones.
    """
    joined = pa.concat_tables(scores)
    for column in ("checkpoint_sha256", "preprocess_sha256"):
        found = pc.unique(joined[column]).to_pylist()
        if len(found) > 1:
            raise ArtifactError(
                describe("Scores of different models", field=column, expected="one", got=sorted(found))
            )
    return joined


def score_array(scores: pa.Table) -> NDArray[np.float64]:
    """Return the scores as an array."""
    values: NDArray[np.float64] = scores["score"].to_numpy()
    return values


def _require_ok(table: pa.Table, id_column: str) -> None:
    bad = pc.not_equal(table["status"], "ok")
    if pc.any(bad).as_py():
        row = pc.index(bad, pa.scalar(True)).as_py()
        raise DataError(
            describe(
                "Row without pixels",
                row=table[id_column][row].as_py(),
                field="status",
                expected="ok",
                got=f"{table['status'][row].as_py()} ({pc.sum(bad).as_py()} rows)",
                hint="count rows by status and score the ok ones",
            )
        )


def _first_repeated(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    for value in ids:
        if value in seen:
            return value
        seen.add(value)
    return ""
