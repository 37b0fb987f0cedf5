import subprocess

import dagster as dg
import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import DataError, EngineError
from darkhaloscope.training.request import TrainRequest
from resources import trainer as trainer_module
from resources.trainer import LocalTrainer


def materialise(request: TrainRequest) -> tuple[dict, list[str]]:
    """Run the trainer inside a real asset; return its result and the run's log lines."""
    results = []

    @dg.asset
    def weights(context: dg.AssetExecutionContext, trainer: LocalTrainer) -> dg.MaterializeResult:
        results.append(trainer.train(context, request))
        return dg.MaterializeResult(metadata={"epochs": len(results[0]["history"])})

    trainer = LocalTrainer(threads=1, device="cpu")
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([weights], resources={"trainer": trainer}, instance=instance)
        assert len(run.asset_materializations_for_node("weights")) == 1
        return results[0], [entry.user_message for entry in instance.all_logs(run.run_id)]


def test_trains_in_a_subprocess_and_reports_every_epoch(tmp_path):
    shards = synthetic.write_shards(tmp_path / "shards", train=32, val=16)
    request = synthetic.request(shards, tmp_path / "out", threads=2)
    result, lines = materialise(request)
    assert result["threads"] == 1, "the trainer's own thread count decides"
    assert [epoch["epoch"] for epoch in result["history"]] == [1, 2]
    assert sum(line.startswith(("epoch 1 of 2: ", "epoch 2 of 2: ")) for line in lines) == 2
    assert (tmp_path / "out" / "checkpoint.pt").is_file()


def test_the_typed_error_of_the_training_crosses_the_process(tmp_path):
    shards = synthetic.write_shards(tmp_path / "shards", train=32, val=16)
    request = synthetic.request(shards[:2], tmp_path / "out")
    with pytest.raises(DataError, match=r"Split has no shards .*val"):
        materialise(request)


def test_a_lost_process_is_an_engine_error(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module.sys, "executable", "/bin/false")
    shards = synthetic.write_shards(tmp_path / "shards", train=4, val=4)
    with pytest.raises(EngineError, match=r"Training process was lost.*exit status 1"):
        materialise(synthetic.request(shards, tmp_path / "out"))


def test_no_process_outlives_a_cancelled_run(tmp_path, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            if self not in started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(trainer_module.subprocess, "Popen", Interrupted)
    shards = synthetic.write_shards(tmp_path / "shards", train=4, val=4)
    with pytest.raises(KeyboardInterrupt):
        materialise(synthetic.request(shards, tmp_path / "out"))
    assert started[0].returncode is not None
