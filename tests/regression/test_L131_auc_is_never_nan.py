"""An AUC of one class is an error, never a NaN that picks the best model."""

import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.training.metrics import validation_metrics


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_metrics(label):
    with pytest.raises(DataError):
        validation_metrics(
            np.linspace(-1.0, 1.0, 10),
            np.full(10, label, dtype=np.float32),
            np.array([f"h{i}" for i in range(10)]),
            np.array(["positive" if label else "paired"] * 10),
            bootstrap=10,
            seed=1,
        )


def test_few_rows_still_give_numbers():
    metrics = validation_metrics(
        np.array([0.1, 0.9, 0.4]),
        np.array([0.0, 1.0, 0.0], dtype=np.float32),
        np.array(["a", "b", "c"]),
        np.array(["paired", "positive", "unpaired"]),
        bootstrap=200,
        seed=1,
    )
    numbers = [metrics["loss"], metrics["average_precision"], *metrics["auc"].values()]
    assert np.isfinite([*numbers, *metrics["auc_by_kind"].values()]).all()
