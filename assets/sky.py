"""The sky as the survey gives it: footprint, parent galaxies, host cutouts.

Every experiment reads its hosts from here; nothing downstream opens a coadd,
but for the anchors, which are cut by the same reader.
"""

from pathlib import Path

import dagster as dg
import pyarrow.compute as pc

from assets.building import OWNER, Built, build_partition, fails_once, value_counts
from assets.experiments import EXPERIMENT_NAMES, get_experiment
from assets.partitions import TILE_PARTITIONS_NAME, tiles
from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.config import Split
from darkhaloscope.hashing import code_version, hash_json
from darkhaloscope.reports import figures, figures_sky, stamps_rgb
from darkhaloscope.schema import BRICKS, HOSTS, PARENTS, SELECTIONS, SKY_SPLITS
from darkhaloscope.survey import bricks as survey_bricks
from darkhaloscope.survey import coverage, split_files
from darkhaloscope.survey import hosts as survey_hosts
from darkhaloscope.survey import inputs as survey_inputs
from darkhaloscope.survey import parents as survey_parents
from darkhaloscope.survey.release import get_release
from darkhaloscope.survey.roots import open_root
from darkhaloscope.survey.tiles import SplitMap
from resources.campaign import Campaign
from resources.compute import Compute

_CODE = code_version(
    "darkhaloscope.survey", "darkhaloscope.schema", "darkhaloscope.tabular", "darkhaloscope.parquet"
)
_COMMON = {"group_name": "sky", "owners": [OWNER], "code_version": _CODE}


@dg.asset(kinds={"python", "fits", "parquet"}, **_COMMON)
@fails_once
def footprint(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Bricks of the survey root with seeing, depth and what is missing; registers the tiles."""
    release = get_release(campaign.release)

    def build(staging: Path) -> Built:
        table = survey_bricks.read_footprint(campaign.survey, release)
        part = tabular.write_table(staging / "bricks.parquet", BRICKS, table)
        figures.footprint_map(table, staging / "footprint.png")
        usable = table.filter(pc.equal(table["status"], survey_bricks.OK))
        return Built(
            rows={part.path: part.rows},
            summary={
                "tiles": sorted(set(usable["tile"].to_pylist())),
                "bricks_ok": usable.num_rows,
                "bricks": survey_bricks.status_counts(table),
                "area_deg2": float(sum(usable["area_deg2"].to_pylist())),
                **coverage.footprint_summary(
                    coverage.tile_coverage(open_root(campaign.survey), release, table)
                ),
            },
            pictures=["footprint.png"],
        )

    result = build_partition(
        context,
        campaign.store,
        "footprint",
        build=build,
        config_hash=hash_json([campaign.release]),
        code_version=_CODE,
        inputs={
            **survey_inputs.table_hashes(campaign.survey, release),
            **survey_inputs.sweep_hash(campaign.survey, release),
        },
        schema=BRICKS.label,
        reuse=campaign.reuse,
    )
    context.instance.add_dynamic_partitions(
        TILE_PARTITIONS_NAME, campaign.store.record("footprint").summary["tiles"]
    )
    return result


@dg.asset(deps=[footprint], kinds={"python", "parquet"}, **_COMMON)
@fails_once
def sky_splits(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Split of every sky cell, one map per way of dividing; a published cell never changes sides."""
    store, source = campaign.store, campaign.store.record("footprint")
    ways = [Split(), *(get_experiment(name).split for name in EXPERIMENT_NAMES)]

    def build(staging: Path) -> Built:
        bricks = tabular.read_table(store.paths(source, ".parquet"))
        published = []
        if store.has("sky_splits"):
            previous = store.record("sky_splits")
            # A damaged map is an error: dealt again, it would move galaxies between splits.
            store.verify(previous)
            published = store.paths(previous, ".parquet")
        built = Built()
        for one in split_files.publish_splits(bricks, ways, published, staging):
            picture = f"{Path(one.part.path).stem}.png"
            figures_sky.split_figure(one.splits, bricks, staging / picture)
            built.rows[one.part.path] = one.part.rows
            built.pictures.append(picture)
            built.summary[one.part.path] = {"new_cells": one.new_cells, "shares": one.splits.shares()}
        return built

    return build_partition(
        context,
        store,
        "sky_splits",
        build=build,
        config_hash=hash_json([way.model_dump() for way in ways]),
        code_version=_CODE,
        inputs={"footprint": source.content_hash},
        schema=SKY_SPLITS.label,
        reuse=campaign.reuse,
    )


def published_splits(store: ArtifactStore, split: Split) -> tuple[SplitMap, dict[str, str]]:
    """Return the published map of a way of dividing the sky, and the input hash that names it."""
    record = store.record("sky_splits")
    name = split_files.split_file(split)
    splits = split_files.read_splits(store.paths(record, ".parquet"), split)
    return splits, {f"sky_splits/{name}": next(p.sha256 for p in record.parts if p.path == name)}


@dg.asset(
    deps=[footprint, "anchor_catalog"],
    partitions_def=tiles,
    kinds={"python", "fits", "parquet"},
    **_COMMON,
)
@fails_once
def lrg_parents(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Parent galaxies of a tile from the sweeps, with every flag and reason; lost sweeps are counted."""
    release, store, tile = get_release(campaign.release), campaign.store, context.partition_key
    source, known = store.record("footprint"), store.record("anchor_catalog")
    bricks = survey_parents.bricks_of_tile(tabular.read_table(store.paths(source, ".parquet")), tile)

    def build(staging: Path) -> Built:
        parents = survey_parents.select_parents(
            campaign.survey,
            release,
            tile,
            bricks,
            tabular.read_table(store.paths(known, ".parquet"), ["ra", "dec"]),
        )
        table = parents.table
        if parents.coverage.lost:
            context.log.warning(
                f"tile {tile} is incomplete: {parents.coverage.area_lost_deg2:.3f} of "
                f"{parents.coverage.area_deg2:.3f} deg2 lost with "
                f"{[f'{sweep.name} ({sweep.status})' for sweep in parents.coverage.lost]}"
            )
        part = tabular.write_table(staging / "parents.parquet", PARENTS, table)
        return Built(
            rows={part.path: part.rows},
            summary={
                **parents.coverage.as_dict(),
                **parents.redshifts.as_dict(),
                "rejected": value_counts(table["reject_reason"]),
                "selected": {
                    name: int(pc.sum(table[name]).as_py() or 0)
                    for name in table.column_names
                    if name.startswith("is_")
                },
            },
        )

    return build_partition(
        context,
        store,
        "lrg_parents",
        tile,
        build=build,
        config_hash=hash_json([campaign.release, tile]),
        code_version=_CODE,
        inputs={
            "footprint": source.content_hash,
            "anchor_catalog": known.content_hash,
            **survey_inputs.sweep_hash(campaign.survey, release, coverage.box_of(bricks)),
            **survey_inputs.photo_z_hash(campaign.survey, release, coverage.box_of(bricks)),
        },
        schema=PARENTS.label,
        reuse=campaign.reuse,
    )


@dg.asset(deps=[lrg_parents, footprint], partitions_def=tiles, kinds={"python", "fits", "parquet"}, **_COMMON)
@fails_once
def host_cutouts(
    context: dg.AssetExecutionContext, campaign: Campaign, compute: dg.ResourceParam[Compute]
) -> dg.MaterializeResult:
    """One row per host galaxy of a tile: native pixels, invvar, mask and PSF, cut once from the coadds."""
    store, sizes, tile = campaign.store, campaign.sizes, context.partition_key
    parents, bricks = store.record("lrg_parents", tile), store.record("footprint")

    def build(staging: Path) -> Built:
        units = survey_hosts.plan_host_units(
            tabular.read_table(store.paths(parents, ".parquet")),
            tabular.read_table(store.paths(bricks, ".parquet")),
            survey_root=campaign.survey,
            release=get_release(campaign.release),
            size_px=sizes.host_stamp_px,
            staging=staging,
            unit_hosts=sizes.unit_hosts,
            profile_max_hosts=sizes.max_hosts_per_tile,
            selections=campaign.host_selections or SELECTIONS,
        )
        results = compute.map(survey_hosts.UNIT_FUNCTION, units, label=f"cut hosts of tile {tile} [units]")
        built = Built.from_units(results)
        stamps_rgb.host_sheet([staging / path for path in built.rows], staging / "hosts.png")
        built.pictures.append("hosts.png")
        return built

    return build_partition(
        context,
        store,
        "host_cutouts",
        tile,
        build=build,
        config_hash=hash_json(
            [
                campaign.release,
                tile,
                sizes.host_stamp_px,
                sizes.unit_hosts,
                sizes.max_hosts_per_tile,
                sorted(campaign.host_selections),
            ]
        ),
        code_version=_CODE,
        inputs={"lrg_parents": parents.content_hash, "footprint": bricks.content_hash},
        schema=HOSTS.label,
        reuse=campaign.reuse,
    )
