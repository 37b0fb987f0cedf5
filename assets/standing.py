"""The standing check of every partitioned asset: no partition was left failed or half-done.

A backfill ends COMPLETED_SUCCESS although a run in it failed, and the status of
a run says nothing once the next one has begun. This check reads what the
instance knows of every partition and names those that were left behind. What a
partition contains is the gates' business.
"""

from collections.abc import Callable, Mapping, Sequence

import dagster as dg

STANDING_CHECK = "no_partition_left_failed"

_NAMED = 20
"""Partitions named in a message; the counts are exact."""


def left_behind(
    statuses: Mapping[str, dg.AssetPartitionStatus | None], expected: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return partitions whose last attempt failed, and expected ones that nobody made or makes.

    Parameters
    ----------
    statuses : mapping of str to AssetPartitionStatus or None
        By partition key.
    expected : sequence of str
        Keys that should be there.
    """
    failed = sorted(key for key, status in statuses.items() if status is dg.AssetPartitionStatus.FAILED)
    missing = sorted(key for key in expected if statuses.get(key) is None)
    return failed, missing


def standing_check(asset: dg.AssetsDefinition, beside: Sequence[dg.AssetKey]) -> dg.AssetChecksDefinition:
    """Return the standing check of an asset.

    Parameters
    ----------
    asset : AssetsDefinition
        Partitioned.
    beside : sequence of AssetKey
        Assets of the same job: a partition that one of them has and this one
        lacks was left half-done. A partition that no asset of the job has was
        never asked for.
    """
    partitions = asset.partitions_def
    assert partitions is not None  # an asset without partitions has none to leave behind

    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        instance = context.instance
        keys = list(partitions.get_partition_keys(dynamic_partitions_store=instance))
        status = _reader(instance, keys, partitions)
        statuses = status(asset.key)
        begun = {
            key
            for other in beside
            for key, found in status(other).items()
            if found is dg.AssetPartitionStatus.MATERIALIZED
        }
        failed, missing = left_behind(statuses, sorted(begun))
        told = [
            f"{len(named)} {word}: {', '.join(named[:_NAMED])}{' ...' if len(named) > _NAMED else ''}"
            for word, named in (("failed", failed), ("missing", missing))
            if named
        ]
        made = sum(found is dg.AssetPartitionStatus.MATERIALIZED for found in statuses.values())
        return dg.AssetCheckResult(
            passed=not told,
            description="; ".join(told) or f"{made} of {len(keys)} partitions made, none left failed",
            metadata={
                "failed": len(failed),
                "missing": len(missing),
                "materialized": made,
                "partitions": len(keys),
                "failed_partitions": dg.MetadataValue.json(failed[:_NAMED]),
                "missing_partitions": dg.MetadataValue.json(missing[:_NAMED]),
            },
        )

    return dg.asset_check(
        asset=asset,
        name=STANDING_CHECK,
        description="Was a partition left failed, or made by only some assets of its job?",
    )(check)


def _reader(
    instance: dg.DagsterInstance, keys: Sequence[str], partitions: dg.PartitionsDefinition
) -> Callable[[dg.AssetKey], Mapping[str, dg.AssetPartitionStatus | None]]:
    """Return a function that reads the status of every partition of an asset."""

    def read(key: dg.AssetKey) -> Mapping[str, dg.AssetPartitionStatus | None]:
        return instance.get_status_by_partition(key, keys, partitions) or dict.fromkeys(keys)

    return read
