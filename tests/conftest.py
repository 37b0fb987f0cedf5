"""What every test may use: the real data folder and a store in a temporary directory."""

import os
from pathlib import Path

import pytest

from darkhaloscope.artifacts import ArtifactStore

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of small real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("DHS_REALDATA", PROJECT.parent / "shared" / "realdata"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set DHS_REALDATA")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")
