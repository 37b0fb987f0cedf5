"""Gates: one question about one artefact, answered with a verdict consumers must hold.

``registry`` names them, ``thresholds`` holds every limit, the packages ``quality``,
``leakage``, ``physics``, ``shortcut``, ``behaviour`` and ``anchors`` measure and
judge, ``run`` runs a family over an artefact, ``enforce`` is the lock. A
``measure_*`` function never decides and a ``judge_*`` function never reads.
"""

from darkhaloscope.gates.enforce import require_gate
from darkhaloscope.gates.registry import DATA_GATES, GATES, MODEL_GATES, GateSpec, get_gate
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict

__all__ = [
    "DATA_GATES",
    "GATES",
    "MODEL_GATES",
    "GateReport",
    "GateResult",
    "GateSpec",
    "GateStatus",
    "Verdict",
    "get_gate",
    "require_gate",
]
