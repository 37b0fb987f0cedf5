from dataclasses import replace

import pytest
import torch

from darkhaloscope.config import Model, Preprocess
from darkhaloscope.errors import ConfigError, DataError
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import DEMO
from darkhaloscope.training.models import LensFinder, ModelSpec, build_model

SPEC = ModelSpec("test_resnet", bands=3, metadata_features=4, metadata_width=8, dropout=0.0)


def inputs(n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, 64, 64, generator=draw), torch.randn(n, 4, generator=draw)


def test_spec_combines_experiment_profile_and_inputs():
    preprocess = PreprocessSpec.from_config(Preprocess(), crop_px=64)
    spec = ModelSpec.from_config(Model(dropout=0.3), DEMO, preprocess)
    assert spec == ModelSpec("resnet10t", 3, 4, 32, 0.3)
    assert ModelSpec.from_config(Model(encoder="resnet18"), DEMO, preprocess).encoder == "resnet18"
    assert ModelSpec.from_config(Model(metadata_width=0), DEMO, preprocess).metadata_features == 0


def test_conditions_reach_the_logit():
    network = build_model(SPEC, 1).eval()
    images, metadata = inputs()
    with torch.inference_mode():
        assert network(images, metadata).shape == (3,)
        assert not torch.equal(network(images, metadata), network(images, metadata + 1.0))


def test_a_model_without_metadata_ignores_it():
    network = build_model(replace(SPEC, metadata_features=0), 1).eval()
    images, metadata = inputs()
    with torch.inference_mode():
        assert torch.equal(network(images, metadata), network(images, metadata + 1.0))


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = build_model(SPEC, 1), build_model(SPEC, 1), build_model(SPEC, 2)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(first.head.weight, other.head.weight)


def test_dropout_acts_in_training_only():
    network = LensFinder(replace(SPEC, dropout=0.5))
    images, metadata = inputs()
    with torch.no_grad():
        network.eval()
        assert torch.equal(network(images, metadata), network(images, metadata))
        network.dropout.train()
        assert not torch.equal(network(images, metadata), network(images, metadata))


def test_an_unknown_encoder_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"model\.encoder.*for example.*resnet.*'resnet10x'"):
        LensFinder(replace(SPEC, encoder="resnet10x"))


def test_spec_round_trip():
    assert ModelSpec.from_dict(SPEC.to_dict()) == SPEC
    with pytest.raises(DataError, match="Model spec"):
        ModelSpec.from_dict({"encoder": "resnet18"})
