"""Spark driver that maps work units: ``python -m darkhaloscope.remote.spark_map request.json``.

The request is a JSON file {``requests``: list of one-line texts, ``answers``:
path, ``master``: Spark master or empty for the submitter's, ``conf``: dict}.
Executors call the same function as a local worker, so parts are the same bytes.
Progress goes to standard output as one count of finished units per line.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from darkhaloscope.artifacts import atomic_path
from darkhaloscope.remote.worker import SINGLE_THREAD, answer

_POLL_S = 0.5
_GROUP = "units"


def run(request_path: str | Path) -> None:
    """Map the units of a request and write one answer per line, in the order of the units.

    Parameters
    ----------
    request_path : path
        The request.
    """
    request: dict[str, Any] = json.loads(Path(request_path).read_text())
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("darkhaloscope").config("spark.ui.enabled", "false")
    if request["master"]:
        builder = builder.master(request["master"])
    for key, value in {
        **{f"spark.executorEnv.{name}": value for name, value in SINGLE_THREAD.items()},
        **request["conf"],
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    try:
        context = session.sparkContext
        context.setLogLevel("WARN")
        context.setJobGroup(_GROUP, "work units")
        finished = threading.Event()
        watcher = threading.Thread(target=_report, args=(context, finished), daemon=True)
        watcher.start()
        texts = request["requests"]
        answers = context.parallelize(texts, len(texts)).map(answer).collect()
        finished.set()
        watcher.join()
    finally:
        session.stop()
    with atomic_path(request["answers"]) as temporary:
        temporary.write_text("".join(line + "\n" for line in answers))


def _report(context: Any, finished: threading.Event) -> None:
    """Print the number of finished tasks whenever it has grown."""
    tracker, told = context.statusTracker(), 0
    while not finished.wait(_POLL_S):
        done = 0
        for job in tracker.getJobIdsForGroup(_GROUP):
            info = tracker.getJobInfo(job)
            stages = [] if info is None else [tracker.getStageInfo(stage) for stage in info.stageIds]
            done += sum(stage.numCompletedTasks for stage in stages if stage is not None)
        if done > told:
            told = done
            sys.stdout.write(f"{done}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    run(sys.argv[1])
