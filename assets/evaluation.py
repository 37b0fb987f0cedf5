"""Grading: real objects, the selection function, all experiments side by side."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from assets.anchors import anchor_stamps
from assets.building import OWNER, Built, build_partition, fails_once
from assets.dataset import training_shards
from assets.enforcement import (
    check_results,
    hold_bank,
    hold_evaluation,
    hold_gates,
    hold_pointing,
    not_judged,
    read_report,
    standing_waivers,
)
from assets.experiments import EXPERIMENT_NAMES, get_experiment
from assets.gates import gate_report, model_gate_report
from assets.metadata import WAIVERS
from assets.partitions import every_partition, experiments
from assets.sky import host_cutouts, published_splits, sky_splits
from assets.sources import BANK_FILE, cosmos_bank
from assets.training import CHECKPOINT_FILE, checkpoint
from darkhaloscope import tabular
from darkhaloscope.artifacts import read_json, write_json
from darkhaloscope.evaluation import anchor_evaluation as grading
from darkhaloscope.evaluation import comparison, selection
from darkhaloscope.gates.anchors.realism import map_validity
from darkhaloscope.gates.anchors.runs import Grade
from darkhaloscope.gates.registry import ANCHOR_EVALUATION, DATA_GATES, EVALUATION_GATES, GATES, MODEL_GATES
from darkhaloscope.gates.run import run_evaluation_gates
from darkhaloscope.hashing import code_version, hash_json, sha256_file
from darkhaloscope.reports import figures
from darkhaloscope.reports.gates import write_gate_report
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.training.predict import load_model
from resources.campaign import Campaign

_CODE = code_version(
    "darkhaloscope.evaluation",
    "darkhaloscope.gates",
    "darkhaloscope.statistics",
    "darkhaloscope.preprocess",
    "darkhaloscope.lensing.geometry",
    "darkhaloscope.stamps.quantise",
    "darkhaloscope.stamps.quantise_kernels",
)
_COMMON = {"group_name": "evaluation", "owners": [OWNER], "code_version": _CODE}


@dg.asset(
    name="anchor_evaluation",
    deps=[checkpoint, gate_report, model_gate_report, training_shards, anchor_stamps],
    partitions_def=experiments,
    kinds={"python", "torch", "json"},
    **_COMMON,
)
@fails_once
def anchor_evaluation(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Recall by tier and contamination by class on real objects, at a threshold frozen on controls."""
    store, sizes, name = campaign.store, campaign.sizes, context.partition_key
    experiment = get_experiment(name)
    model, shards = store.record("checkpoint", name), store.record("training_shards", name)
    objects = store.record("anchor_stamps")
    held = [
        hold_gates(store, "gate_report", name, judged=shards, required=DATA_GATES),
        hold_gates(store, "model_gate_report", name, judged=model, required=MODEL_GATES),
        hold_pointing(store, objects, experiment.gates),
    ]
    inputs = {record.key: record.content_hash for record in (model, shards, objects)}

    def build(staging: Path) -> Built:
        path, rows = store.paths(model, CHECKPOINT_FILE)[0], ShardSet(store.paths(shards, ".parquet"))
        real = tabular.read_table(store.paths(objects, ".parquet"))
        record = grading.evaluate_anchors(
            path, rows, real, experiment=experiment, profile=sizes, inputs=inputs
        )
        write_json(staging / grading.RECORD_NAME, record)
        grade = Grade(record, load_model(path), rows, real, experiment, sizes, staging)
        report = run_evaluation_gates(grade, artefact_hash=sha256_file(staging / grading.RECORD_NAME))
        report = report.with_waivers(experiment.gates, datetime.now(tz=UTC).date())
        write_gate_report(report, staging)
        figures.rates_figure(record, staging / "rates.png")
        figures.roc_figure(record, staging / "roc.png")
        figures.score_figure(record, staging / "scores.png")
        figures.reliability_figure(record, staging / "reliability.png")
        return Built(
            summary={**grading.grade_numbers(record), WAIVERS: report.waivers()},
            pictures=["rates.png", "roc.png", "scores.png", "reliability.png"],
        )

    return build_partition(
        context,
        store,
        "anchor_evaluation",
        name,
        build=build,
        config_hash=experiment.config_hash(sizes),
        code_version=_CODE,
        inputs=inputs,
        reuse=campaign.reuse,
        waivers=standing_waivers(*held, upstream=[model, shards]),
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            gate,
            asset=anchor_evaluation,
            description=GATES[gate].question,
            # what only informs shows as a warning, and a warning never blocks
            blocking=True,
            partitions_def=experiments,
        )
        for gate in EVALUATION_GATES
    ],
    name="evaluation_gates",
    can_subset=True,
)
def evaluation_gates(
    context: dg.AssetCheckExecutionContext, campaign: Campaign
) -> Iterator[dg.AssetCheckResult]:
    """Show the verdicts on the grade."""
    store, partition = campaign.store, context.partition_key
    report = read_report(store, ANCHOR_EVALUATION, partition)
    directory = store.directory(ANCHOR_EVALUATION, partition)
    faces = {} if report is None else {r.check_name: r for r in check_results(report, directory)}
    for key in context.selected_asset_check_keys:
        yield faces.get(key.name) or not_judged(key, ANCHOR_EVALUATION)


@dg.asset(
    deps=[
        checkpoint,
        model_gate_report,
        anchor_evaluation,
        cosmos_bank,
        sky_splits,
        dg.AssetDep(host_cutouts, partition_mapping=every_partition),
    ],
    partitions_def=experiments,
    kinds={"python", "torch", "json"},
    **_COMMON,
)
@fails_once
def selection_function(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """C(theta_E, seeing) by injection and recovery on test hosts at the frozen threshold."""
    store, sizes, name = campaign.store, campaign.sizes, context.partition_key
    experiment = get_experiment(name)
    model, bank = store.record("checkpoint", name), store.record("cosmos_bank")
    graded = store.record("anchor_evaluation", name)
    grade = hold_evaluation(store, graded)
    splits, split_input = published_splits(store, experiment.split)
    hosts = [store.record("host_cutouts", tile) for tile in campaign.campaign_tiles()]
    inputs = {record.key: record.content_hash for record in (model, bank, graded, *hosts)} | split_input
    held = [
        hold_bank(store, experiment.gates),
        hold_gates(store, "model_gate_report", name, judged=model, required=MODEL_GATES),
        grade,
    ]

    def build(staging: Path) -> Built:
        record = selection.measure_selection(
            store.paths(model, CHECKPOINT_FILE)[0],
            experiment=experiment,
            profile=sizes,
            host_paths=[path for host in hosts for path in store.paths(host, ".parquet")],
            splits=splits,
            bank_path=store.paths(bank, BANK_FILE)[0],
            evaluation_path=store.paths(graded, grading.RECORD_NAME)[0],
            validity=map_validity(grade),
            inputs=inputs,
        )
        write_json(staging / selection.RECORD_NAME, record)
        figures.selection_figure(record, staging / "selection.png")
        return Built(summary=selection.selection_numbers(record), pictures=["selection.png"])

    return build_partition(
        context,
        store,
        "selection_function",
        name,
        build=build,
        config_hash=experiment.config_hash(sizes),
        code_version=_CODE,
        inputs=inputs,
        reuse=campaign.reuse,
        waivers=standing_waivers(*held, upstream=[model, graded]),
    )


@dg.asset(
    deps=[dg.AssetDep(anchor_evaluation, partition_mapping=every_partition)],
    kinds={"python", "json"},
    **_COMMON,
)
@fails_once
def model_comparison(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """All graded experiments side by side, and the choices in which they differ."""
    store, sizes = campaign.store, campaign.sizes
    names = [name for name in EXPERIMENT_NAMES if store.has("anchor_evaluation", name)]
    records = {name: store.record("anchor_evaluation", name) for name in names}
    waivers = {
        name: standing_waivers(hold_evaluation(store, graded), upstream=[graded])
        for name, graded in records.items()
    }

    def build(staging: Path) -> Built:
        record = comparison.compare_models(
            {
                name: read_json(store.paths(graded, grading.RECORD_NAME)[0])
                for name, graded in records.items()
            },
            {name: get_experiment(name) for name in names},
            waivers=waivers,
        )
        write_json(staging / comparison.RECORD_NAME, record)
        figures.comparison_figure(record, staging / "comparison.png")
        return Built(summary={"experiments": len(names)}, pictures=["comparison.png"])

    return build_partition(
        context,
        store,
        "model_comparison",
        build=build,
        config_hash=hash_json([get_experiment(name).config_hash(sizes) for name in names]),
        code_version=_CODE,
        inputs={record.key: record.content_hash for record in records.values()},
        reuse=campaign.reuse,
        waivers=[{"experiment": name, **waiver} for name, given in waivers.items() for waiver in given],
    )
