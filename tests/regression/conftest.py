import gate_world
import pytest


@pytest.fixture(scope="session")
def gate_set(tmp_path_factory):
    """A sound data set for the lessons that gates guard."""
    return gate_world.build(tmp_path_factory.mktemp("gate-world"))
