"""Worker processes are kept between maps, for a while, and never across environments."""

import os
import time
from pathlib import Path

import pytest

from darkhaloscope.errors import EngineError
from darkhaloscope.remote.worker import make_request, read_answer
from resources import workers

CHECK = "darkhaloscope.remote.preflight:check_worker"
PID = "import os, pathlib\npathlib.Path({path!r}).write_text(str(os.getpid()))\n"


@pytest.fixture
def pool():
    made = workers.WorkerPool()
    yield made
    made.close()


@pytest.fixture
def pid_of(tmp_path, monkeypatch):
    """Runs one unit that tells the process it ran in; every call imports another module."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(pool, name):
        path = tmp_path / f"{name}.pid"
        (tmp_path / f"{name}.py").write_text(PID.format(path=str(path)))
        unit = {"unit_id": name, "output": str(tmp_path / f"{name}.json"), "modules": [name]}
        [(_, text)] = pool.answers([make_request(CHECK, unit)], 1)
        read_answer(text)
        return int(path.read_text())

    return run


def test_a_worker_serves_the_next_map_too(pool, pid_of):
    assert pid_of(pool, "first") == pid_of(pool, "second") != os.getpid()


def test_a_worker_of_another_environment_is_not_used(pool, pid_of, monkeypatch):
    before = pid_of(pool, "first")
    monkeypatch.setenv("DHS_ANYTHING", "changed")
    assert pid_of(pool, "second") != before


def test_an_idle_worker_goes_after_a_while(pool, pid_of, monkeypatch):
    monkeypatch.setattr(workers, "IDLE_S", 0.1)
    pid = pid_of(pool, "first")
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert pid_of(pool, "second") != pid


def test_a_worker_that_died_idle_is_replaced(pool, pid_of):
    pid = pid_of(pool, "first")
    os.kill(pid, 9)
    while pool._idle[0].alive:
        time.sleep(0.01)
    assert pid_of(pool, "second") != pid


def test_workers_of_an_abandoned_map_are_killed(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "pid"
    (tmp_path / "sleeps.py").write_text(PID.format(path=str(path)) + "import time; time.sleep(60)")
    units = [
        {"unit_id": str(i), "output": str(tmp_path / f"{i}.json"), "modules": [name]}
        for i, name in enumerate(["sleeps", "json"])
    ]
    answers = pool.answers([make_request(CHECK, unit) for unit in units], 2)
    assert next(answers)[0] == 1
    while not (path.exists() and path.read_text()):
        time.sleep(0.01)
    started = time.monotonic()
    answers.close()
    assert time.monotonic() - started < 30.0
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)
    assert not pool._idle


def test_closing_twice_is_harmless(pool, pid_of):
    pid_of(pool, "first")
    pool.close()
    pool.close()
    assert not pool._idle


def test_a_lost_worker_does_not_return_to_the_pool(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "dies.py").write_text("import os; os._exit(3)")
    unit = {"unit_id": "u", "output": str(tmp_path / "u.json"), "modules": ["dies"]}
    with pytest.raises(EngineError, match="exit code 3"):
        list(pool.answers([make_request(CHECK, unit)], 1))
    assert not pool._idle
