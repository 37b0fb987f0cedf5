"""The far side of every engine: one line in, one line out."""

import io
import json
import os
from pathlib import Path

import pytest

from darkhaloscope.errors import ContractError, DataError, EngineError
from darkhaloscope.remote import worker

CHECK = "darkhaloscope.remote.preflight:check_worker"


def unit(folder, **values):
    return {"unit_id": "u", "output": str(folder / "u.json"), "modules": ["json"], **values}


def test_a_result_comes_back_as_it_was(tmp_path):
    request = worker.make_request(CHECK, unit(tmp_path))
    assert "\n" not in request
    result = worker.read_answer(worker.answer(request))
    assert (result["unit_id"], result["rows"], result["part"]) == ("u", 0, "u.json")


def test_an_error_comes_back_as_its_type(tmp_path):
    request = worker.make_request(CHECK, unit(tmp_path, modules=["no_such_module"]))
    with pytest.raises(EngineError, match=r"unit u: .*no_such_module"):
        worker.read_answer(worker.answer(request))
    with pytest.raises(ContractError, match="Unit function"):
        worker.read_answer(worker.answer(worker.make_request("os:system", unit(tmp_path))))


def test_an_unknown_error_keeps_its_traceback():
    text = worker.answer(worker.make_request(CHECK, {"unit_id": "u"}))
    with pytest.raises(EngineError, match=r"KeyError: 'output'(.|\n)*Traceback"):
        worker.read_answer(text)


def test_only_the_error_tree_is_raised_by_name():
    text = json.dumps(
        {"error": {"type": "Path", "message": "m", "unit_id": "u", "traceback": ""}}
    )  # a name that the errors module imports but does not define
    with pytest.raises(EngineError, match="Path: m"):
        worker.read_answer(text)
    known = json.dumps({"error": {"type": "DataError", "message": "m", "unit_id": "u", "traceback": ""}})
    with pytest.raises(DataError, match="unit u: m"):
        worker.read_answer(known)


def test_a_stream_of_requests_is_answered_line_by_line(tmp_path):
    requests = [worker.make_request(CHECK, unit(tmp_path, unit_id=str(i))) for i in range(3)]
    answers = io.StringIO()
    worker.serve(io.StringIO("".join(r + "\n" for r in requests)), answers)
    lines = answers.getvalue().splitlines()
    assert lines[0] == worker.READY
    assert [worker.read_answer(line)["unit_id"] for line in lines[1:]] == ["0", "1", "2"]


def test_the_environment_is_single_threaded_and_finds_the_library():
    before = dict(os.environ)
    base = {"PYTHONPATH": "/somewhere", "OMP_NUM_THREADS": "8", "HOME": "/h"}
    found = worker.worker_environment(base)
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == found["NUMBA_NUM_THREADS"] == "1"
    root, rest = found["PYTHONPATH"].split(os.pathsep)
    assert (Path(root) / "darkhaloscope" / "remote").is_dir()
    assert (rest, found["HOME"]) == ("/somewhere", "/h")
    assert base["OMP_NUM_THREADS"] == "8"
    assert dict(os.environ) == before
    assert worker.worker_environment(found) == found
