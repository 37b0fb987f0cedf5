"""Worker processes of the local engine: started, fed, kept for a while, let go.

Starting a worker costs seconds of imports, so a worker that has nothing to do
waits a little for the next map of the same process. What a unit is and what its
answer means is not known here.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator

from darkhaloscope.errors import EngineError, describe
from darkhaloscope.remote import worker

IDLE_S = 20.0
"""How long a worker without work is kept."""

_Outcome = tuple[int, str] | EngineError


class Worker:
    """One worker process; answers one request at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", worker.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, request: str) -> str:
        """Send a request and return its answer, empty if the process has ended."""
        try:
            if not self._ready:
                if self._process.stdout.readline().strip() != worker.READY:
                    return ""
                self._ready = True
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except BrokenPipeError:
            return ""

    def stop(self, *, kill: bool) -> int:
        """End the process, at once or by closing its input, and return its exit code."""
        if kill:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        code = self._process.wait()
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        """Kill the process; whoever reads its answer gets none."""
        self._process.kill()

    @property
    def fault(self) -> str:
        """What to say of a process that gave no answer."""
        return (
            "A worker process ended before its unit was finished"
            if self._ready
            else "A worker process did not start"
        )


class WorkerPool:
    """The idle workers of this process."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def answers(self, requests: list[str], workers: int) -> Generator[tuple[int, str]]:
        """Yield (index, answer) of every request as it is finished.

        The workers are killed if the generator is closed before its end.

        Parameters
        ----------
        requests : list of str
            One line each.
        workers : int
            Processes that work at the same time.

        Raises
        ------
        EngineError
            If a worker ended before it had answered, with its exit code.
        """
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(requests)):
            todo.put(index)
        done: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        hired = self._hire(min(workers, len(requests)))
        threads = [
            threading.Thread(target=_feed, args=(one, requests, todo, done), daemon=True) for one in hired
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in requests:
                outcome = done.get()
                if isinstance(outcome, EngineError):
                    raise outcome
                yield outcome
        except BaseException:
            for one in hired:
                one.kill()
            for one, thread in zip(hired, threads, strict=True):
                thread.join()
                one.stop(kill=True)
            raise
        for thread in threads:
            thread.join()
        self._keep(hired)

    def close(self) -> None:
        """Let all idle workers go."""
        with self._lock:
            gone, self._idle = self._idle, []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for one in gone:
            one.stop(kill=False)

    def _hire(self, count: int) -> list[Worker]:
        environment = worker.worker_environment(os.environ)
        with self._lock:
            fit = [one for one in self._idle if one.alive and one.environment == environment][:count]
            self._idle = [one for one in self._idle if one not in fit]
        return fit + [Worker(environment) for _ in range(count - len(fit))]

    def _keep(self, workers: list[Worker]) -> None:
        with self._lock:
            self._idle += workers
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(IDLE_S, self.close)
            self._timer.daemon = True
            self._timer.start()


POOL = WorkerPool()
"""The pool of this process; closed when the process ends."""

atexit.register(POOL.close)


def _feed(
    one: Worker,
    requests: list[str],
    todo: "queue.SimpleQueue[int]",
    done: "queue.SimpleQueue[_Outcome]",
) -> None:
    """Give a worker requests until there are none left."""
    while True:
        try:
            index = todo.get_nowait()
        except queue.Empty:
            return
        text = one.ask(requests[index])
        if not text:
            unit = json.loads(requests[index])["unit"].get("unit_id")
            fault = one.fault
            code = one.stop(kill=False)
            done.put(
                EngineError(
                    describe(
                        fault,
                        row=unit,
                        got=f"exit code {code}",
                        hint="-9 usually means out of memory: use fewer workers; "
                        "run again, finished parts are kept",
                    )
                )
            )
            return
        done.put((index, text))
