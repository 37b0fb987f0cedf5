"""The checkpoint of an experiment, trained on shards whose gates are open."""

from pathlib import Path

import dagster as dg

from assets.building import OWNER, Built, build_partition, fails_once
from assets.dataset import training_shards
from assets.enforcement import hold_bank, hold_gates, standing_waivers
from assets.experiments import get_experiment
from assets.partitions import experiments
from assets.sources import cosmos_bank
from darkhaloscope.gates.registry import DATA_GATES
from darkhaloscope.hashing import code_version
from darkhaloscope.training.request import TrainRequest
from resources.campaign import Campaign
from resources.trainer import Trainer

_CODE = code_version(
    "darkhaloscope.training",
    "darkhaloscope.preprocess",
    "darkhaloscope.statistics.robust",
    "darkhaloscope.lensing.geometry",
    "darkhaloscope.stamps.quantise",
    "darkhaloscope.stamps.quantise_kernels",
)
CHECKPOINT_FILE = "checkpoint.pt"
RECORD_FILE = "record.json"


@dg.asset(
    deps=[training_shards, cosmos_bank, dg.AssetKey("gate_report")],
    partitions_def=experiments,
    group_name="training",
    owners=[OWNER],
    code_version=_CODE,
    kinds={"python", "torch"},
)
@fails_once
def checkpoint(
    context: dg.AssetExecutionContext, campaign: Campaign, trainer: dg.ResourceParam[Trainer]
) -> dg.MaterializeResult:
    """Weights, PreprocessSpec and training record; refuses shards whose gates are not open."""
    store, sizes, name = campaign.store, campaign.sizes, context.partition_key
    experiment = get_experiment(name)
    shards = store.record("training_shards", name)
    bank = hold_bank(store, experiment.gates)
    report = hold_gates(store, "gate_report", name, judged=shards, required=DATA_GATES)

    def build(staging: Path) -> Built:
        record = trainer.train(
            context,
            TrainRequest(
                experiment=experiment.model_dump(mode="json"),
                profile=sizes.as_dict(),
                shard_paths=[str(path) for path in store.paths(shards, ".parquet")],
                shards_hash=shards.content_hash,
                output_dir=str(staging),
            ),
        )
        return Built(summary=record)

    return build_partition(
        context,
        store,
        "checkpoint",
        name,
        build=build,
        config_hash=experiment.config_hash(sizes),
        code_version=_CODE,
        inputs={"training_shards": shards.content_hash, "gate_report": report.verdict_hash()},
        reuse=campaign.reuse,
        waivers=standing_waivers(bank, report, upstream=[shards]),
    )
