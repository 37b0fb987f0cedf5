"""Training as a Slurm job: submitted once, watched, found again, cancelled when the user says so.

The job runs the same entry point with the same messages as the local trainer.
Its name is made from the key of the training, so a Dagster run that starts after
another was lost finds the job in the queue, whenever the loss happened, and
reads its messages from the first. Folders must be visible to the nodes.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_pipes import PipesParams
from pydantic import Field

from darkhaloscope.errors import EngineError, describe
from darkhaloscope.remote import worker
from darkhaloscope.training.request import TrainRequest
from resources.trainer import OneWriter, training_command

JOB_TAG = "dark_halo_scope/slurm_job"
_KEY_LETTERS = 24
_LOG_LINES = 20


class SlurmTrainer(dg.ConfigurableResource):
    """One batch job per training; a run that starts again re-attaches to it."""

    folder: str = Field(description="Where requests, answers and logs of jobs lie; visible to the nodes.")
    partition: str = Field(default="", description="Partition; the cluster's default if empty.")
    account: str = Field(default="", description="Account; the user's default if empty.")
    gpus: int = Field(default=0, ge=0, description="GPUs, one process each; 0 trains on the CPU.")
    cpus: int = Field(default=2, ge=1, description="CPU cores of each process.")
    memory_gb: int = Field(default=16, ge=1, description="Memory of the job.")
    hours: float = Field(default=24.0, gt=0.0, description="Time limit.")
    options: list[str] = Field(default=[], description="Other options of sbatch, such as --qos=long.")
    setup: list[str] = Field(default=[], description="Shell lines before the training, such as module load.")
    python: str = Field(default=sys.executable, description="Python of the nodes.")
    poll_s: float = Field(default=15.0, gt=0.0, description="Seconds between looks at the queue.")

    def train(self, context: dg.AssetExecutionContext, request: TrainRequest) -> dict[str, Any]:
        """Train in a job; see :class:`resources.trainer.Trainer`."""
        request = replace(request, threads=self.cpus, device="cuda" if self.gpus else "cpu")
        key = request.key(request.content_sha256())[:_KEY_LETTERS]
        home = Path(self.folder, key)
        home.mkdir(parents=True, exist_ok=True)
        answer = home / "answer.json"
        with dg.open_pipes_session(
            context=context.op_execution_context,
            context_injector=dg.PipesFileContextInjector(str(home / "context.json")),
            message_reader=_ReadFromTheFirst(str(home / "messages.jsonl"), cleanup_file=False),
        ) as session:
            job = self._find(key)
            if job:
                context.log.info(f"re-attached to Slurm job {job}")
            elif not answer.is_file():
                (home / "messages.jsonl").write_text("")
                job = self._submit(request, home, key, session.get_bootstrap_env_vars())
                context.log.info(f"submitted Slurm job {job}, log {home / 'log.txt'}")
            context.instance.add_run_tags(context.run.run_id, {JOB_TAG: job or "ended"})
            self._watch(context, job)
        if not answer.is_file():
            raise EngineError(
                describe(
                    "Slurm job ended without an answer",
                    field=f"job {job}",
                    got=_tail(home / "log.txt"),
                    hint=f"sacct -j {job} says why; run again to go on after the last saved step",
                )
            )
        text = answer.read_text()
        answer.unlink()
        (home / "messages.jsonl").unlink(missing_ok=True)
        return worker.read_answer(text)

    def script(self, request: Path, home: Path, key: str, environment: dict[str, str]) -> str:
        """Return the batch script of a training."""
        asked = {
            "job-name": _name(key),
            "output": str(home / "log.txt"),
            "partition": self.partition,
            "account": self.account,
            "gpus": str(self.gpus) if self.gpus else "",
            "ntasks": "1",
            "cpus-per-task": str(self.cpus * max(1, self.gpus)),
            "mem": f"{self.memory_gb}G",
            "time": str(max(1, round(self.hours * 60))),
        }
        options = [f"--{name}={value}" for name, value in asked.items() if value] + self.options
        command = training_command(request, home / "answer.json", max(1, self.gpus), python=self.python)
        return "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {option}" for option in options),
                "set -euo pipefail",
                *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
                *self.setup,
                f"exec {shlex.join(command)}",
                "",
            ]
        )

    def _submit(self, request: TrainRequest, home: Path, key: str, pipes: dict[str, str]) -> str:
        asked = request.write(home / "request.json")
        environment = {
            "PYTHONPATH": worker.worker_environment(os.environ)["PYTHONPATH"],
            "OMP_NUM_THREADS": str(self.cpus),
            **pipes,
        }
        script = home / "job.sh"
        script.write_text(self.script(asked, home, key, environment))
        return _slurm("sbatch", "--parsable", str(script)).split(";")[0]

    def _find(self, key: str) -> str:
        """Return the id of the job of this training that waits or runs, empty if there is none."""
        return _slurm("squeue", "--noheader", f"--name={_name(key)}", "--format=%i").split("\n")[0].strip()

    def _watch(self, context: dg.AssetExecutionContext, job: str) -> None:
        """Wait until the job has left the queue; cancel it if the user cancels the run."""
        last = ""
        try:
            while job and (state := _state(job)):
                if state != last:
                    context.log.info(f"Slurm job {job}: {state}")
                last = state
                _pause(self.poll_s)
        except BaseException:
            run = context.instance.get_run_by_id(context.run.run_id)
            # a Dagster process that is merely stopped leaves the job to the run that comes after it
            if run is not None and run.status is dg.DagsterRunStatus.CANCELING:
                _slurm("scancel", job)
                while _state(job):
                    _pause(min(1.0, self.poll_s))
            raise


class _ReadFromTheFirst(OneWriter, dg.PipesFileMessageReader):
    """Messages of a job from its beginning, whichever run submitted it.

    The inherited reader empties the file when it begins.
    """

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[PipesParams]:
        path = Path(self._path)
        earlier = path.read_text() if path.is_file() else ""
        with super().read_messages(handler) as params:
            with path.open("a") as file:
                file.write(earlier)
            yield params


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _name(key: str) -> str:
    return f"dhs-{key}"


def _state(job: str) -> str:
    """Return the state of a job, empty once the queue no longer knows it."""
    done = subprocess.run(
        ["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True, check=False
    )
    if done.returncode and "Invalid job id" not in done.stderr:
        return "UNKNOWN"  # the controller does not answer: the job may well run
    return done.stdout.strip()


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EngineError(
            describe("Slurm is not installed here", got=command[0], hint="run Dagster on a login node")
        ) from error
    if done.returncode:
        raise EngineError(describe(f"{command[0]} failed", got=done.stderr.strip()))
    return done.stdout.strip()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else ["no log"]
    return "\n".join(lines[-_LOG_LINES:])
