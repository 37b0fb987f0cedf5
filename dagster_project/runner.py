"""Runs a campaign: the jobs in the order data flows, as real Dagster runs on one instance.

Partition shapes differ, so a campaign is several jobs; the order and the
partitions of each are derived here and nowhere else. What the jobs do is not
known here.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.partitions import TILE_PARTITIONS_NAME
from darkhaloscope.metering import StageMeter
from jobs.campaign import STANDING_JOB, STEPS, Shape

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

INSTANCE_CONFIG = Path(__file__).resolve().parents[1] / "deploy" / "local" / "dagster.yaml"


@dataclass(frozen=True)
class StepResult:
    """One job run on one partition.

    Parameters
    ----------
    job : str
        Job name.
    partition : str
        Partition key, empty for an unpartitioned job.
    success : bool
        Whether the run succeeded.
    seconds, peak_mb : float
        Wall time, and largest memory of this process and its children.
    error : str
        What failed, in the words of the failing step; empty on success.
    """

    job: str
    partition: str
    success: bool
    seconds: float
    peak_mb: float
    error: str = ""


def open_instance(home: Path) -> dg.DagsterInstance:
    """Open the persistent instance of a campaign, creating its configuration if needed."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.is_file():
        shutil.copyfile(INSTANCE_CONFIG, config)
    return dg.DagsterInstance.from_config(str(home))


def plan(
    experiments: Sequence[str], tiles: Callable[[], Sequence[str]]
) -> Iterator[tuple[str, str | dg.MultiPartitionKey]]:
    """Yield (job, partition key) in order; ``tiles`` is asked once the footprint exists."""
    for step in STEPS:
        if step.shape is Shape.SINGLE:
            yield step.name, ""
        elif step.shape is Shape.TILE:
            for tile in tiles():
                yield step.name, tile
        elif step.shape is Shape.EXPERIMENT:
            for experiment in experiments:
                yield step.name, experiment
        else:
            for experiment in experiments:
                for tile in tiles():
                    yield step.name, dg.MultiPartitionKey({"experiment": experiment, "tile": tile})


def run_campaign(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    experiments: Sequence[str],
    tiles: Sequence[str] = (),
    on_start: Callable[[str, str], None] = lambda _job, _partition: None,
    on_end: Callable[[StepResult], None] = lambda _result: None,
) -> list[StepResult]:
    """Run every job of a campaign, then the standing checks over all of it.

    A failed step ends its experiment; the other experiments go on. A failed
    step of the sky or the sources ends the campaign.

    Parameters
    ----------
    defs : Definitions
        With the campaign's resources.
    instance : DagsterInstance
        Where runs are recorded.
    experiments : sequence of str
        Experiments, in order.
    tiles : sequence of str
        Tiles; empty for all that the footprint registered.
    on_start, on_end : callable
        Told before and after each step.

    Returns
    -------
    list of StepResult
    """
    results: list[StepResult] = []
    dead: set[str] = set()

    def known_tiles() -> Sequence[str]:
        return list(tiles) or sorted(instance.get_dynamic_partitions(TILE_PARTITIONS_NAME))

    for job, key in plan(experiments, known_tiles):
        experiment = _experiment_of(key, experiments)
        if experiment in dead:
            continue
        on_start(job, str(key))
        result = _run(defs, instance, job, key)
        results.append(result)
        on_end(result)
        if not result.success:
            if experiment is None:
                break
            dead.add(experiment)
    on_start(STANDING_JOB, "")
    results.append(_run(defs, instance, STANDING_JOB, ""))
    on_end(results[-1])
    return results


def _experiment_of(key: str | dg.MultiPartitionKey, experiments: Sequence[str]) -> str | None:
    name = key.keys_by_dimension["experiment"] if isinstance(key, dg.MultiPartitionKey) else key
    return name if name in experiments else None


def _run(
    defs: dg.Definitions, instance: dg.DagsterInstance, job: str, key: str | dg.MultiPartitionKey
) -> StepResult:
    with StageMeter() as meter:
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=key or None, run_config=_QUIET, raise_on_error=False
        )
    return StepResult(
        job=job,
        partition=str(key),
        success=result.success,
        seconds=meter.seconds,
        peak_mb=meter.peak_mb,
        error="" if result.success else _errors(result),
    )


def _errors(result: dg.ExecuteInProcessResult) -> str:
    """Return what failed, one line per shut check or failed step, as its author wrote it."""
    shut = [
        f"{check.check_name} of {check.asset_key.to_user_string()}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.blocking and check.severity is dg.AssetCheckSeverity.ERROR
    ]
    if shut:
        return "\n".join(shut)
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(_failure(failure) for failure in failures) or "the run failed; see its log in the UI"


def _failure(failure: Any) -> str:
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{error.cls_name}: {error.message.strip()}" if error is not None else "unknown failure"
