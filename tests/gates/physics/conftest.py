import pytest
from gates.physics.arc_world import arcs_of


@pytest.fixture(scope="session")
def arcs(good):
    return arcs_of(good)
