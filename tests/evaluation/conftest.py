import pytest
import sky_tree
import tiny_model

from darkhaloscope.training.predict import load_model


@pytest.fixture(scope="session")
def survey_tree(tmp_path_factory):
    return sky_tree.write_tree(tmp_path_factory.mktemp("anchor-survey"), sky_tree.pair())


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory):
    return tiny_model.write_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint.pt")


@pytest.fixture(scope="session")
def model(checkpoint_path):
    return load_model(checkpoint_path)
