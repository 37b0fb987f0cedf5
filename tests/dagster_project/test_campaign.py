"""A whole campaign on a small mock sky, through the jobs a person launches."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from assets.experiments import EXPERIMENT_NAMES
from dagster_project.cli import cli
from dagster_project.definitions import build_defs
from dagster_project.runner import open_instance, plan, run_campaign
from darkhaloscope import tabular
from darkhaloscope.gates.registry import DATA_GATES
from darkhaloscope.gates.result import GateReport
from darkhaloscope.sources.mock_cosmos import write_mock_cosmos
from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky
from jobs.campaign import STEPS
from resources.campaign import Campaign
from resources.compute import LocalCompute, SparkCompute

PROJECT = Path(__file__).resolve().parents[2]
DHS = Path(sys.executable).with_name("dhs")
DAGSTER = Path(sys.executable).with_name("dagster")
DATA = ("manifest", "injected_stamps", "training_shards")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, str]:
    """A small mock sky and mock COSMOS that every campaign here reads."""
    root = tmp_path_factory.mktemp("inputs")
    write_mock_sky(root / "survey", MockSkyConfig.for_profile("test"), workers=2)
    write_mock_cosmos(root / "cosmos", n_galaxies=60, seed=1)
    return {"survey_root": str(root / "survey"), "cosmos_catalog": str(root / "cosmos"), "profile": "test"}


def build(root: Path, inputs: dict[str, str], experiments, compute=None) -> Campaign:
    """Run a campaign as far as its gates let it."""
    campaign = Campaign(root=str(root), **inputs)
    defs = build_defs(
        resource_overrides={"campaign": campaign, "compute": compute or LocalCompute(workers=2)}
    )
    with open_instance(root / "dagster") as instance:
        run_campaign(defs, instance, experiments)
    return campaign


@pytest.fixture(scope="module")
def two_workers(inputs, tmp_path_factory) -> Campaign:
    return build(tmp_path_factory.mktemp("two"), inputs, EXPERIMENT_NAMES)


def hashes(campaign: Campaign, experiment: str) -> dict[str, list[tuple[str, str]]]:
    """Return name and sha256 of every part of the data set."""
    found = {}
    for name in DATA:
        for tile in campaign.campaign_tiles() if name != "training_shards" else [None]:
            record = campaign.store.record(name, experiment, *([tile] if tile else []))
            campaign.store.verify(record)
            found[record.key] = [(p.path, p.sha256) for p in record.parts if p.path.endswith(".parquet")]
    return found


def test_one_and_two_workers_write_the_same_bytes(two_workers, inputs, tmp_path):
    one = build(tmp_path, inputs, ["gen6"], LocalCompute(workers=1))
    assert hashes(one, "gen6") == hashes(two_workers, "gen6")


@pytest.mark.spark
def test_spark_writes_the_same_bytes(two_workers, inputs, tmp_path):
    from resources.compute import check_spark

    try:
        check_spark()
    except Exception as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    spark = build(tmp_path, inputs, ["gen6"], SparkCompute(master="local[2]"))
    assert hashes(spark, "gen6") == hashes(two_workers, "gen6")


@pytest.mark.parametrize("name", EXPERIMENT_NAMES)
def test_every_shipped_experiment_is_judged_at_the_smallest_size(two_workers, name):
    store = two_workers.store
    record = store.record("gate_report", name)
    report = GateReport.from_json(store.paths(record, "report.json")[0].read_text())
    assert report.gates() == list(DATA_GATES)
    assert report.artefact_hash == store.record("training_shards", name).content_hash
    assert all(result.reason for result in report)
    trained = store.has("checkpoint", name)
    assert trained == (not report.failed()), "a checkpoint exists if and only if the gates are open"


def test_killed_build_resumes_to_the_same_bytes(two_workers, inputs, tmp_path):
    """SIGKILL in mid-injection, then the same command again."""
    command = [
        str(DHS), "run", "-e", "gen6", "--root", str(tmp_path), "--profile", "test", "--workers", "2",
        "--survey-root", inputs["survey_root"], "--cosmos-catalog", inputs["cosmos_catalog"],
    ]  # fmt: skip
    first = subprocess.Popen(
        command, cwd=PROJECT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    staging = tmp_path / "store" / ".staging" / "injected_stamps"
    deadline = time.monotonic() + 120
    while not list(staging.rglob("*.parquet")) and first.poll() is None:
        assert time.monotonic() < deadline, "injection never started"
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    campaign = Campaign(root=str(tmp_path), **inputs)
    subprocess.run(command, cwd=PROJECT, capture_output=True, check=False)
    assert hashes(campaign, "gen6") == hashes(two_workers, "gen6")


README_JOB = re.compile(r"^job -j (\w+)(?: --tags '(.*)')?$", re.MULTILINE)


def test_jobs_run_alone_as_readme_shows_them(inputs, tmp_path):
    """README's own lines, on an instance of their own, as far as a tiny sky has data."""
    shown = dict(README_JOB.findall((PROJECT / "README.md").read_text()))
    assert list(shown) == [step.name for step in STEPS]
    config = tmp_path / "campaign.yaml"
    settings = {"root": str(tmp_path), **inputs}
    config.write_text(yaml.safe_dump({"resources": {"campaign": {"config": settings}}}))
    open_instance(tmp_path / "dagster").dispose()
    campaign = Campaign(root=str(tmp_path), **inputs)
    for job in ("sky_and_sources", "hosts", "stamps"):
        tags = shown[job].replace("574", campaign.campaign_tiles()[0]) if shown[job] else "{}"
        done = subprocess.run(
            [
                *(str(DAGSTER), "job", "execute", "-m", "dagster_project.definitions", "-j", job),
                *("-c", str(config), "--tags", tags),
            ],
            cwd=PROJECT,
            env={**os.environ, "DAGSTER_HOME": str(tmp_path / "dagster")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert campaign.store.record("injected_stamps", "gen6", campaign.campaign_tiles()[0]).rows > 0


def test_plan_covers_every_job_and_partition_once():
    steps = list(plan(["a", "b"], lambda: ["1", "2"]))
    assert len(steps) == len({(job, str(key)) for job, key in steps})
    assert {job for job, _ in steps} == {step.name for step in STEPS}
    assert sum(job == "stamps" for job, _ in steps) == 4


@pytest.mark.parametrize("kind", ["positive", "matched_light", "unpaired"])
def test_any_stored_row_is_made_again_from_its_id(two_workers, kind):
    store = two_workers.store
    tile = two_workers.campaign_tiles()[0]
    record = store.record("injected_stamps", "gen6", tile)
    rows = tabular.read_table(store.paths(record, ".parquet"), ["task_id", "control_kind"])
    task = rows["task_id"][rows["control_kind"].to_pylist().index(kind)].as_py()
    done = CliRunner().invoke(cli, ["render", task, "-e", "gen6", "--root", two_workers.root])
    assert done.exit_code == 0, done.output
    assert f"{task}: made again, bit for bit" in done.output
    assert (Path(two_workers.root) / "renders" / f"{task}.png").stat().st_size > 1000
