"""The standing check: it names what a finished campaign left failed or half-done."""

import dagster as dg
import pytest

from assets.standing import STANDING_CHECK, left_behind, standing_check
from dagster_project.definitions import defs
from jobs.campaign import PARTITIONED, STANDING_JOB, STEPS

MADE, FAILED, RUNNING = (
    dg.AssetPartitionStatus.MATERIALIZED,
    dg.AssetPartitionStatus.FAILED,
    dg.AssetPartitionStatus.IN_PROGRESS,
)
KEYS = dg.StaticPartitionsDefinition(["a", "b", "c"])


def test_failed_and_missing_are_told_apart_and_a_running_one_is_neither():
    statuses = {"a": MADE, "b": FAILED, "c": RUNNING, "d": None, "e": None}
    assert left_behind(statuses, ["a", "b", "c", "d"]) == (["b"], ["d"])
    assert left_behind({}, []) == ([], [])


@pytest.fixture
def world():
    """A pair of assets of one job; ``fails`` says which partitions of each fail."""
    fails = {"first": set(), "second": set()}

    @dg.asset(partitions_def=KEYS)
    def first(context: dg.AssetExecutionContext) -> None:
        if context.partition_key in fails["first"]:
            raise dg.Failure("no")

    @dg.asset(partitions_def=KEYS, deps=[first])
    def second(context: dg.AssetExecutionContext) -> None:
        if context.partition_key in fails["second"]:
            raise dg.Failure("no")

    checks = [standing_check(first, [second.key]), standing_check(second, [first.key])]
    with dg.DagsterInstance.ephemeral() as instance:

        def run(key, *, only=None):
            dg.materialize(
                [first, second],
                partition_key=key,
                instance=instance,
                selection=only,
                raise_on_error=False,
            )

        def look():
            result = dg.materialize(
                [first, second, *checks],
                selection=dg.AssetSelection.checks(*[key for check in checks for key in check.check_keys]),
                instance=instance,
            )
            found = {e.asset_key.to_user_string(): e for e in result.get_asset_check_evaluations()}
            assert all(e.severity is dg.AssetCheckSeverity.ERROR and not e.blocking for e in found.values())
            return {name: (e.passed, e.description) for name, e in found.items()}, found

        yield fails, run, look


def test_nothing_run_is_nothing_left(world):
    _, _, look = world
    assert look()[0]["first"] == (True, "0 of 3 partitions made, none left failed")


def test_a_failed_partition_is_named_until_it_is_made(world):
    fails, run, look = world
    fails["second"] = {"b"}
    for key in ("a", "b"):
        run(key)
    told, found = look()
    assert told["first"] == (True, "2 of 3 partitions made, none left failed")
    assert told["second"] == (False, "1 failed: b")
    numbers = {key: found["second"].metadata[key].value for key in ("failed", "missing", "materialized")}
    assert numbers == {"failed": 1, "missing": 0, "materialized": 1}
    fails["second"] = set()
    run("b")
    assert look()[0]["second"] == (True, "2 of 3 partitions made, none left failed")


def test_a_partition_that_half_of_its_job_has_is_missing_in_the_other_half(world):
    _, run, look = world
    run("c", only=["first"])
    told, _ = look()
    assert told["first"][0]
    assert told["second"] == (False, "1 missing: c")


def test_every_partitioned_asset_has_one_and_no_run_of_a_partition_makes_it():
    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    partitioned = {name for name, spec in specs.items() if spec.partitions_def is not None}
    assert set(PARTITIONED) == partitioned
    graph = defs.resolve_asset_graph()
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys if key.name == STANDING_CHECK}
    assert checked == partitioned

    def of(job):
        return [node.name for node in defs.resolve_job_def(job).nodes]

    assert sorted(of(STANDING_JOB)) == sorted(f"{name}_{STANDING_CHECK}" for name in partitioned)
    assert not [name for step in STEPS for name in of(step.name) if STANDING_CHECK in name]


def test_schedules_are_stopped_until_somebody_starts_them():
    assert [schedule.default_status for schedule in defs.schedules] == [dg.DefaultScheduleStatus.STOPPED]
