"""Every option of preprocessing, model and training changes what is trained; batch sizes bound memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import synthetic_stamps as synthetic
import torch

from darkhaloscope import config
from darkhaloscope.schema import STAMPS
from darkhaloscope.tabular import pixels, read_table, write_table
from darkhaloscope.training.checkpoint import load_checkpoint
from darkhaloscope.training.loop import train
from darkhaloscope.training.models import LensFinder
from darkhaloscope.training.predict import load_model

OTHER_VALUES = {
    "preprocess": {
        "normalisation": "raw_mad",
        "clip": 3.0,
        "centre": "mask",
        "centre_radius_px": 5.0,
        "centre_probability": 0.5,
        "metadata": ["ebv"],
    },
    "model": {"encoder": "test_vit2", "metadata_width": 7, "dropout": 0.5},
    "training": {
        "learning_rate": 5e-3,
        "weight_decay": 0.5,
        "warmup_fraction": 0.0,
        "loss": "focal",
        "best_by": "loss",
        "precision": "bf16",
        "augmentation": {"shift_px": 0.3},
        "hard_negative_share": 0.2,
        "ema_decay": 0.5,
        "gradient_clip": 1e-3,
        "accumulate": 2,
        "patience": 1,
        "compile": True,
    },
}
NEEDS = {"centre_radius_px": {"centre": "blur"}, "centre_probability": {"centre": "blur"}}
ACTS_ON_THE_CHOICE_OF_EPOCH = {"best_by", "patience"}
COMPUTES_THE_SAME = {"compile"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> list[Path]:
    """Training rows of which every third control is a look-alike."""
    paths = synthetic.write_shards(tmp_path_factory.mktemp("shards"), train=24, val=8)
    for path in paths:
        table = read_table(path)
        kind = table["control_kind"].to_pylist()
        kind[1::6] = ["hard_negative"] * len(kind[1::6])
        at = table.column_names.index("control_kind")
        write_table(path, STAMPS, table.set_column(at, table.schema.field(at), pa.array(kind, pa.string())))
    return paths


def trained_weights(shards, output, section: str, values: dict) -> dict[str, torch.Tensor]:
    """Train four steps twice over; the file itself would differ by its configuration hash alone."""
    sections = {"training": {"precision": "fp32"}, "model": {"encoder": "test_resnet"}}
    sections[section] = sections.get(section, {}) | values
    train(synthetic.request(shards, output, sizes={"batch_size": 6}, **sections))
    return load_checkpoint(output / "checkpoint.pt").weights


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_list_is_complete():
    experiment = config.Experiment.model_fields
    for section, values in OTHER_VALUES.items():
        assert set(values) == set(experiment[section].annotation.model_fields)


@pytest.mark.parametrize(
    ("section", "option"),
    [
        (section, option)
        for section, values in OTHER_VALUES.items()
        for option in values
        if option not in ACTS_ON_THE_CHOICE_OF_EPOCH | COMPUTES_THE_SAME
    ],
)
def test_an_option_changes_the_weights(shards, tmp_path, section, option):
    base = NEEDS.get(option, {})
    changed = base | {option: OTHER_VALUES[section][option]}
    before = trained_weights(shards, tmp_path / "before", section, base)
    assert not equal(before, trained_weights(shards, tmp_path / "after", section, changed))


def test_without_a_change_the_weights_are_the_same(shards, tmp_path):
    before = trained_weights(shards, tmp_path / "before", "training", {})
    assert equal(before, trained_weights(shards, tmp_path / "after", "training", {}))


@pytest.fixture
def batch_sizes(monkeypatch) -> dict[bool, list[int]]:
    """Rows per forward pass, by whether the network was training."""
    seen: dict[bool, list[int]] = {True: [], False: []}
    forward = LensFinder.forward

    def watched(self, images, metadata):
        seen[self.training].append(len(images))
        return forward(self, images, metadata)

    monkeypatch.setattr(LensFinder, "forward", watched)
    return seen


def test_the_batch_size_bounds_a_step(shards, tmp_path, batch_sizes):
    train(synthetic.request(shards, tmp_path, epochs=1, sizes={"batch_size": 6}))
    assert batch_sizes[True] == [6, 6, 6, 6]


def test_batch_rows_bound_a_scoring_pass(shards, tmp_path, batch_sizes):
    train(synthetic.request(shards, tmp_path, epochs=1))
    batch_sizes[False].clear()
    model = load_model(tmp_path / "checkpoint.pt")
    table = read_table(shards[-1])
    scores = model.score(pixels(table, "image"), table, batch_rows=3)
    assert batch_sizes[False] == [3, 3, 3]
    np.testing.assert_allclose(scores, model.score(pixels(table, "image"), table), atol=1e-5)
