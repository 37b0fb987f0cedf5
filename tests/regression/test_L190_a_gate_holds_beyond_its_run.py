"""L190: a blocking check gates one run only; the verdict in the consumer's hand gates every run.

The backfill by the daemon is in ``tests/dagster_project/test_enforcement_backfill.py``.
"""

import dagster as dg
from enforcement_world import WritingTrainer, make_report, place_bank, place_report, place_shards

from assets.partitions import experiments
from dagster_project.definitions import build_defs
from dagster_project.runner import open_instance
from darkhaloscope.gates.result import GateStatus
from resources.campaign import Campaign

CHECKPOINT = dg.AssetKey("checkpoint")


def test_a_shut_gate_holds_in_every_later_run_of_the_downstream_alone(tmp_path):
    campaign = Campaign(root=str(tmp_path / "run"))
    place_bank(campaign)
    place_shards(campaign)
    place_report(campaign, make_report(campaign, GateStatus.FAIL))
    trainer = WritingTrainer(log=str(tmp_path / "reached.txt"))
    job = build_defs(resource_overrides={"campaign": campaign, "trainer": trainer}).resolve_job_def("train")
    with open_instance(tmp_path / "dagster") as instance:
        for _ in range(2):
            run = job.execute_in_process(instance=instance, partition_key="gen6", raise_on_error=False)
            assert not run.success
        assert not run.asset_materializations_for_node("checkpoint")
        statuses = instance.get_status_by_partition(CHECKPOINT, ["gen6"], experiments)
    assert statuses == {"gen6": dg.AssetPartitionStatus.FAILED}
    assert not (tmp_path / "reached.txt").exists()
    assert not campaign.store.has("checkpoint", "gen6")
