"""One small dataset and one trained checkpoint for all tests of the room."""

from pathlib import Path

import pytest
import synthetic_stamps as synthetic

from darkhaloscope.training.loop import train
from darkhaloscope.training.predict import LoadedModel, load_model


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> list[Path]:
    return synthetic.write_shards(tmp_path_factory.mktemp("shards"), train=192, val=64)


@pytest.fixture(scope="session")
def trained(shards, tmp_path_factory) -> tuple[Path, dict]:
    """Output directory and result of a run of three epochs."""
    output = tmp_path_factory.mktemp("trained")
    return output, train(synthetic.request(shards, output, epochs=3, training={"learning_rate": 3e-3}))


@pytest.fixture
def model(trained) -> LoadedModel:
    return load_model(trained[0] / "checkpoint.pt")
