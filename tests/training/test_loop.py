import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import synthetic_stamps as synthetic
import torch

from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.errors import DataError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.schema import QUANTISED
from darkhaloscope.stamps.quantise import quantised
from darkhaloscope.tabular import read_table, write_table
from darkhaloscope.training import loop
from darkhaloscope.training.checkpoint import load_checkpoint, load_tensors
from darkhaloscope.training.loop import train
from darkhaloscope.training.models import build_model


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def kill_after(epochs: int):
    def on_epoch(record: dict) -> None:
        if record["epoch"] == epochs:
            raise Killed

    return on_epoch


def test_it_learns_and_says_so_with_an_interval(trained):
    metrics = trained[1]["metrics"]
    assert metrics["auc"]["lower"] > 0.6
    assert metrics["auc"]["n"] == 32
    losses = [epoch["train_loss"] for epoch in trained[1]["history"]]
    assert losses[-1] < losses[0]


def test_it_learns_the_same_from_quantised_shards(trained, shards, tmp_path):
    counted = [tmp_path / path.name for path in shards]
    for path, stored in zip(shards, counted, strict=True):
        write_table(stored, QUANTISED, quantised(read_table(path), 32.0))
    output = tmp_path / "trained"
    result = train(synthetic.request(counted, output, epochs=3, training={"learning_rate": 3e-3}))
    assert result["metrics"]["auc"]["lower"] > 0.6
    lossless, found = (r["history"][-1]["train_loss"] for r in (trained[1], result))
    assert found == pytest.approx(lossless, rel=0.2)


def test_the_record_holds_what_a_report_needs(trained, shards):
    output, result = trained
    record = json.loads((output / "record.json").read_text())
    assert {key: result[key] for key in record} == record
    assert record["rows"] == {
        "train": {"paired": 96, "positive": 96},
        "val": {"paired": 32, "positive": 32},
    }
    assert record["prior"] == 0.5
    assert record["checkpoint_sha256"] == sha256_file(output / "checkpoint.pt")
    assert record["inputs"] == {"training_shards": "shards"}
    assert record["metrics"] == record["history"][record["best_epoch"] - 1]["val"]
    assert record["preprocess_sha256"] == load_checkpoint(output / "checkpoint.pt").preprocess.sha256
    assert "seconds" not in record, "times would change the content hash"
    assert len(result["epoch_seconds"]) == 3


def test_two_runs_give_the_same_bytes_whatever_torch_drew_before(trained, shards, tmp_path):
    torch.manual_seed(12345)
    train(synthetic.request(shards, tmp_path, epochs=3, training={"learning_rate": 3e-3}))
    for name in ("checkpoint.pt", "record.json"):
        assert sha256_file(tmp_path / name) == sha256_file(trained[0] / name)


def test_another_seed_gives_another_network(trained, shards, tmp_path):
    result = train(synthetic.request(shards, tmp_path, epochs=1, seed=8))
    other = train(synthetic.request(shards, tmp_path / "other", epochs=1, seed=9))
    assert result["checkpoint_sha256"] != other["checkpoint_sha256"]


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(trained, shards, tmp_path, epochs):
    request = synthetic.request(shards, tmp_path, epochs=3, training={"learning_rate": 3e-3})
    with pytest.raises(Killed):
        train(request, kill_after(epochs))
    assert not (tmp_path / "checkpoint.pt").exists()
    seen = []
    result = train(request, lambda record: seen.append(record["epoch"]))
    assert seen == list(range(epochs + 1, 4))
    assert result["resumed_from_epoch"] == epochs
    assert sha256_file(tmp_path / "checkpoint.pt") == sha256_file(trained[0] / "checkpoint.pt")
    assert sha256_file(tmp_path / "record.json") == sha256_file(trained[0] / "record.json")


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_run_killed_at_any_step_ends_in_the_same_bytes(shards, tmp_path, monkeypatch, ema_decay):
    """Ten kills in the middle of epochs, in one run."""
    training = {"learning_rate": 3e-3, "accumulate": 2, "ema_decay": ema_decay}
    given = {"epochs": 3, "sizes": {"batch_size": 24}, "training": training}
    train(synthetic.request(shards, tmp_path / "whole", **given))
    request = replace(synthetic.request(shards, tmp_path / "killed", **given), save_seconds=0.0)
    steps = kills = 0
    save = loop.save_state

    def save_and_die(*arguments):
        nonlocal steps, kills
        save(*arguments)
        steps += 1
        if kills < 10 and (steps * 7 + 3) % 5 < 4:
            kills += 1
            raise Killed

    monkeypatch.setattr(loop, "save_state", save_and_die)
    while True:
        try:
            train(request)
            break
        except Killed:
            continue
    assert kills == 10
    for name in ("checkpoint.pt", "record.json"):
        assert sha256_file(tmp_path / "killed" / name) == sha256_file(tmp_path / "whole" / name)


def test_two_processes_learn_what_one_does(shards, tmp_path):
    """Gradients are averaged over ranks: without dropout the weights agree to rounding."""
    given = {"epochs": 1, "sizes": {"batch_size": 24}, "model": {"encoder": "test_vit2", "dropout": 0.0}}
    weights = []
    for processes in (1, 2):
        output = tmp_path / str(processes)
        request = synthetic.request(shards, output, training={"precision": "fp32"}, **given)
        path = request.write(tmp_path / f"{processes}.json")
        subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *(f"--nproc-per-node={processes}", "-m", "darkhaloscope.remote.train", str(path)),
            ],
            check=True,
            capture_output=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        record = json.loads((output / "record.json").read_text())
        assert record["processes"] == processes
        weights.append(load_checkpoint(output / "checkpoint.pt").weights)
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=2e-3, atol=2e-4)


def test_the_average_is_judged_and_kept(shards, tmp_path):
    given = {"epochs": 2, "sizes": {"batch_size": 24}}
    runs = {}
    for decay in (0.0, 0.99):
        request = synthetic.request(shards, tmp_path / str(decay), training={"ema_decay": decay}, **given)
        train(request)
        runs[decay] = load_checkpoint(tmp_path / str(decay) / "checkpoint.pt").weights
    start = build_model(
        load_checkpoint(tmp_path / "0.99" / "checkpoint.pt").model, request.experiment["seed"]
    )
    moved = {
        decay: sum(float((weights[n] - v.detach()).abs().sum()) for n, v in start.named_parameters())
        for decay, weights in runs.items()
    }
    assert 0.0 < moved[0.99] < 0.6 * moved[0.0]


def test_training_ends_when_nothing_gets_better(shards, tmp_path):
    training = {"learning_rate": 1e-12, "patience": 2, "best_by": "loss"}
    result = train(synthetic.request(shards, tmp_path, epochs=9, training=training))
    last, best = len(result["history"]), result["best_epoch"]
    assert last < 9
    assert last - best == 2


def test_a_compiled_network_learns_the_same(shards, tmp_path):
    losses = {}
    for compiled in (False, True):
        training = {"compile": compiled, "precision": "fp32"}
        result = train(synthetic.request(shards, tmp_path / str(compiled), epochs=1, training=training))
        losses[compiled] = result["history"][0]["train_loss"]
    assert losses[True] == pytest.approx(losses[False], rel=1e-3)


def test_the_state_of_another_run_is_not_taken_up(shards, tmp_path):
    request = synthetic.request(shards, tmp_path, epochs=2)
    with pytest.raises(Killed):
        train(request, kill_after(1))
    other = replace(request, experiment=request.experiment | {"seed": 99})
    assert train(other)["resumed_from_epoch"] is None


def test_a_finished_run_is_not_repeated_unless_its_files_changed(trained, shards, tmp_path):
    shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
    request = synthetic.request(shards, tmp_path, epochs=3, training={"learning_rate": 3e-3})
    called = []
    result = train(request, called.append)
    assert called == []
    assert result["resumed_from_epoch"] == 3
    assert result["metrics"] == trained[1]["metrics"]
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    train(request, called.append)
    assert len(called) == 3


def test_only_checkpoint_and_record_are_committed(trained, shards, tmp_path):
    store = ArtifactStore(tmp_path)
    staging = store.stage("checkpoint", "unit", plan="p")
    shutil.copytree(trained[0], staging, dirs_exist_ok=True)
    record = store.commit(
        "checkpoint", "unit", staging=staging, schema="", config_hash="c", code_version="v", inputs={}
    )
    assert [part.path for part in record.parts] == ["checkpoint.pt", "record.json"]


def test_the_best_epoch_is_kept(shards, tmp_path):
    for best_by, sign in (("loss", -1), ("average_precision", 1)):
        output = tmp_path / best_by
        training = {"learning_rate": 1e-2, "best_by": best_by}
        result = train(synthetic.request(shards, output, epochs=3, training=training))
        values = [sign * epoch["val"][best_by] for epoch in result["history"]]
        assert result["best_epoch"] == 1 + int(np.argmax(values))
        assert load_checkpoint(output / "checkpoint.pt").epoch == result["best_epoch"]


def test_weights_are_those_of_the_best_epoch_not_the_last(shards, tmp_path):
    request = synthetic.request(
        shards, tmp_path, epochs=3, training={"learning_rate": 2e-2, "best_by": "loss"}
    )
    states = {}

    def remember(record: dict) -> None:
        states[record["epoch"]] = load_tensors(tmp_path / "_scratch" / "state.pt")["network"]

    result = train(request, remember)
    weights = load_checkpoint(tmp_path / "checkpoint.pt").weights
    for epoch, state in states.items():
        same = all(torch.equal(weights[key], value) for key, value in state.items())
        assert same is (epoch == result["best_epoch"])


def test_bfloat16_trains_like_float32(shards, tmp_path):
    """Weights rounded once an epoch instead of once a step would part the two."""
    losses = {}
    for precision in ("fp32", "bf16"):
        training = {"learning_rate": 3e-3, "precision": precision}
        request = synthetic.request(shards, tmp_path / precision, epochs=2, training=training)
        result = train(request)
        assert result["precision"] == precision
        losses[precision] = [epoch["train_loss"] for epoch in result["history"]]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.02)


def test_a_loss_that_is_not_finite_stops_and_names_tasks(shards, tmp_path):
    training = {"learning_rate": 1e30, "precision": "fp32", "warmup_fraction": 0.0}
    with pytest.raises(
        DataError, match=r"Loss is not finite \[field epoch \d, row train-0000\d-\d{5}, .*more\]"
    ):
        train(synthetic.request(shards, tmp_path, epochs=3, training=training))
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_focal_run_differs_from_cross_entropy(trained, shards, tmp_path):
    result = train(synthetic.request(shards, tmp_path, epochs=1, training={"loss": "focal"}))
    assert result["history"][0]["train_loss"] < 0.5 * trained[1]["history"][0]["train_loss"]


def test_images_alone_need_no_metadata(shards, tmp_path):
    result = train(
        synthetic.request(
            shards,
            tmp_path,
            epochs=1,
            preprocess={"metadata": []},
            model={"encoder": "test_resnet", "metadata_width": 0},
        )
    )
    assert result["model"]["metadata_features"] == 0
