import numpy as np
import pytest
import stamp_world

from darkhaloscope import tabular


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.fixture(scope="session")
def rows(world):
    return world.table("manifest")


@pytest.fixture(scope="session")
def quiet():
    """The default experiment without photon noise: differences are the light itself."""
    return stamp_world.experiment(noise={"arc_shot_noise": False})


@pytest.fixture(scope="session")
def stamps(world, rows, quiet):
    return stamp_world.stamps_of(world, rows, chosen=quiet)


@pytest.fixture(scope="session")
def added(stamps):
    """Light by task id: stamp minus the paired control of the same host."""
    images = tabular.pixels(stamps, "image").astype(np.float64)
    bare = {
        host: image
        for host, kind, image in zip(
            stamps["host_id"].to_pylist(), stamps["control_kind"].to_pylist(), images, strict=True
        )
        if kind == "paired"
    }
    return {
        task: image - bare[host]
        for task, host, image in zip(
            stamps["task_id"].to_pylist(), stamps["host_id"].to_pylist(), images, strict=True
        )
        if host in bare
    }
