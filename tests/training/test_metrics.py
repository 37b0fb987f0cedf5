import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from darkhaloscope.errors import DataError
from darkhaloscope.streams import generator
from darkhaloscope.training.metrics import cross_entropy, declared_metric, validation_metrics


def sample(n: int = 200):
    rng = generator(4, "metrics", "sample")
    labels = (np.arange(n) % 3 == 0).astype(np.float32)
    kinds = np.where(labels > 0, "positive", np.where(np.arange(n) % 3 == 1, "paired", "unpaired"))
    logits = rng.normal(0.0, 1.0, n) + labels + 0.8 * (kinds == "paired")
    return logits, labels, np.array([f"h{i // 4}" for i in range(n)]), kinds


def measure(logits, labels, hosts, kinds):
    return validation_metrics(logits, labels, hosts, kinds, bootstrap=40, seed=1)


def test_metrics_agree_with_scikit_learn():
    logits, labels, hosts, kinds = sample()
    got = measure(logits, labels, hosts, kinds)
    assert got["loss"] == pytest.approx(log_loss(labels, expit(logits)))
    assert got["auc"]["value"] == pytest.approx(roc_auc_score(labels, logits))
    assert got["average_precision"] == pytest.approx(average_precision_score(labels, logits))
    assert (got["rows"], got["positives"], got["auc"]["n"]) == (200, 67, 50)
    assert got["auc"]["lower"] < got["auc"]["value"] < got["auc"]["upper"]


def test_auc_by_kind_leaves_out_the_other_controls():
    logits, labels, hosts, kinds = sample()
    by_kind = measure(logits, labels, hosts, kinds)["auc_by_kind"]
    rows = kinds != "unpaired"
    assert by_kind["paired"] == pytest.approx(roc_auc_score(labels[rows], logits[rows]))
    assert set(by_kind) == {"paired", "unpaired"}
    assert by_kind["unpaired"] > by_kind["paired"] + 0.1


def test_one_class_or_a_nan_is_an_error():
    logits, labels, hosts, kinds = sample()
    with pytest.raises(DataError):
        measure(logits, np.zeros_like(labels), hosts, kinds)
    logits[5] = np.nan
    with pytest.raises(DataError):
        measure(logits, labels, hosts, kinds)


def test_cross_entropy_does_not_overflow():
    assert cross_entropy(np.array([1e4, -1e4]), np.array([0.0, 1.0])) == 1e4


def test_the_declared_metric_is_larger_for_the_better():
    metrics = {"loss": 0.4, "auc": {"value": 0.8}, "average_precision": 0.6}
    assert declared_metric(metrics, "auc") == 0.8
    assert declared_metric(metrics, "average_precision") == 0.6
    assert declared_metric(metrics, "loss") == -0.4
