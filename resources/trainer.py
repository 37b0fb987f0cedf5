"""Trainers: they run one training request somewhere and know nothing of its content.

``LocalTrainer`` uses a process of its own on this machine, so neither torch's
memory nor its thread settings stay behind in Dagster's process. Epochs are
reported through Dagster Pipes while it runs.
"""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import dagster as dg
from pydantic import Field

from darkhaloscope.errors import EngineError, describe
from darkhaloscope.remote import worker
from darkhaloscope.training.request import TrainRequest

_STOP_TIMEOUT_S = 20.0


class Trainer(Protocol):
    """What an asset may ask of a trainer."""

    def train(self, context: dg.AssetExecutionContext, request: TrainRequest) -> dict[str, Any]:
        """Train and return the record, with seconds, of ``darkhaloscope.training.loop.train``.

        Parameters
        ----------
        context : AssetExecutionContext
            Of the asset that waits; it receives the live metrics.
        request : TrainRequest
            What to train; threads and device are the trainer's to choose.

        Raises
        ------
        DarkHaloScopeError
            The typed error of the training.
        EngineError
            If the trainer could not start or was lost.
        """
        ...


def training_command(request: Path, answer: Path, processes: int, *, python: str) -> list[str]:
    """Return the command of a training: one process, or as many as torchrun starts."""
    entry = ["-m", "darkhaloscope.remote.train", str(request), str(answer)]
    if processes == 1:
        return [python, *entry]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [python, *torchrun, *entry]


class LocalTrainer(dg.ConfigurableResource):
    """Subprocesses on this machine; a killed run goes on after its last saved step."""

    threads: int = Field(
        default=2, ge=1, description="CPU threads of a process; the weights depend on their number."
    )
    device: str = Field(default="auto", description="auto (a GPU if there is one), cpu or cuda.")
    processes: int = Field(default=1, ge=1, description="Processes that torchrun starts, one per GPU.")

    def train(self, context: dg.AssetExecutionContext, request: TrainRequest) -> dict[str, Any]:
        """Train in a subprocess; see :class:`Trainer`."""
        request = replace(request, threads=self.threads, device=self.device)
        count = str(self.threads)
        environment = worker.worker_environment(os.environ) | {
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
        }
        with tempfile.TemporaryDirectory(prefix="dhs-train-") as folder:
            asked = request.write(Path(folder, "request.json"))
            answer = Path(folder, "answer.json")
            command = training_command(asked, answer, self.processes, python=sys.executable)
            status = _run_with_pipes(context, command, environment)
            if answer.is_file():
                return worker.read_answer(answer.read_text())
        raise EngineError(
            describe(
                "Training process was lost",
                expected="an answer",
                got=f"exit status {status}",
                hint="see its output above; run again to go on after its last saved step",
            )
        )


class OneWriter:
    """A reader of the messages of one process, which is all a training has.

    The inherited property says the same, with a warning that several writers
    are a preview.
    """

    @property
    def expected_writer_count(self) -> int:
        """Return the number of processes that write."""
        return 1


class _OneWriterReader(OneWriter, dg.PipesTempFileMessageReader):
    pass


def _run_with_pipes(context: dg.AssetExecutionContext, command: list[str], env: dict[str, str]) -> int:
    """Run a process inside a Pipes session and return its exit status; no process outlives the call."""
    with dg.open_pipes_session(
        # the asset context answers some of what Pipes asks with a deprecation warning
        context=context.op_execution_context,
        context_injector=dg.PipesTempFileContextInjector(),
        message_reader=_OneWriterReader(),
    ) as session:
        process = subprocess.Popen(command, env={**env, **session.get_bootstrap_env_vars()})
        try:
            return process.wait()
        finally:
            # reached with a running process when the run is cancelled
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(timeout=_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
