"""The lock that consumers hold, through real runs on a persistent instance."""

from dataclasses import replace
from datetime import date

import dagster as dg
import pytest
from enforcement_world import (
    PLAN,
    REASON,
    WritingTrainer,
    make_report,
    place_bank,
    place_report,
    place_shards,
)

from assets.enforcement import REPORT_FILE, check_results, hold_bank, hold_evaluation, standing_waivers
from assets.partitions import experiments
from assets.standing import STANDING_CHECK
from dagster_project.definitions import build_defs
from dagster_project.runner import open_instance
from darkhaloscope.config import Gates
from darkhaloscope.evaluation.anchor_evaluation import RECORD_NAME
from darkhaloscope.gates.registry import DATA_GATES, EVALUATION_GATES
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.hashing import sha256_file
from resources.campaign import Campaign

TODAY = date(2026, 1, 1)


@pytest.fixture
def campaign(tmp_path):
    campaign = Campaign(root=str(tmp_path / "run"))
    place_shards(campaign)
    place_bank(campaign)
    return campaign


def train(campaign, tmp_path) -> tuple[list[str], str]:
    """Launch the training job alone, as a later run would, and say how far it came and why it ended."""
    log = tmp_path / "reached.txt"
    defs = build_defs(resource_overrides={"campaign": campaign, "trainer": WritingTrainer(log=str(log))})
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
        (lambda c: make_report(c, artefact_hash="0" * 64), "Gate report of other training_shards"),
        (lambda c: make_report(c, GateStatus.FAIL), "S2 fail: S2 says so"),
        (lambda c: make_report(c, GateStatus.DEFERRED), "S2 deferred"),
        (lambda c: make_report(c, gates=DATA_GATES[:-1]), f"none for {DATA_GATES[-1]}"),
    ],
    ids=["none", "other-hash", "fail", "deferred", "not-run"],
)
def test_training_is_refused_in_a_later_run_of_it_alone(campaign, tmp_path, verdicts, told):
    if (given := verdicts(campaign)) is not None:
        place_report(campaign, given)
    reached, description = train(campaign, tmp_path)
    assert reached == []
    assert "training_shards/gen6 may not be used" in description
    assert told in description


@pytest.mark.parametrize("checks", [True, False], ids=["with-checks", "lock-alone"])
def test_training_is_refused_in_the_very_run_whose_gates_fail(campaign, tmp_path, checks):
    """The report is made in the run that would train; without its checks the lock holds as well."""

    @dg.asset(partitions_def=experiments)
    def gate_report(context: dg.AssetExecutionContext) -> None:
        place_report(campaign, make_report(campaign, GateStatus.FAIL))

    trainer = WritingTrainer(log=str(tmp_path / "reached.txt"))
    defs = build_defs(resource_overrides={"campaign": campaign, "trainer": trainer})
    others = [asset for asset in defs.assets if asset.key != gate_report.key]
    with open_instance(tmp_path / "dagster") as instance:
        result = dg.materialize(
            [*others, gate_report, *(defs.asset_checks if checks else [])],
            selection=[gate_report.key, dg.AssetKey("checkpoint")],
            partition_key="gen6",
            instance=instance,
            resources=dict(defs.resources),
            raise_on_error=False,
        )
    assert not result.success
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made == {"gate_report"}
    assert not (tmp_path / "reached.txt").exists()
    shut = [e for e in result.get_asset_check_evaluations() if e.blocking and not e.passed]
    assert [e.check_name for e in shut] == (["gates_open"] if checks else [])


def test_open_gates_let_training_start(campaign, tmp_path):
    place_report(campaign, make_report(campaign))
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
    place_report(campaign, make_report(campaign))
    place_bank(campaign, **bank)
    reached, description = train(campaign, tmp_path)
    assert reached == []
    assert "cosmos_bank may not be used" in description
    assert told in description


def test_bank_is_held_with_the_experiments_limits_and_waivers(campaign):
    place_bank(campaign, off_source=0.05)
    override = {"gate": "P4", "name": "max_off_source_flux", "value": 0.1, "reason": REASON}
    waiver = {"gate": "P4", "reason": REASON}
    hold_bank(campaign.store, Gates.model_validate({"overrides": [override]}))
    hold_bank(campaign.store, Gates.model_validate({"waivers": [waiver]}))
    with pytest.raises(dg.Failure, match="P4 fail"):
        hold_bank(campaign.store, Gates())


def test_waiver_opens_until_it_expires(campaign, tmp_path):
    failed = make_report(campaign, GateStatus.FAIL)
    waived = Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON, "expires": "2099-01-01"}]})
    place_report(campaign, failed.with_waivers(waived, date(2026, 1, 1)))
    assert train(campaign, tmp_path)[0] == ["gen6"]
    past = Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON, "expires": "2026-01-02"}]})
    place_report(campaign, failed.with_waivers(past, date(2026, 1, 1)))
    reached, description = train(campaign, tmp_path)
    assert reached == ["gen6"], "the second run must not have reached the trainer"
    assert "waiver expired on 2026-01-02" in description


def test_a_waiver_without_a_reason_opens_nothing(campaign, tmp_path):
    failed = make_report(campaign, GateStatus.FAIL)
    shut = failed.with_waivers(Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON}]}), TODAY)
    blank = tuple(
        replace(one, values={"waiver": {"reason": " ", "expires": None}}) if one.gate == "S2" else one
        for one in shut
    )
    place_report(campaign, replace(shut, results=blank))
    reached, description = train(campaign, tmp_path)
    assert reached == []
    assert "S2 waived without a reason" in description


def test_shards_made_again_need_a_new_report(campaign, tmp_path):
    place_report(campaign, make_report(campaign))
    place_shards(campaign, content="other")
    reached, description = train(campaign, tmp_path)
    assert reached == []
    assert "Gate report of other training_shards" in description


def place_grade(campaign, status=GateStatus.PASS, *, report=True, foreign=False):
    """A grade of gen6 with the verdicts on it."""
    staging = campaign.store.stage("anchor_evaluation", "gen6", plan="p")
    (staging / RECORD_NAME).write_text("{}")
    digest = "0" * 64 if foreign else sha256_file(staging / RECORD_NAME)
    results = tuple(
        GateResult.bind(
            gate,
            Verdict(status if gate in {"A2", "A4"} else GateStatus.PASS, "why", blocking=gate == "A4"),
            artefact_hash=digest,
            seconds=0.1,
        )
        for gate in EVALUATION_GATES
    )
    if report:
        made = GateReport("gen6", "c", "anchor_evaluation", digest, results)
        (staging / REPORT_FILE).write_text(made.to_json())
    return campaign.store.commit("anchor_evaluation", "gen6", staging=staging, schema="", **PLAN)


@pytest.mark.parametrize(
    ("grade", "told"),
    [
        ({"status": GateStatus.FAIL}, "A4 fail: why"),
        ({"status": GateStatus.DEFERRED}, "A4 deferred"),
        ({"report": False}, "No gate report"),
        ({"foreign": True}, "Gate report of other anchor_evaluation"),
    ],
    ids=["fail", "deferred", "none", "other-hash"],
)
def test_no_comparison_and_no_map_is_made_of_a_grade_that_claims_too_much(campaign, tmp_path, grade, told):
    place_grade(campaign, **grade)
    defs = build_defs(resource_overrides={"campaign": campaign})
    with open_instance(tmp_path / "dagster") as instance:
        result = defs.resolve_job_def("compare").execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    description = failure.step_failure_data.user_failure_data.description
    assert "anchor_evaluation/gen6 may not be used" in description
    assert told in description
    assert not campaign.store.has("model_comparison")
    with pytest.raises(dg.Failure, match="may not be used"):
        hold_evaluation(campaign.store, campaign.store.record("anchor_evaluation", "gen6"))


def test_a_gate_that_only_informs_does_not_lock_and_is_a_warning(campaign, tmp_path):
    record = place_grade(campaign)
    report = hold_evaluation(campaign.store, record)
    informs = replace(report.results[0], status=GateStatus.FAIL)
    assert informs.gate == "A2"
    (face,) = check_results(replace(report, results=(informs,)), tmp_path)
    assert not face.passed
    assert face.severity is dg.AssetCheckSeverity.WARN


def test_checkpoint_says_in_metadata_which_waivers_it_rests_on(campaign, tmp_path):
    """Also those of what it was made from; and a waiver that goes makes another plan."""
    waived = Gates.model_validate({"waivers": [{"gate": "S2", "reason": REASON, "expires": "2099-01-01"}]})
    place_report(campaign, make_report(campaign, GateStatus.FAIL).with_waivers(waived, TODAY))
    train(campaign, tmp_path)
    with open_instance(tmp_path / "dagster") as instance:
        made = instance.get_latest_materialization_event(dg.AssetKey("checkpoint")).asset_materialization
    assert made.metadata["waived"].value == 1
    assert made.metadata["waived_gates"].value == "S2"
    (told,) = made.metadata["waivers"].value
    assert (told["gate"], told["artefact"], told["reason"]) == ("S2", "training_shards", REASON)
    assert (told["expires"], told["status_before"]) == ("2099-01-01", "fail")
    record = campaign.store.record("checkpoint", "gen6")
    assert standing_waivers(upstream=[record, record]) == [told], "inherited, once"
    assert "waivers" in record.inputs
    place_report(campaign, make_report(campaign))
    train(campaign, tmp_path)
    assert campaign.store.record("checkpoint", "gen6").summary["waived"] == 0


def test_an_artefact_made_without_its_report_shows_no_verdict_on_other_bytes(campaign, tmp_path):
    """A person, or a backfill, may ask for the checkpoint alone; its old verdicts are not its own."""
    place_report(campaign, make_report(campaign))
    old = GateReport("gen6", "c", "checkpoint", "0" * 64, ())
    staging = campaign.store.stage("model_gate_report", "gen6", plan="p")
    (staging / REPORT_FILE).write_text(old.to_json())
    campaign.store.commit("model_gate_report", "gen6", staging=staging, schema="", **PLAN)
    trainer = WritingTrainer(log=str(tmp_path / "reached.txt"))
    defs = build_defs(resource_overrides={"campaign": campaign, "trainer": trainer})
    with open_instance(tmp_path / "dagster") as instance:
        result = dg.materialize(
            [*defs.assets, *defs.asset_checks],
            selection=[dg.AssetKey("checkpoint")],
            partition_key="gen6",
            instance=instance,
            resources=dict(defs.resources),
        )
        faces = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert result.success
    assert {"B1", "B2"} <= set(faces)
    faces.pop(STANDING_CHECK)
    assert not any(face.passed for face in faces.values())
    assert faces["B1"].description.startswith("not judged")


def test_face_of_a_failed_gate_is_an_error_and_of_a_waived_one_a_warning(campaign, tmp_path):
    failed = make_report(campaign, GateStatus.FAIL)
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
    face = check_results(make_report(campaign), tmp_path)[0]
    assert face.metadata["value"].value == pytest.approx(0.7)
    assert face.metadata["n"].value == 50
    assert {"status", "reason", "threshold_source", "artefact_hash", "seconds"} <= set(face.metadata)
