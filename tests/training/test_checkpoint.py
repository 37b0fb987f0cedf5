from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_stamps as synthetic
import torch

from darkhaloscope.errors import ArtifactError
from darkhaloscope.hashing import sha256_file
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.training.checkpoint import Checkpoint, load_checkpoint, load_tensors, save_checkpoint
from darkhaloscope.training.models import ModelSpec, build_model


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    section = synthetic.experiment().preprocess
    preprocess = PreprocessSpec.from_config(section, crop_px=64)
    preprocess = preprocess.fit_metadata(synthetic.stamp_table(8, "train"))
    spec = ModelSpec("test_resnet", 3, 4, 8, 0.1)
    return Checkpoint(
        model=spec,
        preprocess=preprocess,
        weights=dict(build_model(spec, 3).state_dict()),
        experiment="unit",
        config_hash="c",
        inputs={"training_shards": "s"},
        epoch=2,
        prior=0.5,
        metrics={"auc": {"value": 0.9}},
    )


def test_round_trip_rebuilds_the_same_network(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    loaded = load_checkpoint(tmp_path / "a.pt")
    for name in ("model", "preprocess", "experiment", "config_hash", "inputs", "epoch", "prior", "metrics"):
        assert getattr(loaded, name) == getattr(checkpoint, name)
    images, metadata = torch.ones(2, 3, 64, 64), torch.ones(2, 4)
    original = checkpoint.network()
    assert not original.training
    with torch.inference_mode():
        np.testing.assert_array_equal(loaded.network()(images, metadata), original(images, metadata))


def test_equal_content_gives_equal_bytes_whatever_the_name(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    save_checkpoint(tmp_path / "another-name.pt", checkpoint)
    assert sha256_file(tmp_path / "a.pt") == sha256_file(tmp_path / "another-name.pt")


def test_weights_of_another_network_are_refused(checkpoint):
    wider = replace(checkpoint, model=replace(checkpoint.model, metadata_width=16))
    with pytest.raises(RuntimeError, match="size mismatch"):
        wider.network()
    fewer = replace(checkpoint, weights={k: v for k, v in checkpoint.weights.items() if k != "head.bias"})
    with pytest.raises(RuntimeError, match=r"Missing key.*head\.bias"):
        fewer.network()


def test_a_file_that_holds_code_is_not_loaded(tmp_path):
    torch.save({"format": 1, "model": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(ArtifactError, match=r"cannot be read.*code\.pt"):
        load_checkpoint(tmp_path / "code.pt")


@pytest.mark.parametrize("keep", [0, 100, -1000])
def test_a_truncated_file_is_an_artifact_error(checkpoint, tmp_path, keep):
    save_checkpoint(tmp_path / "a.pt", checkpoint)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_tensors(tmp_path / "cut.pt")


def test_absent_and_foreign_files_are_artifact_errors(tmp_path):
    with pytest.raises(ArtifactError, match="not found"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(ArtifactError, match=r"must be 2, got None"):
        load_checkpoint(tmp_path / "foreign.pt")
