"""A checkpoint names its own constructor: loading needs the path and nothing else."""

import numpy as np
import synthetic_stamps as synthetic

from darkhaloscope.statistics import auc
from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.training.loop import train
from darkhaloscope.training.predict import load_model


def test_the_recorded_auc_is_that_of_the_loaded_network(tmp_path):
    shards = synthetic.write_shards(tmp_path / "shards", train=64, val=32)
    result = train(
        synthetic.request(
            shards,
            tmp_path / "out",
            epochs=2,
            model={"encoder": "test_resnet", "metadata_width": 5, "dropout": 0.4},
            preprocess={"metadata": ["ebv", "nexp_g", "host_mag_z"], "centre": "blur"},
            training={"learning_rate": 3e-3},
        )
    )
    model = load_model(tmp_path / "out" / "checkpoint.pt")
    table = read_table(shards[-1])
    lenses = np.logical_not(table["is_control"].to_numpy())
    scores = model.logits(pixels(table, "image"), table)
    assert auc(lenses, scores) == result["metrics"]["auc"]["value"]
    assert model.checkpoint.model.metadata_width == 5
    assert model.checkpoint.model.dropout == 0.4
    assert model.preprocess.metadata_columns == ("ebv", "nexp_g", "host_mag_z")
