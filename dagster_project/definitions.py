"""Everything Dagster loads, assembled by one function that tests override.

Nothing here opens a file, a socket or the environment.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import anchors, dataset, evaluation, gates, sky, sources, training
from jobs.campaign import build_jobs
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
    return dg.Definitions(
        assets=dg.load_assets_from_modules(ASSET_MODULES),
        asset_checks=dg.load_asset_checks_from_modules(ASSET_MODULES),
        jobs=build_jobs(),
        resources=resources,
        executor=dg.in_process_executor,
    )


defs = build_defs()
