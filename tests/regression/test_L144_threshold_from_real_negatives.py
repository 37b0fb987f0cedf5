"""L144: threshold 0.5 everywhere; the operating point comes from untouched controls at a stated rate."""

import numpy as np
import pyarrow as pa

from darkhaloscope.evaluation.anchor_evaluation import operating_point


def table(scale):
    n = 400
    return pa.table(
        {
            "task_id": [f"t{i}" for i in range(n)],
            "host_id": [f"h{i}" for i in range(n)],
            "control_kind": ["unpaired"] * n,
            "snr": pa.nulls(n, pa.float64()),
            "score": np.linspace(0.0, scale, n),
        }
    )


def test_the_threshold_follows_the_scores_of_controls_and_keeps_the_rate():
    low, high = operating_point(table(0.1), 0.01), operating_point(table(0.99), 0.01)
    assert low.score < 0.1 < 0.9 < high.score
    assert low.achieved.k == high.achieved.k == 4
    assert low.certifiable
