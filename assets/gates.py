"""Gate reports and the asset checks that show them.

A report is an artefact keyed to the hash of what it judged; consumers hold it
through ``assets.enforcement``. The checks only read it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from assets.anchors import anchor_catalog
from assets.building import OWNER, Built, build_partition, fails_once
from assets.dataset import injected_stamps, tile_records, training_shards
from assets.enforcement import check_results, not_judged, read_report, standing_waivers
from assets.experiments import get_experiment
from assets.metadata import WAIVERS
from assets.partitions import (
    all_tiles_of_one_experiment,
    every_partition,
    experiments,
)
from assets.sky import footprint, host_cutouts, published_splits, sky_splits
from assets.sources import BANK_FILE, cosmos_bank
from assets.training import CHECKPOINT_FILE, checkpoint
from darkhaloscope import tabular
from darkhaloscope.gates.behaviour.runs import Model
from darkhaloscope.gates.context import DataSet
from darkhaloscope.gates.registry import CHECKPOINT, DATA_GATES, GATES, MODEL_GATES, SHARDS
from darkhaloscope.gates.result import GateReport, GateStatus
from darkhaloscope.gates.run import run_data_gates, run_model_gates
from darkhaloscope.hashing import code_version
from darkhaloscope.reports.gates import write_gate_report
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.training.predict import load_model
from resources.campaign import Campaign

_CODE = code_version(
    "darkhaloscope.gates",
    "darkhaloscope.statistics",
    "darkhaloscope.preprocess",
    "darkhaloscope.lensing",
    "darkhaloscope.stamps.quantise",
    "darkhaloscope.stamps.quantise_kernels",
)
OPEN_CHECK = "gates_open"
_COMMON = {"group_name": "gates", "owners": [OWNER], "code_version": _CODE, "partitions_def": experiments}


@dg.asset(
    deps=[
        training_shards,
        dg.AssetDep(injected_stamps, partition_mapping=all_tiles_of_one_experiment),
        dg.AssetDep(host_cutouts, partition_mapping=every_partition),
        cosmos_bank,
        footprint,
        sky_splits,
        anchor_catalog,
    ],
    kinds={"python", "json", "markdown"},
    **_COMMON,
)
@fails_once
def gate_report(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Verdict of every data gate for exactly these shards: JSON, Markdown and figures."""
    store, sizes, name = campaign.store, campaign.sizes, context.partition_key
    experiment = get_experiment(name)
    judged, bank = store.record("training_shards", name), store.record("cosmos_bank")
    bricks, known = store.record("footprint"), store.record("anchor_catalog")
    splits, split_input = published_splits(store, experiment.split)
    hosts = [store.record("host_cutouts", tile) for tile in campaign.campaign_tiles()]
    manifests = tile_records(campaign, "manifest", name)
    stamps = tile_records(campaign, "injected_stamps", name)

    def build(staging: Path) -> Built:
        data = DataSet(
            shards=ShardSet(store.paths(judged, ".parquet")),
            experiment=experiment,
            profile=sizes,
            bricks=tabular.read_table(store.paths(bricks, ".parquet")),
            splits=splits,
            hosts_paths=[path for record in hosts for path in store.paths(record, ".parquet")],
            manifest_paths=[p for record in manifests.values() for p in store.paths(record, ".parquet")],
            stamp_paths=[p for record in stamps.values() for p in store.paths(record, ".parquet")],
            bank_path=store.paths(bank, BANK_FILE)[0],
            anchors=tabular.read_table(store.paths(known, ".parquet")),
            folder=staging,
        )
        report = run_data_gates(data, artefact_hash=judged.content_hash)
        return _write(report.with_waivers(experiment.gates, datetime.now(tz=UTC).date()), staging)

    return build_partition(
        context,
        store,
        "gate_report",
        name,
        build=build,
        config_hash=experiment.config_hash(sizes),
        code_version=_CODE,
        inputs={record.key: record.content_hash for record in (judged, bank, bricks, known, *hosts)}
        | split_input,
        reuse=campaign.reuse,
        waivers=standing_waivers(upstream=[judged]),
    )


@dg.asset(
    deps=[checkpoint, training_shards, dg.AssetDep(host_cutouts, partition_mapping=every_partition)],
    kinds={"python", "torch", "json"},
    **_COMMON,
)
@fails_once
def model_gate_report(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Verdict of every behaviour gate for exactly this checkpoint."""
    store, sizes, name = campaign.store, campaign.sizes, context.partition_key
    experiment = get_experiment(name)
    judged, shards = store.record("checkpoint", name), store.record("training_shards", name)
    hosts = [store.record("host_cutouts", tile) for tile in campaign.campaign_tiles()]

    def build(staging: Path) -> Built:
        loaded = load_model(store.paths(judged, CHECKPOINT_FILE)[0])
        model = Model(
            score=loaded.score,
            shards=ShardSet(store.paths(shards, ".parquet")),
            experiment=experiment,
            profile=sizes,
            hosts_paths=[path for record in hosts for path in store.paths(record, ".parquet")],
            folder=staging,
            preprocess=loaded.preprocess,
        )
        report = run_model_gates(model, artefact_hash=judged.content_hash)
        return _write(report.with_waivers(experiment.gates, datetime.now(tz=UTC).date()), staging)

    return build_partition(
        context,
        store,
        "model_gate_report",
        name,
        build=build,
        config_hash=experiment.config_hash(sizes),
        code_version=_CODE,
        inputs={record.key: record.content_hash for record in (judged, shards, *hosts)},
        reuse=campaign.reuse,
        waivers=standing_waivers(upstream=[judged, shards]),
    )


def _write(report: GateReport, staging: Path) -> Built:
    write_gate_report(report, staging)
    statuses = [result.status.value for result in report]
    return Built(
        summary={
            "gates": {status: statuses.count(status) for status in sorted(set(statuses))},
            "shut": len(report.failed()),
            WAIVERS: report.waivers(),
        },
        pictures=sorted({result.figure for result in report if result.figure}),
    )


def _specs(gates: tuple[str, ...], report: dg.AssetsDefinition) -> list[dg.AssetCheckSpec]:
    """Return one check per gate on the artefact it judges, and the blocking one on the report.

    A gate's own check cannot block: everything downstream of the shards would
    wait for it, the report it reads included. The check that blocks is on the
    report; what locks is ``hold_gates`` in every consumer.
    """
    each = [
        dg.AssetCheckSpec(
            gate,
            asset=GATES[gate].artefact,
            description=GATES[gate].question,
            additional_deps=[report],
            partitions_def=experiments,
        )
        for gate in gates
    ]
    return [
        *each,
        dg.AssetCheckSpec(
            OPEN_CHECK,
            asset=report.key,
            description="May the judged artefact be used? Every blocking gate passed or waived.",
            blocking=True,
            partitions_def=experiments,
        ),
    ]


@dg.multi_asset_check(specs=_specs(DATA_GATES, gate_report), name="data_gates", can_subset=True)
def data_gates(context: dg.AssetCheckExecutionContext, campaign: Campaign) -> Iterator[dg.AssetCheckResult]:
    """Show the verdicts of the data gates on the shards they judged."""
    yield from _show(context, campaign, "gate_report", judged=SHARDS)


@dg.multi_asset_check(specs=_specs(MODEL_GATES, model_gate_report), name="model_gates", can_subset=True)
def model_gates(context: dg.AssetCheckExecutionContext, campaign: Campaign) -> Iterator[dg.AssetCheckResult]:
    """Show the verdicts of the behaviour gates on the checkpoint they judged."""
    yield from _show(context, campaign, "model_gate_report", judged=CHECKPOINT)


def _show(
    context: dg.AssetCheckExecutionContext, campaign: Campaign, name: str, *, judged: str
) -> Iterator[dg.AssetCheckResult]:
    """Show those checks of a report that the run asks for; a verdict on other bytes is none."""
    store, partition = campaign.store, context.partition_key
    report = read_report(store, name, partition)
    there = store.record(judged, partition).content_hash if store.has(judged, partition) else None
    faces: dict[str, dg.AssetCheckResult] = {}
    if report is not None and report.artefact_hash == there:
        faces = {face.check_name: face for face in check_results(report, store.directory(name, partition))}
        faces[OPEN_CHECK] = _open_face(report, name)
    for key in context.selected_asset_check_keys:
        yield faces.get(key.name) or not_judged(key, name)


def _open_face(report: GateReport, name: str) -> dg.AssetCheckResult:
    shut = report.failed()
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(name),
        check_name=OPEN_CHECK,
        passed=not shut,
        description="; ".join(f"{result.key}: {result.reason}" for result in shut) or "every gate is open",
        metadata={"shut": len(shut), "waived": sum(r.status is GateStatus.WAIVED for r in report)},
    )
