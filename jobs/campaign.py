"""One job per partition shape: a job with mixed partitions does not resolve.

Run in this order they make a campaign; each can be run alone.
"""

from dataclasses import dataclass
from enum import Enum

import dagster as dg

from assets.standing import STANDING_CHECK


class Shape(Enum):
    """The partitions of a job."""

    SINGLE = "none"
    TILE = "tile"
    EXPERIMENT = "experiment"
    EXPERIMENT_TILE = "experiment x tile"


@dataclass(frozen=True)
class Step:
    """A job: its name, the assets it materialises, its partitions and its meaning."""

    name: str
    assets: tuple[str, ...]
    shape: Shape
    description: str


STEPS = (
    Step(
        "sky_and_sources",
        ("footprint", "sky_splits", "cosmos_bank", "anchor_catalog"),
        Shape.SINGLE,
        "Footprint of the survey root and its split maps, source bank, catalogue of known objects.",
    ),
    Step("hosts", ("lrg_parents", "host_cutouts"), Shape.TILE, "Parents and host cutouts of a tile."),
    Step(
        "stamps",
        ("manifest", "injected_stamps"),
        Shape.EXPERIMENT_TILE,
        "Manifest and injected stamps of an experiment in a tile.",
    ),
    Step(
        "dataset",
        ("training_shards", "gate_report"),
        Shape.EXPERIMENT,
        "Shards of an experiment and the verdict on them; fails if a blocking gate is shut.",
    ),
    Step(
        "train",
        ("checkpoint", "model_gate_report"),
        Shape.EXPERIMENT,
        "Checkpoint of an experiment and the verdict on it; refuses shards whose gates are shut.",
    ),
    Step("anchors", ("anchor_stamps",), Shape.SINGLE, "Stamps of real objects past the pointing gate."),
    Step(
        "evaluate",
        ("anchor_evaluation", "selection_function"),
        Shape.EXPERIMENT,
        "Recall and contamination on real objects, and the selection function.",
    ),
    Step("compare", ("model_comparison",), Shape.SINGLE, "All experiments side by side."),
)
"""The jobs in the order data flows."""

STANDING_JOB = "standing_checks"

PARTITIONED = {name: step for step in STEPS if step.shape is not Shape.SINGLE for name in step.assets}
"""Partitioned assets and the step that makes each."""


def build_jobs() -> list:
    """Return one asset job per step, with the checks of its assets, and the job of the standing checks.

    A standing check looks at all partitions of an asset, so a run of one
    partition does not make it.
    """
    standing = dg.AssetSelection.checks(
        *[dg.AssetCheckKey(dg.AssetKey(name), STANDING_CHECK) for name in PARTITIONED]
    )
    steps = [
        dg.define_asset_job(
            step.name,
            # the assets themselves already bring all of their checks
            selection=dg.AssetSelection.assets(*step.assets) - standing,
            description=step.description,
            executor_def=dg.in_process_executor,
        )
        for step in STEPS
    ]
    return [
        *steps,
        dg.define_asset_job(
            STANDING_JOB,
            selection=standing,
            description="Names every partition that was left failed or half-done.",
            executor_def=dg.in_process_executor,
        ),
    ]


def build_schedules() -> list:
    """Return the schedules, all of them stopped until a person starts them."""
    return [
        dg.ScheduleDefinition(
            name=f"{STANDING_JOB}_daily",
            job_name=STANDING_JOB,
            cron_schedule="0 6 * * *",
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description="Looks for partitions left behind every morning.",
        )
    ]
