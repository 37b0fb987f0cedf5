"""Training, its validation and later scoring show the network the same arrays, bit for bit."""

import numpy as np
import pytest
import synthetic_stamps as synthetic
from scipy.special import expit

from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.training import loop
from darkhaloscope.training.predict import load_model


@pytest.mark.parametrize("normalisation", ["outer_mad", "raw_mad"])
def test_validation_scores_are_those_of_the_loaded_checkpoint(tmp_path, monkeypatch, normalisation):
    logits = []
    predict = loop.predict_split

    def watched(*arguments):
        logits.append(predict(*arguments))
        return logits[-1]

    monkeypatch.setattr(loop, "predict_split", watched)
    shards = synthetic.write_shards(tmp_path / "shards", train=32, val=16)
    request = synthetic.request(
        shards, tmp_path / "out", epochs=1, preprocess={"normalisation": normalisation, "clip": 8.0}
    )
    loop.train(request)
    model = load_model(tmp_path / "out" / "checkpoint.pt")
    assert (model.preprocess.normalisation, model.preprocess.clip) == (normalisation, 8.0)
    table = read_table(shards[-1])
    np.testing.assert_array_equal(model.score(pixels(table, "image"), table), expit(logits[0]))
