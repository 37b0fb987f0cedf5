"""Compute engines: they map a unit function over work units and know nothing else.

``LocalCompute`` runs worker processes on this machine, ``SparkCompute`` a Spark
driver in a process of its own. Both send JSON text and run
``darkhaloscope.units.run_unit`` on the far side, so parts are the same bytes
and finished parts are not made again. What a unit does is not decided here.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import dagster as dg
from pydantic import Field

from darkhaloscope.errors import EngineError, describe
from darkhaloscope.progress import track
from darkhaloscope.remote import spark_map, worker
from darkhaloscope.units import Unit, UnitResult
from resources.workers import POOL

_TAIL_LINES = 30
_JAVA_MINIMUM = 17


class Compute(Protocol):
    """What an asset may ask of an engine."""

    def map(self, function: str, units: list[Unit], *, label: str) -> list[UnitResult]:
        """Run ``function`` on every unit.

        Parameters
        ----------
        function : str
            ``"darkhaloscope.<module>:<function>"``.
        units : list of dict
            JSON-serialisable units with ``unit_id`` and ``output``.
        label : str
            Shown with the progress.

        Returns
        -------
        list of dict
            Results in the order of the units.

        Raises
        ------
        DarkHaloScopeError
            The typed error of a unit that failed; the others are stopped, finished
            parts stay.
        EngineError
            If the engine could not start or lost a worker.
        """
        ...


class LocalCompute(dg.ConfigurableResource):
    """Worker processes on this machine, one unit at a time each."""

    workers: int = Field(default=2, ge=1, description="Worker processes.")

    def map(self, function: str, units: list[Unit], *, label: str) -> list[UnitResult]:
        """Run ``function`` on every unit; see :class:`Compute`."""
        requests = [worker.make_request(function, unit) for unit in units]
        answers = POOL.answers(requests, self.workers)
        results: dict[int, UnitResult] = {}
        try:
            for index, text in track(answers, total=len(units), label=label):
                results[index] = worker.read_answer(text)
        finally:
            answers.close()
        return [results[index] for index in range(len(units))]


class SparkCompute(dg.ConfigurableResource):
    """A Spark driver in its own process; no JVM enters this one."""

    master: str = Field(
        default="local[2]", description="Spark master; empty leaves it to the driver's environment."
    )
    conf: dict[str, str] = Field(default={}, description="Further Spark configuration.")

    def map(self, function: str, units: list[Unit], *, label: str) -> list[UnitResult]:
        """Run ``function`` on every unit; see :class:`Compute`."""
        if not units:
            return []
        check_spark()
        with tempfile.TemporaryDirectory(prefix="dhs-spark-") as folder:
            answers, request = Path(folder, "answers.jsonl"), Path(folder, "request.json")
            request.write_text(
                json.dumps(
                    {
                        "requests": [worker.make_request(function, unit) for unit in units],
                        "answers": str(answers),
                        "master": self.master,
                        "conf": self.conf,
                    }
                )
            )
            progress = _drive_spark(request, local=self.master.startswith("local"), units=len(units))
            for _ in track(progress, total=len(units), label=label):
                pass
            lines = answers.read_text().splitlines()
        if len(lines) != len(units):
            raise EngineError(
                describe("The Spark driver lost units", expected=f"{len(units)} answers", got=len(lines))
            )
        return [worker.read_answer(line) for line in lines]


def check_spark() -> None:
    """Refuse to go on without pyspark and Java.

    Raises
    ------
    EngineError
        Saying what is missing and how to get it.
    """
    hint = "install darkhaloscope[spark] and Java 17 or newer, or use the local engine"
    if importlib.util.find_spec("pyspark") is None:
        raise EngineError(describe("Spark engine", expected="pyspark installed", got="none", hint=hint))
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if java is None:
        raise EngineError(describe("Spark engine", expected="a java command", got="none", hint=hint))
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', text)
    if found is None or int(found[1]) < _JAVA_MINIMUM:
        raise EngineError(
            describe(
                "Java", file=java, expected=f"version {_JAVA_MINIMUM} or newer", got=text.strip(), hint=hint
            )
        )


def _drive_spark(request: Path, *, local: bool, units: int) -> Generator[int]:
    """Run the Spark driver; yield once per finished unit.

    Raises
    ------
    EngineError
        With the end of the driver's log if it failed.
    """
    environment = worker.worker_environment(os.environ)
    environment.setdefault("PYSPARK_PYTHON", sys.executable)
    environment.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    if local:
        environment.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", spark_map.__name__, str(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    log = threading.Thread(target=tail.extend, args=(process.stderr,), daemon=True)
    log.start()
    try:
        told = 0
        for line in process.stdout:
            if line.strip().isdigit():
                yield from range(told, min(int(line), units))
                told = min(int(line), units)
        yield from range(told, units)
        code = process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        process.wait()
        log.join()
        process.stdout.close()
        process.stderr.close()
    if code:
        raise EngineError(
            describe("The Spark driver failed", got=f"exit code {code}; end of its log:\n{''.join(tail)}")
        )
