"""The lock that consumers hold, through real runs on a persistent instance."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from assets.enforcement import REPORT_FILE, check_results, hold_bank
from dagster_project.definitions import build_defs
from dagster_project.runner import open_instance
from darkhaloscope.config import Gates
from darkhaloscope.gates.physics.bank import judge_bank
from darkhaloscope.gates.registry import DATA_GATES
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.hashing import sha256_file
from resources.campaign import Campaign

PLAN = {"config_hash": "c", "code_version": "v", "inputs": {}}
REASON = "kept as the baseline that every comparison needs"


class RecordingTrainer(dg.ConfigurableResource):
    """Says that it was reached; these tests are about what happens before it."""

    log: str

    def train(self, context, _request):
        with Path(self.log).open("a") as handle:
            handle.write(context.partition_key + "\n")
        raise dg.Failure("trainer reached", allow_retries=False)


@pytest.fixture
def campaign(tmp_path):
    campaign = Campaign(root=str(tmp_path / "run"))
    staging = campaign.store.stage("training_shards", "gen6", plan="p")
    for split in ("train", "val", "test"):
        (staging / f"{split}-00000.parquet").write_bytes(split.encode())
    campaign.store.commit("training_shards", "gen6", staging=staging, schema="", **PLAN)
    write_bank(campaign)
    return campaign


def write_bank(campaign, off_source: float = 0.0, *, report: bool = True) -> None:
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


def report(campaign, status=GateStatus.PASS, artefact_hash=None, gates=DATA_GATES) -> GateReport:
    judged = artefact_hash or campaign.store.record("training_shards", "gen6").content_hash
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
    return GateReport("gen6", "c", "training_shards", judged, results)


def write(campaign, verdicts: GateReport) -> None:
    staging = campaign.store.stage("gate_report", "gen6", plan="p")
    (staging / REPORT_FILE).write_text(verdicts.to_json())
    campaign.store.commit("gate_report", "gen6", staging=staging, schema="", **PLAN)


def train(campaign, tmp_path) -> tuple[list[str], str]:
    """Launch the training job alone, as a later run would, and say how far it came and why it ended."""
    log = tmp_path / "reached.txt"
    defs = build_defs(resource_overrides={"campaign": campaign, "trainer": RecordingTrainer(log=str(log))})
    with open_instance(tmp_path / "dagster") as instance:
        result = defs.resolve_job_def("train").execute_in_process(
            instance=instance, partition_key="gen6", raise_on_error=False
        )
    assert not result.success
    failures = [event for event in result.all_events if event.is_step_failure]
    told = failures[0].step_failure_data.user_failure_data.description
    return (log.read_text().split() if log.exists() else []), told


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (lambda _: None, "No gate report"),
        (lambda c: report(c, artefact_hash="0" * 64), "Gate report of other training_shards"),
        (lambda c: report(c, GateStatus.FAIL), "S2 fail: S2 says so"),
        (lambda c: report(c, GateStatus.DEFERRED), "S2 deferred"),
        (lambda c: report(c, gates=DATA_GATES[:-1]), f"none for {DATA_GATES[-1]}"),
    ],
    ids=["none", "other-hash", "fail", "deferred", "not-run"],
)
def test_training_is_refused_in_a_later_run_of_it_alone(campaign, tmp_path, verdicts, told):
    if (given := verdicts(campaign)) is not None:
        write(campaign, given)
    reached, description = train(campaign, tmp_path)
    assert reached == []
    assert "training_shards/gen6 may not be used" in description
    assert told in description


def test_open_gates_let_training_start(campaign, tmp_path):
    write(campaign, report(campaign))
    assert train(campaign, tmp_path)[0] == ["gen6"]


@pytest.mark.parametrize(
    ("bank", "told"),
    [
        ({"off_source": 0.3}, "P4 fail: 30.0% of the light lies outside the galaxies"),
        ({"report": False}, "No gate report"),
    ],
    ids=["fail", "none"],
)
def test_training_is_refused_on_a_bank_of_noise(campaign, tmp_path, bank, told):
    write(campaign, report(campaign))
    write_bank(campaign, **bank)
    reached, description = train(campaign, tmp_path)
    assert reached == []
    assert "cosmos_bank may not be used" in description
    assert told in description


def test_bank_is_held_with_the_experiments_limits_and_waivers(campaign):
    write_bank(campaign, off_source=0.05)
    override = {"gate": "P4", "name": "max_off_source_flux", "value": 0.1, "reason": REASON}
    waiver = {"gate": "P4", "reason": REASON}
    hold_bank(campaign.store, Gates.model_validate({"overrides": [override]}))
    hold_bank(campaign.store, Gates.model_validate({"waivers": [waiver]}))
    with pytest.raises(dg.Failure, match="P4 fail"):
        hold_bank(campaign.store, Gates())


def test_waiver_opens_until_it_expires(campaign, tmp_path):
    failed = report(campaign, GateStatus.FAIL)
    waived = Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON, "expires": "2099-01-01"}]})
    write(campaign, failed.with_waivers(waived, date(2026, 1, 1)))
    assert train(campaign, tmp_path)[0] == ["gen6"]
    past = Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON, "expires": "2026-01-02"}]})
    write(campaign, failed.with_waivers(past, date(2026, 1, 1)))
    reached, description = train(campaign, tmp_path)
    assert reached == ["gen6"], "the second run must not have reached the trainer"
    assert "waiver expired on 2026-01-02" in description


def test_face_of_a_failed_gate_is_an_error_and_of_a_waived_one_a_warning(campaign, tmp_path):
    failed = report(campaign, GateStatus.FAIL)
    by_name = {r.check_name: r for r in check_results(failed, tmp_path)}
    assert list(by_name) == list(DATA_GATES)
    assert not by_name["S2"].passed
    assert by_name["S2"].severity is dg.AssetCheckSeverity.ERROR
    assert by_name["S2"].asset_key == dg.AssetKey("training_shards")
    assert by_name["Q1"].passed
    gates = Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON}]})
    waived = {r.check_name: r for r in check_results(failed.with_waivers(gates, date(2026, 1, 1)), tmp_path)}
    assert not waived["S2"].passed
    assert waived["S2"].severity is dg.AssetCheckSeverity.WARN
    assert waived["S2"].metadata["waiver"].value == REASON


def test_face_has_numbers_under_stable_keys(campaign, tmp_path):
    face = check_results(report(campaign), tmp_path)[0]
    assert face.metadata["value"].value == pytest.approx(0.7)
    assert face.metadata["n"].value == 50
    assert {"status", "reason", "threshold_source", "artefact_hash", "seconds"} <= set(face.metadata)
