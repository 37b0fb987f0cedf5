"""Engines: results in order, typed errors, nothing lost, the same bytes from all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import stamp_world

from darkhaloscope.errors import EngineError, MissingDataError
from darkhaloscope.stamps.inject import plan_injection
from resources.compute import LocalCompute, SparkCompute, check_spark

CHECK = "darkhaloscope.remote.preflight:check_worker"
INJECT = "darkhaloscope.stamps.inject:inject_unit"


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes a module that workers can import."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def write(name, text):
        (folder / f"{name}.py").write_text(text)
        return name

    return write


def checks(folder: Path, modules_of_unit):
    return [
        {"unit_id": f"unit-{i}", "output": str(folder / f"{i}.json"), "modules": list(names)}
        for i, names in enumerate(modules_of_unit)
    ]


def injection(world, staging):
    return plan_injection(
        world.experiment,
        stamp_world.PROFILE,
        manifest_paths=world.paths("manifest"),
        host_paths=world.paths("hosts"),
        bank_path=world.bank_path,
        staging=staging,
    )


def stored(world):
    return {part.path: part.sha256 for part in world.stamps.parts}


@pytest.fixture
def java():
    try:
        check_spark()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_in_the_order_of_the_units(tmp_path, modules, workers):
    slow = modules("slow", "import time; time.sleep(0.5)")
    units = checks(tmp_path, [[slow], ["json"], ["csv"], ["math"], ["string"]])
    results = LocalCompute(workers=workers).map(CHECK, units, label="check [units]")
    assert [result["unit_id"] for result in results] == [f"unit-{i}" for i in range(5)]
    assert [list(result["versions"]) for result in results] == [unit["modules"] for unit in units]


def test_workers_have_one_thread_whatever_this_process_has(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    [result] = LocalCompute(workers=2).map(CHECK, checks(tmp_path, [["json"]]), label="check [units]")
    assert set(result["threads"].values()) == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_no_units_are_no_work():
    assert LocalCompute().map(CHECK, [], label="nothing") == []
    assert SparkCompute().map(CHECK, [], label="nothing") == []


def test_what_a_unit_prints_does_not_disturb(tmp_path, modules, capfd):
    loud = modules("loud", "import os\nprint('hello from a unit')\nos.write(1, b'and from a C library')")
    [result] = LocalCompute(workers=1).map(CHECK, checks(tmp_path, [[loud]]), label="check [units]")
    assert result["rows"] == 0
    told = capfd.readouterr().err
    assert "hello from a unit" in told
    assert "and from a C library" in told


def test_local_parts_are_the_same_bytes_for_any_number_of_workers_and_finished_ones_stay(world, tmp_path):
    units = injection(world, tmp_path)
    results = LocalCompute(workers=1).map(INJECT, units, label="inject [units]")
    assert {result["part"]: result["sha256"] for result in results} == stored(world)
    for unit in units[2:]:
        Path(unit["output"]).unlink()
    Path(units[1]["output"]).write_bytes(b"damaged")
    results = LocalCompute(workers=2).map(INJECT, units, label="inject [units]")
    assert [result["resumed"] for result in results] == [True] + [False] * (len(units) - 1)
    assert {result["part"]: result["sha256"] for result in results} == stored(world)


def test_a_users_error_arrives_as_its_own_type_with_the_unit(world, tmp_path):
    units = injection(world, tmp_path)
    units[2]["bank"] = str(tmp_path / "no-bank.h5")
    with pytest.raises(MissingDataError, match=r"unit part-00002: .*no-bank\.h5"):
        LocalCompute(workers=2).map(INJECT, units, label="inject [units]")


def test_any_other_error_arrives_with_its_traceback(tmp_path, modules):
    broken = modules("broken", "def f():\n    return {}['key']\nf()")
    with pytest.raises(EngineError, match=r"unit-0.*KeyError: 'key'(.|\n)*broken\.py"):
        LocalCompute(workers=1).map(CHECK, checks(tmp_path, [[broken]]), label="check [units]")


def test_a_killed_worker_is_named_and_the_others_are_stopped(tmp_path, modules):
    pid = tmp_path / "pid"
    wait = modules(
        "wait",
        f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)",
    )
    kill = modules(
        "kill",
        f"import os, time\nwhile not os.path.getsize({str(pid)!r}):\n    time.sleep(0.01)\n"
        "os.kill(os.getpid(), 9)",
    )
    pid.touch()
    units = checks(tmp_path, [[wait], ["json"], ["json"], [kill], ["json"]])
    with pytest.raises(EngineError, match=r"unit-3.*exit code -9"):
        LocalCompute(workers=2).map(CHECK, units, label="check [units]")
    assert (tmp_path / "1.json").is_file()
    assert not (tmp_path / "4.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_worker_that_cannot_start_is_an_error(tmp_path, modules):
    modules("json", "raise ImportError('planted')")
    with pytest.raises(EngineError, match="did not start"):
        LocalCompute(workers=2).map(CHECK, checks(tmp_path, [["csv"]]), label="check [units]")


@pytest.mark.spark
@pytest.mark.usefixtures("java")
def test_spark_parts_are_the_same_bytes(world, tmp_path):
    units = injection(world, tmp_path)
    results = SparkCompute(master="local[2]").map(INJECT, units, label="inject [units]")
    assert [result["unit_id"] for result in results] == [unit["unit_id"] for unit in units]
    assert {result["part"]: result["sha256"] for result in results} == stored(world)
    resumed = LocalCompute(workers=1).map(INJECT, units, label="inject [units]")
    assert all(result["resumed"] for result in resumed)


@pytest.mark.spark
@pytest.mark.usefixtures("java")
def test_spark_errors_arrive_as_their_own_type_and_threads_are_one(world, tmp_path):
    units = injection(world, tmp_path)[:2]
    units[1]["bank"] = str(tmp_path / "no-bank.h5")
    with pytest.raises(MissingDataError, match="unit part-00001"):
        SparkCompute(master="local[1]").map(INJECT, units, label="inject [units]")
    # Units are independent: the good one was finished and stays.
    [result] = LocalCompute(workers=1).map(INJECT, units[:1], label="inject [units]")
    assert result["resumed"]


@pytest.mark.spark
@pytest.mark.usefixtures("java")
def test_a_driver_that_fails_shows_the_end_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match=r"driver failed(.|\n)*nowhere"):
        SparkCompute().map(CHECK, checks(tmp_path, [["json"]]), label="check [units]")


def test_spark_without_java_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match=r"a java command.*local engine"):
        SparkCompute().map(CHECK, checks(tmp_path, [["json"]]), label="check [units]")


def test_old_java_is_refused(tmp_path, monkeypatch):
    command = tmp_path / "bin" / "java"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    command.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EngineError, match=r"version 17 or newer.*11\.0\.2"):
        check_spark()


def test_no_java_virtual_machine_enters_this_process():
    script = "import resources.compute, sys; print('pyspark' in sys.modules, 'py4j' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stdout.split() == ["False", "False"]
