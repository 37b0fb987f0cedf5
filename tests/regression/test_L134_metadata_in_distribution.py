"""Conditions are standardised by the training set's scale, and a missing one is an error, never zero."""

import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import DataError
from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.training.loop import train
from darkhaloscope.training.predict import load_model

DEPTH = "psfdepth_r_mag"


def test_the_network_gets_standardised_conditions_or_none(tmp_path):
    shards = synthetic.write_shards(tmp_path / "shards", train=64, val=16)
    train(synthetic.request(shards, tmp_path / "out", epochs=1))
    model = load_model(tmp_path / "out" / "checkpoint.pt")
    training_rows = read_table(shards[:2])
    seen = model.preprocess.metadata(training_rows)
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(seen.std(axis=0), 1.0, atol=1e-5)

    table = read_table(shards[-1])
    images = pixels(table, "image")
    at = table.column_names.index(DEPTH)
    values = table[DEPTH].to_pylist()
    unknown = table.set_column(at, DEPTH, pa.array([None, *values[1:]], pa.float64()))
    with pytest.raises(DataError, match=rf"null or not finite \[field {DEPTH}, row 0\]"):
        model.score(images, unknown)
    with pytest.raises(DataError, match="Conditions of the stamps"):
        model.score(images)
    shifted = table.set_column(at, DEPTH, pa.array([v + 0.1 for v in values], pa.float64()))
    assert not np.array_equal(model.score(images, table), model.score(images, shifted))
