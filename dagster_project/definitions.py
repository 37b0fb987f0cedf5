"""Everything Dagster loads, assembled by one function that tests override.

Nothing here opens a file, a socket or the environment.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets import anchors, dataset, evaluation, gates, sky, sources, training
from assets.standing import standing_check
from jobs.campaign import PARTITIONED, build_jobs, build_schedules
from resources.campaign import Campaign
from resources.compute import LocalCompute
from resources.trainer import LocalTrainer

ASSET_MODULES = (sky, sources, dataset, gates, training, anchors, evaluation)


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assemble assets, checks, jobs and resources.

    Parameters
    ----------
    resource_overrides : mapping, optional
        Replaces resources by key: ``campaign``, ``compute``, ``trainer``.

    Returns
    -------
    Definitions
    """
    resources = {
        "campaign": Campaign(),
        "compute": LocalCompute(),
        "trainer": LocalTrainer(),
        **(resource_overrides or {}),
    }
    loaded = dg.load_assets_from_modules(ASSET_MODULES)
    return dg.Definitions(
        assets=loaded,
        asset_checks=[*dg.load_asset_checks_from_modules(ASSET_MODULES), *_standing_checks(loaded)],
        jobs=build_jobs(),
        schedules=build_schedules(),
        resources=resources,
        executor=dg.in_process_executor,
    )


def _standing_checks(loaded: Sequence[Any]) -> list[dg.AssetChecksDefinition]:
    """Return the standing check of every partitioned asset, beside those of its own job."""
    by_name = {asset.key.to_user_string(): asset for asset in loaded}
    return [
        standing_check(by_name[name], [by_name[other].key for other in step.assets if other != name])
        for name, step in PARTITIONED.items()
    ]


defs = build_defs()
