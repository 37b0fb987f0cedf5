"""Real objects: the catalogue of known lenses and look-alikes, and their stamps."""

from pathlib import Path

import dagster as dg

from assets.building import OWNER, Built, build_partition, fails_once, value_counts
from assets.enforcement import check_results, read_report
from assets.sky import footprint, published_splits, sky_splits
from darkhaloscope import tabular
from darkhaloscope.config import Split
from darkhaloscope.evaluation import anchor_stamps as stamps
from darkhaloscope.evaluation import anchors
from darkhaloscope.gates.anchors.pointing import run_anchor_gates
from darkhaloscope.gates.registry import GATES
from darkhaloscope.hashing import code_version, hash_json, sha256_file
from darkhaloscope.reports import stamps_rgb
from darkhaloscope.reports.gates import write_gate_report
from darkhaloscope.schema import ANCHOR_STAMPS, ANCHORS
from darkhaloscope.survey.release import get_release
from resources.campaign import Campaign

_CODE = code_version(
    "darkhaloscope.evaluation", "darkhaloscope.gates.anchors.pointing", "darkhaloscope.survey"
)
_COMMON = {"group_name": "evaluation", "owners": [OWNER], "code_version": _CODE}


@dg.asset(deps=[sky_splits], kinds={"python", "csv", "parquet"}, **_COMMON)
@fails_once
def anchor_catalog(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Known lenses and look-alikes with provenance, discovery method and what each may be used for."""
    store = campaign.store
    splits, split_input = published_splits(store, Split())

    def build(staging: Path) -> Built:
        table = anchors.read_anchor_catalog(
            campaign.anchor_path,
            release=get_release(campaign.release),
            splits=splits,
        )
        part = tabular.write_table(staging / "anchors.parquet", ANCHORS, table)
        return Built(
            rows={part.path: part.rows},
            summary={"use": value_counts(table["use"]), "excluded": anchors.exclusion_counts(table)},
        )

    return build_partition(
        context,
        store,
        "anchor_catalog",
        build=build,
        config_hash=hash_json([campaign.release]),
        code_version=_CODE,
        inputs={"catalog": sha256_file(campaign.anchor_path), **split_input},
        schema=ANCHORS.label,
        reuse=campaign.reuse,
    )


@dg.asset(deps=[anchor_catalog, footprint], kinds={"python", "fits", "parquet"}, **_COMMON)
@fails_once
def anchor_stamps(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Cutouts of the real objects with the verdict of the pointing gate on each of them."""
    store, sizes, release = campaign.store, campaign.sizes, get_release(campaign.release)
    catalog, bricks = store.record("anchor_catalog"), store.record("footprint")

    def build(staging: Path) -> Built:
        table = stamps.cut_anchor_stamps(
            tabular.read_table(store.paths(catalog, ".parquet")),
            tabular.read_table(store.paths(bricks, ".parquet")),
            survey_root=campaign.survey,
            release=release,
            size_px=sizes.stamp_px,
        )
        part = tabular.write_table(staging / "anchor_stamps.parquet", ANCHOR_STAMPS, table)
        report = run_anchor_gates(table, release=release, artefact_hash=part.sha256, figures_dir=staging)
        write_gate_report(report, staging)
        stamps_rgb.anchor_sheet(table, staging / "anchors.png")
        return Built(
            rows={part.path: part.rows},
            summary=stamps.summarise(table),
            pictures=["anchors.png"],
        )

    return build_partition(
        context,
        store,
        "anchor_stamps",
        build=build,
        config_hash=hash_json([campaign.release, sizes.stamp_px]),
        code_version=_CODE,
        inputs={record.name: record.content_hash for record in (catalog, bricks)},
        schema=ANCHOR_STAMPS.label,
        reuse=campaign.reuse,
    )


@dg.asset_check(asset=anchor_stamps, name="A1", blocking=True, description=GATES["A1"].question)
def pointing(campaign: Campaign) -> dg.AssetCheckResult:
    """Show the verdict of the pointing gate."""
    report = read_report(campaign.store, "anchor_stamps")
    if report is None:
        raise dg.Failure("no verdict on the anchors: materialise anchor_stamps", allow_retries=False)
    return check_results(report, campaign.store.directory("anchor_stamps"))[0]
