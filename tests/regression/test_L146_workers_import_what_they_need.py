"""L146: an optional import failed silently on the executors and was None for hours."""

import pytest

from darkhaloscope.errors import EngineError
from darkhaloscope.remote.preflight import WORKER_MODULES
from resources.compute import LocalCompute

CHECK = "darkhaloscope.remote.preflight:check_worker"


def test_a_worker_process_can_import_every_module_of_the_unit_functions(tmp_path):
    unit = {"unit_id": "preflight", "output": str(tmp_path / "preflight.json")}
    [result] = LocalCompute(workers=1).map(CHECK, [unit], label="preflight [workers]")
    assert set(result["versions"]) == set(WORKER_MODULES)


def test_a_module_that_a_worker_lacks_stops_the_run_at_the_start(tmp_path):
    unit = {"unit_id": "preflight", "output": str(tmp_path / "p.json"), "modules": ["no_such_module"]}
    with pytest.raises(EngineError, match=r"unit preflight: .*no_such_module"):
        LocalCompute(workers=1).map(CHECK, [unit], label="preflight [workers]")
