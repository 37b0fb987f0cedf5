"""A small real checkpoint with untrained weights, for tests of what reads one."""

from __future__ import annotations

from pathlib import Path

import synthetic_stamps as synthetic

from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.training.checkpoint import Checkpoint, save_checkpoint
from darkhaloscope.training.models import ModelSpec, build_model


def write_checkpoint(path: Path, *, crop_px: int = 64, seed: int = 3) -> Path:
    """Write a checkpoint of timm's ``test_resnet`` and return its path."""
    preprocess = PreprocessSpec.from_config(synthetic.experiment().preprocess, crop_px=crop_px)
    preprocess = preprocess.fit_metadata(synthetic.stamp_table(8, "train"))
    spec = ModelSpec("test_resnet", 3, len(preprocess.metadata_columns), 8, 0.1)
    save_checkpoint(
        path,
        Checkpoint(
            model=spec,
            preprocess=preprocess,
            weights=dict(build_model(spec, seed).state_dict()),
            experiment="unit",
            config_hash="c",
            inputs={"training_shards": "s"},
            epoch=1,
            prior=0.5,
            metrics={"auc": {"value": 0.5}},
        ),
    )
    return path
