"""Real objects: the catalogue of known lenses and look-alikes, and their stamps."""

from pathlib import Path

import dagster as dg

from assets.building import OWNER, Built, build_partition
from assets.sky import footprint
from darkhaloscope import tabular
from darkhaloscope.evaluation import anchors
from darkhaloscope.hashing import code_version, hash_json, sha256_file
from darkhaloscope.schema import ANCHORS
from darkhaloscope.survey.release import get_release
from resources.campaign import Campaign

_CODE = code_version("darkhaloscope.evaluation", "darkhaloscope.gates.anchors", "darkhaloscope.survey")
_COMMON = {"group_name": "evaluation", "owners": [OWNER], "code_version": _CODE}
A1 = "A1"


@dg.asset(deps=[footprint], kinds={"python", "csv", "parquet"}, **_COMMON)
def anchor_catalog(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Known lenses and look-alikes with provenance, discovery method and what each may be used for."""
    store = campaign.store
    bricks = store.record("footprint")

    def build(staging: Path) -> Built:
        table = anchors.read_anchor_catalog(
            campaign.anchor_path,
            release=get_release(campaign.release),
            bricks=tabular.read_table(store.paths(bricks, ".parquet")),
        )
        part = tabular.write_table(staging / "anchors.parquet", ANCHORS, table)
        return Built(rows={part.path: part.rows}, summary=anchors.summarise(table))

    return build_partition(
        context,
        store,
        "anchor_catalog",
        build=build,
        config_hash=hash_json([campaign.release]),
        code_version=_CODE,
        inputs={"catalog": sha256_file(campaign.anchor_path), "footprint": bricks.content_hash},
        schema=ANCHORS.label,
        reuse=campaign.reuse,
    )
