"""L11, L18: recall on objects that networks found in the same images is told apart from the rest."""

import pyarrow as pa

from darkhaloscope.evaluation.anchor_evaluation import grade_anchors
from darkhaloscope.statistics.rates import OperatingPoint, Rate


def test_recall_is_split_by_how_the_lens_was_found():
    found = ["network"] * 4 + ["imaging"] * 4 + ["spectroscopic"] * 2
    n = len(found)
    anchors = pa.table(
        {
            "anchor_id": [f"a{i}" for i in range(n)],
            "name": ["x"] * n,
            "kind": ["lens"] * n,
            "object_class": ["galaxy"] * n,
            "discovery": found,
            "tier": ["A"] * 8 + ["B"] * 2,
            "ra": [0.0] * n,
            "dec": [0.0] * n,
            "arc_snr_r": [5.0] * n,
        }
    )
    scores = [0.9] * 4 + [0.1] * 6
    point = OperatingPoint(0.5, 0.01, Rate.exact(0, 300), certifiable=True)
    graded = grade_anchors(anchors, pa.array(scores).to_numpy(), point)
    by_discovery = {name: (rate["k"], rate["n"]) for name, rate in graded["recall_by_discovery"].items()}
    assert by_discovery == {"network": (4, 4), "imaging": (0, 4), "spectroscopic": (0, 2)}
