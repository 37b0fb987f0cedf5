"""A store with hand-placed artefacts and verdicts, for tests of who may use what.

The artefacts are committed by the real store; their bytes mean nothing, only
their hashes and the reports keyed to them do.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from assets.enforcement import REPORT_FILE
from darkhaloscope.gates.physics.bank import judge_bank
from darkhaloscope.gates.registry import DATA_GATES
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.hashing import sha256_file
from resources.campaign import Campaign

PLAN = {"config_hash": "c", "code_version": "v", "inputs": {}}
REASON = "kept as the baseline that every comparison needs"


class WritingTrainer(dg.ConfigurableResource):
    """Writes a line to a log, and weights that are none: what is tested is who reaches it."""

    log: str

    def train(self, context, request):
        with Path(self.log).open("a") as handle:
            handle.write(context.partition_key + "\n")
        (Path(request.output_dir) / "checkpoint.pt").write_bytes(context.partition_key.encode())
        return {"best_epoch": 1}


def place_shards(campaign: Campaign, experiment: str = "gen6", content: str = "") -> None:
    """Training shards of an experiment."""
    staging = campaign.store.stage("training_shards", experiment, plan="p")
    for split in ("train", "val", "test"):
        (staging / f"{split}-00000.parquet").write_bytes((content + split).encode())
    campaign.store.commit("training_shards", experiment, staging=staging, schema="", **PLAN)


def place_bank(campaign: Campaign, off_source: float = 0.0, *, report: bool = True) -> None:
    """A bank with its verdict; only the measurement matters to those who hold it."""
    staging = campaign.store.stage("cosmos_bank", plan="p")
    (staging / "bank.h5").write_bytes(b"templates")
    around = {"lower": 0.0, "upper": 1.0, "n": 50}
    measured = {
        "galaxies": 50,
        "unmeasurable": 0,
        "off_source": {**around, "value": off_source, "lower": off_source},
        **{name: {**around, "value": 0.0} for name in ("negative", "squared_log_hlr_ratio", "roughness")},
        **dict.fromkeys(("without_negative_pixels", "outside_filter", "below_snr"), 0),
        "duplicate_pixels": [],
        "duplicate_positions": [],
        "hlr_limits_arcsec": [0.1, 1.0],
        "min_snr": 30.0,
    }
    digest = sha256_file(staging / "bank.h5")
    verdict = judge_bank(measured, Thresholds())
    result = GateResult.bind("P4", verdict, artefact_hash=digest, seconds=0.1)
    if report:
        made = GateReport("bank", "c", "cosmos_bank", digest, (result,))
        (staging / REPORT_FILE).write_text(made.to_json())
    campaign.store.commit("cosmos_bank", staging=staging, schema="", **PLAN)


def make_report(
    campaign: Campaign,
    status: GateStatus = GateStatus.PASS,
    artefact_hash: str | None = None,
    gates: tuple[str, ...] = DATA_GATES,
    experiment: str = "gen6",
) -> GateReport:
    """Verdicts on the shards in which S2 has a status and the others pass."""
    judged = artefact_hash or campaign.store.record("training_shards", experiment).content_hash
    results = tuple(
        GateResult.bind(
            gate,
            Verdict(
                status if gate == "S2" else GateStatus.PASS, f"{gate} says so", value=0.7, n_effective=50
            ),
            artefact_hash=judged,
            seconds=0.1,
        )
        for gate in gates
    )
    return GateReport(experiment, "c", "training_shards", judged, results)


def place_report(campaign: Campaign, verdicts: GateReport) -> None:
    """Commit a report as the gate report of its experiment."""
    staging = campaign.store.stage("gate_report", verdicts.experiment, plan="p")
    (staging / REPORT_FILE).write_text(verdicts.to_json())
    campaign.store.commit("gate_report", verdicts.experiment, staging=staging, schema="", **PLAN)
