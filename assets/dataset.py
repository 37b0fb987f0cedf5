"""The data set of an experiment: manifest, injected stamps, training shards."""

from pathlib import Path

import dagster as dg

from assets.anchors import anchor_catalog
from assets.building import OWNER, Built, build_partition, fails_once, value_counts
from assets.enforcement import hold_bank, standing_waivers
from assets.experiments import get_experiment
from assets.partitions import (
    all_tiles_of_one_experiment,
    experiment_tiles,
    experiments,
    one_tile_of_each_experiment,
)
from assets.sky import host_cutouts, published_splits, sky_splits
from assets.sources import BANK_FILE, cosmos_bank
from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactRecord
from darkhaloscope.hashing import code_version
from darkhaloscope.reports import figures_population, stamps_rgb
from darkhaloscope.schema import HOSTS, MANIFEST, STAMPS, Role
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps import inject, shards
from darkhaloscope.stamps.manifest import build_manifest, host_use
from resources.campaign import Campaign
from resources.compute import Compute

_CODE = code_version(
    "darkhaloscope.stamps",
    "darkhaloscope.lensing",
    "darkhaloscope.sources",
    "darkhaloscope.survey.tiles",
    "darkhaloscope.survey.healpix",
    "darkhaloscope.schema",
    "darkhaloscope.statistics.robust",
    "darkhaloscope.tabular",
    "darkhaloscope.parquet",
    "darkhaloscope.streams",
)
_COMMON = {"group_name": "dataset", "owners": [OWNER], "code_version": _CODE}

_HOST_COLUMNS = [column.name for column in HOSTS if column.role is not Role.PIXELS]


def _keys(context: dg.AssetExecutionContext) -> tuple[str, str]:
    """Return (experiment, tile) of a two-dimensional partition."""
    keys = context.partition_key.keys_by_dimension
    return keys["experiment"], keys["tile"]


@dg.asset(
    deps=[
        dg.AssetDep(host_cutouts, partition_mapping=one_tile_of_each_experiment),
        sky_splits,
        cosmos_bank,
        anchor_catalog,
    ],
    partitions_def=experiment_tiles,
    kinds={"python", "parquet"},
    **_COMMON,
)
@fails_once
def manifest(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """One row per task of a tile: identities, split and every drawn parameter; nothing is drawn later."""
    store, sizes = campaign.store, campaign.sizes
    name, tile = _keys(context)
    experiment = get_experiment(name)
    hosts = store.record("host_cutouts", tile)
    bank, anchors = store.record("cosmos_bank"), store.record("anchor_catalog")
    verdicts = hold_bank(store, experiment.gates)
    splits, split_input = published_splits(store, experiment.split)

    def build(staging: Path) -> Built:
        with open_sources(experiment.sources.kind, store.paths(bank, BANK_FILE)[0]) as sources:
            table = build_manifest(
                experiment,
                sizes,
                hosts=tabular.read_table(store.paths(hosts, ".parquet"), _HOST_COLUMNS),
                splits=splits,
                sources=sources,
                anchors=tabular.read_table(store.paths(anchors, ".parquet")),
                tile=tile,
            )
        part = tabular.write_table(staging / "manifest.parquet", MANIFEST, table)
        figures_population.population_figure(table, staging / "population.png")
        return Built(
            rows={part.path: part.rows},
            summary={
                "kinds": value_counts(table["control_kind"]),
                "splits": value_counts(table["split"]),
                "hosts": host_use(table),
                "population": figures_population.population_numbers(table),
            },
            pictures=["population.png"],
        )

    return build_partition(
        context,
        store,
        "manifest",
        name,
        tile,
        build=build,
        config_hash=experiment.dataset_hash(sizes),
        code_version=_CODE,
        inputs={record.name: record.content_hash for record in (hosts, bank, anchors)} | split_input,
        schema=MANIFEST.label,
        reuse=campaign.reuse,
        waivers=standing_waivers(verdicts),
    )


@dg.asset(
    deps=[
        manifest,
        dg.AssetDep(host_cutouts, partition_mapping=one_tile_of_each_experiment),
        cosmos_bank,
    ],
    partitions_def=experiment_tiles,
    kinds={"python", "numba", "parquet"},
    **_COMMON,
)
@fails_once
def injected_stamps(
    context: dg.AssetExecutionContext, campaign: Campaign, compute: dg.ResourceParam[Compute]
) -> dg.MaterializeResult:
    """One row per task: image, invvar, mask, truth and S/N, or the reason there are no pixels."""
    store, sizes = campaign.store, campaign.sizes
    name, tile = _keys(context)
    experiment = get_experiment(name)
    tasks, hosts = store.record("manifest", name, tile), store.record("host_cutouts", tile)
    bank = store.record("cosmos_bank")
    verdicts = hold_bank(store, experiment.gates)

    def build(staging: Path) -> Built:
        units = inject.plan_injection(
            experiment,
            sizes,
            manifest_paths=store.paths(tasks, ".parquet"),
            host_paths=store.paths(hosts, ".parquet"),
            bank_path=store.paths(bank, BANK_FILE)[0],
            staging=staging,
        )
        results = compute.map(
            "darkhaloscope.stamps.inject:inject_unit", units, label=f"inject {name} tile {tile} [units]"
        )
        built = Built.from_units(results)
        stamps_rgb.stamp_sheet([staging / path for path in built.rows], staging / "stamps.png")
        built.pictures.append("stamps.png")
        return built

    return build_partition(
        context,
        store,
        "injected_stamps",
        name,
        tile,
        build=build,
        config_hash=experiment.dataset_hash(sizes),
        code_version=_CODE,
        inputs={record.name: record.content_hash for record in (tasks, hosts, bank)},
        schema=STAMPS.label,
        reuse=campaign.reuse,
        waivers=standing_waivers(verdicts, upstream=[tasks]),
    )


def tile_records(campaign: Campaign, name: str, experiment: str) -> dict[str, ArtifactRecord]:
    """Return the record of every tile of the campaign.

    Raises
    ------
    ArtifactError
        If a tile of the campaign has no committed partition.
    """
    return {tile: campaign.store.record(name, experiment, tile) for tile in campaign.campaign_tiles()}


@dg.asset(
    deps=[
        dg.AssetDep(manifest, partition_mapping=all_tiles_of_one_experiment),
        dg.AssetDep(injected_stamps, partition_mapping=all_tiles_of_one_experiment),
    ],
    partitions_def=experiments,
    kinds={"python", "parquet"},
    **_COMMON,
)
@fails_once
def training_shards(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Shuffled, fixed-size shards per split with the S/N target applied; refuses stamps off the manifest."""
    store, sizes, name = campaign.store, campaign.sizes, context.partition_key
    experiment = get_experiment(name)

    tasks, stamps = (tile_records(campaign, kind, name) for kind in ("manifest", "injected_stamps"))

    def build(staging: Path) -> Built:
        summary = shards.write_shards(
            experiment,
            sizes,
            manifest_records=tasks,
            stamp_records=stamps,
            store=store,
            staging=staging,
        )
        rows = summary.pop("part_rows")
        return Built(rows=rows, summary=summary)

    return build_partition(
        context,
        store,
        "training_shards",
        name,
        build=build,
        config_hash=experiment.dataset_hash(sizes),
        code_version=_CODE,
        inputs={record.key: record.content_hash for record in (*tasks.values(), *stamps.values())},
        schema=shards.stored_schema(experiment.storage).label,
        reuse=campaign.reuse,
        waivers=standing_waivers(upstream=[*tasks.values(), *stamps.values()]),
    )
