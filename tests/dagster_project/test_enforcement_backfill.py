"""L190: a shut gate holds in a backfill that the daemon runs, where a blocking check does not."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from enforcement_world import WritingTrainer, make_report, place_bank, place_report, place_shards

from assets.partitions import experiments
from assets.standing import STANDING_CHECK
from dagster_project.definitions import build_defs
from dagster_project.runner import open_instance
from darkhaloscope.gates.result import GateStatus
from jobs.campaign import STANDING_JOB
from resources.campaign import Campaign

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CHECKPOINT = dg.AssetKey("checkpoint")
OPEN, SHUT = "gen6", "gen5-cosmos"

DONE = ("COMPLETED", "FAIL", "CANCEL")

LOCATION = """
from dagster_project.definitions import build_defs
from enforcement_world import WritingTrainer
from resources.campaign import Campaign

defs = build_defs(
    resource_overrides={{"campaign": Campaign(root={root!r}), "trainer": WritingTrainer(log={log!r})}}
)
"""

LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@pytest.fixture
def campaign(tmp_path):
    """Two experiments with the same shards; the gate of one is shut."""
    campaign = Campaign(root=str(tmp_path / "run"))
    place_bank(campaign)
    for name, status in ((OPEN, GateStatus.PASS), (SHUT, GateStatus.FAIL)):
        place_shards(campaign, name)
        place_report(campaign, make_report(campaign, status, experiment=name))
    return campaign


@contextmanager
def daemon(environment, location):
    """Run the real daemon in a process group of its own."""
    with (location.parent / "daemon.log").open("w") as log:
        process = subprocess.Popen(
            [str(BIN / "dagster-daemon"), "run", "-f", str(location)],
            env=environment,
            cwd=location.parent,
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_backfill_of_the_daemon_makes_the_open_partition_and_not_the_shut_one(campaign, tmp_path):
    log, location, home = tmp_path / "reached.txt", tmp_path / "location.py", tmp_path / "dagster"
    location.write_text(LOCATION.format(root=campaign.root, log=str(log)))
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "tests")]),
    }
    with open_instance(home) as instance:
        params = {
            "assetSelection": [{"path": CHECKPOINT.path}],
            "partitionNames": [SHUT, OPEN],
            "title": "checkpoints of two experiments",
        }
        said = tmp_path / "launched.json"
        subprocess.run(
            [
                *(str(BIN / "dagster-graphql"), "-f", str(location), "-o", str(said)),
                *("-t", LAUNCH, "-v", json.dumps({"params": params})),
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        answer = json.loads(said.read_text())["data"]["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        with daemon(environment, location) as process:
            deadline = time.monotonic() + 480
            while not (found := instance.get_backfill(answer["backfillId"])).status.value.startswith(DONE):
                assert process.poll() is None, (tmp_path / "daemon.log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "daemon.log").read_text()
                time.sleep(1)
        statuses = instance.get_status_by_partition(CHECKPOINT, [SHUT, OPEN], experiments)
        runs = {run.tags["dagster/partition"]: run.status.value for run in instance.get_runs()}
        standing = build_defs(
            resource_overrides={"campaign": campaign, "trainer": WritingTrainer(log=str(log))}
        ).resolve_job_def(STANDING_JOB)
        checks = standing.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert found.status.value == "COMPLETED_FAILED", found.error
    assert runs == {OPEN: "SUCCESS", SHUT: "FAILURE"}
    assert log.read_text().split() == [OPEN], "the trainer was reached once, behind the open gate"
    assert statuses == {
        OPEN: dg.AssetPartitionStatus.MATERIALIZED,
        SHUT: dg.AssetPartitionStatus.FAILED,
    }
    assert campaign.store.has("checkpoint", OPEN)
    assert not campaign.store.has("checkpoint", SHUT)
    (face,) = [check for check in checks if check.asset_key == CHECKPOINT]
    assert face.check_name == STANDING_CHECK
    assert not face.passed
    assert face.description == f"1 failed: {SHUT}"
