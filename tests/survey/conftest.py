"""A small tree of two overlapping bricks, written once and copied by tests that damage it."""

import shutil
from pathlib import Path

import pytest
import sky_tree


@pytest.fixture(scope="session")
def pristine_tree(tmp_path_factory) -> Path:
    return sky_tree.write_tree(tmp_path_factory.mktemp("survey"), sky_tree.pair())


@pytest.fixture
def tree(pristine_tree: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(pristine_tree, tmp_path / "root"))
