import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic
import tiny_model

from darkhaloscope.errors import ArtifactError, DataError
from darkhaloscope.evaluation import scoring
from darkhaloscope.evaluation.scoring import join_scores, score_array, score_rows
from darkhaloscope.schema import SCORES
from darkhaloscope.tabular import pixels
from darkhaloscope.training.predict import load_model


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return synthetic.stamp_table(10, "test")


def test_scores_are_bound_to_checkpoint_and_spec(model, rows):
    scores = score_rows(model, rows, id_column="task_id")
    SCORES.validate(scores)
    assert scores["object_id"].to_pylist() == rows["task_id"].to_pylist()
    assert set(scores["checkpoint_sha256"].to_pylist()) == {model.sha256}
    assert set(scores["preprocess_sha256"].to_pylist()) == {model.preprocess.sha256}
    assert np.array_equal(score_array(scores), model.score(pixels(rows, "image"), rows))


def test_a_score_does_not_depend_on_the_batch(model, rows, monkeypatch):
    whole = score_array(score_rows(model, rows, id_column="task_id"))
    monkeypatch.setattr(scoring, "BATCH_ROWS", 3)
    assert np.array_equal(score_array(score_rows(model, rows, id_column="task_id")), whole)


def test_another_spec_is_an_error(model, rows):
    with pytest.raises(ArtifactError, match="another PreprocessSpec"):
        score_rows(model, rows, id_column="task_id", preprocess_sha256="0" * 64)


def test_a_row_without_pixels_is_refused_by_name_and_never_scores_zero(model, rows):
    status = ["ok"] * 10
    status[4] = "missing_band_z"
    at = rows.column_names.index("status")
    damaged = rows.set_column(at, rows.schema.field("status"), pa.array(status))
    with pytest.raises(DataError, match=rf"{rows['task_id'][4].as_py()}.*missing_band_z \(1 rows\)"):
        score_rows(model, damaged, id_column="task_id")


def test_no_row_and_a_row_twice_are_errors(model, rows):
    with pytest.raises(DataError, match="No row to score"):
        score_rows(model, rows.slice(0, 0), id_column="task_id")
    with pytest.raises(DataError, match="scored twice"):
        score_rows(model, pa.concat_tables([rows, rows.slice(0, 1)]), id_column="task_id")


def test_scores_of_two_models_cannot_be_joined(model, rows, tmp_path):
    other = load_model(tiny_model.write_checkpoint(tmp_path / "other.pt", seed=4))
    tables = [score_rows(one, rows, id_column="task_id") for one in (model, other)]
    with pytest.raises(ArtifactError, match="checkpoint_sha256"):
        join_scores(tables)
    assert join_scores([tables[0].slice(0, 4), tables[0].slice(4)]).equals(tables[0])
