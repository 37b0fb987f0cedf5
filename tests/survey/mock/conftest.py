"""A tiny mock sky, written once and read by the tests of this folder."""

from pathlib import Path

import pytest

from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky


@pytest.fixture(scope="session")
def config() -> MockSkyConfig:
    return MockSkyConfig.tiny()


@pytest.fixture(scope="session")
def sky(config, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("mock") / "sky"
    write_mock_sky(root, config, workers=1)
    return root
