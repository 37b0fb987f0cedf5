"""The bank of source galaxies that experiments lens, with the gate that judges it."""

import os
from pathlib import Path

import dagster as dg

from assets.building import OWNER, Built, build_partition, fails_once
from assets.enforcement import BANK_FILE, check_results, read_report
from darkhaloscope.gates.physics.bank import run_bank_gates
from darkhaloscope.gates.registry import COSMOS_BANK, GATES
from darkhaloscope.hashing import code_version, hash_json, sha256_file
from darkhaloscope.reports import figures_bank
from darkhaloscope.reports.gates import write_gate_report
from darkhaloscope.sources import bank
from resources.campaign import Campaign

_CODE = code_version("darkhaloscope.sources", "darkhaloscope.gates.physics.bank")
BANK_SEED = 1
_MAX_WORKERS = 8


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
            workers=min(_MAX_WORKERS, os.cpu_count() or 1),
        )
        report = run_bank_gates(
            staging / BANK_FILE, artefact_hash=sha256_file(staging / BANK_FILE), figures_dir=staging
        )
        write_gate_report(report, staging)
        figures_bank.contact_sheet(staging / BANK_FILE, staging / "contact_sheet.png")
        return Built(rows={BANK_FILE: summary["galaxies"]}, summary=summary, pictures=["contact_sheet.png"])

    return build_partition(
        context,
        campaign.store,
        COSMOS_BANK,
        build=build,
        config_hash=hash_json([sizes.bank_galaxies, BANK_SEED]),
        code_version=_CODE,
        inputs=bank.input_hashes(campaign.cosmos_path),
        reuse=campaign.reuse,
    )


@dg.asset_check(asset=cosmos_bank, name="P4", blocking=True, description=GATES["P4"].question)
def galaxies_not_noise(campaign: Campaign) -> dg.AssetCheckResult:
    """Show the verdict on the bank."""
    report = read_report(campaign.store, COSMOS_BANK)
    if report is None:
        raise dg.Failure("no verdict on the source bank: materialise cosmos_bank", allow_retries=False)
    return check_results(report, campaign.store.directory(COSMOS_BANK))[0]
