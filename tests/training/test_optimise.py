import numpy as np
import pytest
import torch
from torch import nn

from darkhaloscope.config import Training
from darkhaloscope.errors import ConfigError
from darkhaloscope.training.optimise import (
    LOSSES,
    Machine,
    autocast,
    build_optimiser,
    choose_machine,
    cpu_has_bf16,
    cpu_threads,
    focal_loss,
    learning_rate,
)


def test_learning_rate_warms_up_then_falls_to_zero():
    training = Training(learning_rate=2.0, warmup_fraction=0.2)
    rates = [learning_rate(step, 100, training) for step in range(100)]
    np.testing.assert_allclose(rates[:20], 2.0 * np.arange(1, 21) / 20)
    assert rates[20] == 2.0
    assert np.all(np.diff(rates[20:]) < 0.0)
    assert rates[60] == pytest.approx(1.0)
    assert 0.0 < rates[-1] < 2e-3


def test_learning_rate_without_warm_up_and_in_one_step():
    assert learning_rate(0, 1, Training(warmup_fraction=0.0)) == Training().learning_rate
    assert learning_rate(1, 50, Training(warmup_fraction=0.0)) == pytest.approx(1e-3, rel=2e-3)


def test_focal_loss_follows_its_formula():
    logits, labels = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0])
    p = torch.sigmoid(logits).numpy().astype(np.float64)
    of_the_truth = np.where(labels.numpy() > 0, p, 1 - p)
    expected = np.mean(-((1 - of_the_truth) ** 2) * np.log(of_the_truth))
    assert float(focal_loss(logits, labels)) == pytest.approx(expected, rel=1e-6)


def test_losses_are_named_as_in_the_configuration():
    assert set(LOSSES) == {"bce", "focal"}
    loss = LOSSES["bce"](torch.tensor([0.0]), torch.tensor([1.0]))
    assert float(loss) == pytest.approx(np.log(2.0))


def test_weight_decay_spares_biases_and_normalisation():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimiser = build_optimiser(network, Training(weight_decay=0.5))
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    by_name = {name: decay[id(p)] for name, p in network.named_parameters()}
    assert by_name == {"0.weight": 0.5, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}


@pytest.mark.parametrize(("precision", "bf16"), [("fp32", False), ("bf16", True)])
def test_precision_is_as_asked(precision, bf16):
    machine = choose_machine("cpu", precision)
    assert machine == Machine(torch.device("cpu"), bf16)
    assert machine.precision == precision


def test_auto_precision_follows_the_processor(monkeypatch):
    for capabilities, expected in (
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert choose_machine("cpu", "auto").bf16 is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert cpu_has_bf16() is False


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="CUDA device"):
        choose_machine("cuda", "auto")
    assert choose_machine("auto", "fp32").device.type == "cpu"


def test_thread_count_is_given_back():
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_autocast_rounds_only_in_bf16():
    layer, values = nn.Linear(4, 4), torch.ones(1, 4)
    for bf16, kind in ((True, torch.bfloat16), (False, torch.float32)):
        with torch.no_grad(), autocast(Machine(torch.device("cpu"), bf16)):
            assert layer(values).dtype == kind
