import gate_world
import pytest


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    return gate_world.build(tmp_path_factory.mktemp("gate-world"))
