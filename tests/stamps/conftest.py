import pytest
import stamp_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)
