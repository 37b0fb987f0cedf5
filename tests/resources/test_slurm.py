"""Training on a real Slurm cluster: submitted, found again, cancelled, and lost with the reason."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import slurm_cluster
import synthetic_stamps as synthetic

from darkhaloscope.errors import ConfigError, EngineError
from darkhaloscope.training.loop import train
from resources import slurm
from resources.slurm import JOB_TAG, SlurmTrainer

PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_S = 180.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(slurm_cluster.why_not()) and not os.environ.get("CI"), reason=slurm_cluster.why_not()
    ),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as environment:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield
        patch.undo()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return synthetic.write_shards(tmp_path_factory.mktemp("shards"), train=32, val=16)


def trainer(folder, **changes) -> SlurmTrainer:
    return SlurmTrainer(folder=str(folder), cpus=1, memory_gb=1, poll_s=0.3, **changes)


def materialise(chosen: SlurmTrainer, request, instance):
    results = []

    @dg.asset
    def weights(context: dg.AssetExecutionContext, trainer: SlurmTrainer) -> dg.MaterializeResult:
        results.append(trainer.train(context, request))
        return dg.MaterializeResult()

    run = dg.materialize([weights], resources={"trainer": chosen}, instance=instance)
    return results[0], run


def queue() -> list[str]:
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%i %T"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\n")[:-1]


def wait_for(what, told: str):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := what()):
        assert time.monotonic() < deadline, told
        time.sleep(0.2)
    return found


def test_a_job_trains_like_this_process_and_reports_every_epoch(cluster, shards, tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        request = synthetic.request(shards, tmp_path / "job")
        result, run = materialise(trainer(tmp_path / "jobs"), request, instance)
        lines = [entry.user_message for entry in instance.all_logs(run.run_id)]
        assert instance.get_run_by_id(run.run_id).tags[JOB_TAG].isdigit()
    assert sum(line.startswith(("epoch 1 of 2: ", "epoch 2 of 2: ")) for line in lines) == 2
    here = train(synthetic.request(shards, tmp_path / "here"))
    assert result["checkpoint_sha256"] == here["checkpoint_sha256"]
    assert queue() == []


def test_the_typed_error_of_the_training_comes_back_and_does_not_stay(cluster, shards, tmp_path):
    request = synthetic.request(shards, tmp_path / "out", model={"encoder": "no_such_network"})
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            with pytest.raises(ConfigError, match="no_such_network"):
                materialise(trainer(tmp_path / "jobs"), request, instance)


def test_a_job_that_dies_is_an_engine_error_with_its_log(cluster, shards, tmp_path):
    chosen = trainer(tmp_path / "jobs", setup=["echo no such module >&2", "exit 3"])
    request = synthetic.request(shards, tmp_path / "out")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(EngineError, match=r"(?s)without an answer.*no such module.*sacct"),
    ):
        materialise(chosen, request, instance)


DRIVER = """
import json, sys
import dagster as dg
from darkhaloscope.training.request import TrainRequest
from resources.slurm import SlurmTrainer

asked = json.loads(open(sys.argv[1]).read())
request = TrainRequest.read(asked["request"])

@dg.asset
def weights(context: dg.AssetExecutionContext, trainer: SlurmTrainer) -> dg.MaterializeResult:
    trainer.train(context, request)
    return dg.MaterializeResult()

if __name__ == "__main__":
    with dg.DagsterInstance.local_temp(asked["instance"]) as instance:
        dg.materialize([weights], resources={"trainer": SlurmTrainer(**asked["trainer"])}, instance=instance)
"""


def test_the_run_after_a_lost_one_finds_its_job(cluster, shards, tmp_path):
    """SIGKILL of the Dagster process in mid-job: the job lives, and the next run takes it over."""
    request = synthetic.request(shards, tmp_path / "out", epochs=3)
    chosen = trainer(tmp_path / "jobs", setup=["sleep 6"])
    asked = {
        "request": str(request.write(tmp_path / "request.json")),
        "instance": str(tmp_path),
        "trainer": {"folder": chosen.folder, "cpus": 1, "memory_gb": 1, "poll_s": 0.3, "setup": chosen.setup},
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    first = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path / "asked.json")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    job = wait_for(queue, "the job was never submitted")[0].split()[0]
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    with dg.DagsterInstance.ephemeral() as instance:
        result, run = materialise(chosen, request, instance)
        lines = [entry.user_message for entry in instance.all_logs(run.run_id)]
        assert instance.get_run_by_id(run.run_id).tags[JOB_TAG] == job
    assert f"re-attached to Slurm job {job}" in lines
    assert sum(line.startswith("epoch ") for line in lines) == 3, "messages are read from the first"
    assert len(result["history"]) == 3


def interrupted(chosen, request, monkeypatch, *, cancelling: bool) -> None:
    """Interrupt a run while its job runs; before that, mark it as the user's button does, or not."""
    pause = slurm._pause
    with dg.DagsterInstance.ephemeral() as instance:

        def pause_or_interrupt(seconds):
            if any("RUNNING" in line for line in queue()):
                monkeypatch.setattr(slurm, "_pause", pause)
                if cancelling:
                    instance.report_run_canceling(instance.get_runs()[0])
                raise KeyboardInterrupt
            pause(seconds)

        monkeypatch.setattr(slurm, "_pause", pause_or_interrupt)
        with pytest.raises((KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
            materialise(chosen, request, instance)


def test_a_cancelled_run_takes_its_job_with_it(cluster, shards, tmp_path, monkeypatch):
    request = synthetic.request(shards, tmp_path / "out")
    chosen = trainer(tmp_path / "jobs", setup=["sleep 600"])
    interrupted(chosen, request, monkeypatch, cancelling=True)
    assert queue() == []


def test_a_stopped_run_leaves_its_job(cluster, shards, tmp_path, monkeypatch):
    request = synthetic.request(shards, tmp_path / "out")
    chosen = trainer(tmp_path / "jobs", setup=["sleep 600"])
    interrupted(chosen, request, monkeypatch, cancelling=False)
    left = queue()
    assert len(left) == 1
    subprocess.run(["scancel", left[0].split()[0]], check=True)
