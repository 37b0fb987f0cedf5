"""The bank of source galaxies that experiments lens."""

from pathlib import Path

import dagster as dg

from assets.building import OWNER, Built, build_partition, fails_once
from darkhaloscope.hashing import code_version, hash_json
from darkhaloscope.reports import figures_bank
from darkhaloscope.sources import bank
from resources.campaign import Campaign

_CODE = code_version("darkhaloscope.sources")
BANK_FILE = "bank.h5"
BANK_SEED = 1


@dg.asset(
    group_name="sources",
    owners=[OWNER],
    code_version=_CODE,
    kinds={"python", "fits", "hdf5"},
)
@fails_once
def cosmos_bank(context: dg.AssetExecutionContext, campaign: Campaign) -> dg.MaterializeResult:
    """Masked, background-subtracted templates of real galaxies with their catalogue truth and a split."""
    sizes = campaign.sizes

    def build(staging: Path) -> Built:
        summary = bank.build_bank(
            campaign.cosmos_path,
            staging / BANK_FILE,
            max_galaxies=sizes.bank_galaxies,
            seed=BANK_SEED,
        )
        figures_bank.contact_sheet(staging / BANK_FILE, staging / "contact_sheet.png")
        return Built(rows={BANK_FILE: summary["galaxies"]}, summary=summary, pictures=["contact_sheet.png"])

    return build_partition(
        context,
        campaign.store,
        "cosmos_bank",
        build=build,
        config_hash=hash_json([sizes.bank_galaxies, BANK_SEED]),
        code_version=_CODE,
        inputs=bank.input_hashes(campaign.cosmos_path),
        reuse=campaign.reuse,
    )
