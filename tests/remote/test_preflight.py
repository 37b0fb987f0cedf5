"""Everything a worker needs can be imported, or is named."""

import json

import pytest

from darkhaloscope.errors import EngineError
from darkhaloscope.remote.preflight import WORKER_MODULES, check_worker


def test_every_module_of_the_unit_functions_is_there(tmp_path):
    result = check_worker({"unit_id": "u", "output": str(tmp_path / "u.json")})
    assert list(result["versions"]) == list(WORKER_MODULES)
    assert json.loads((tmp_path / "u.json").read_text())["versions"] == result["versions"]


def test_a_missing_module_is_named(tmp_path):
    with pytest.raises(EngineError, match=r"no_such_module.*same environment"):
        check_worker({"output": str(tmp_path / "u.json"), "modules": ["json", "no_such_module"]})
    assert not list(tmp_path.iterdir())
