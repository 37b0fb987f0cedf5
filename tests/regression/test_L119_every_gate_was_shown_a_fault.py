"""L119: no gate had ever been shown a fault; each one here has faults of its own in the registry.

That every fault fails its gate and no other is tested in ``tests/gates/faults``.
"""

from gates.faults.test_registry import FAULTS

from darkhaloscope.gates.registry import GATES

INFORM = {"B6", "B9", "A2", "A3", "A5"}
"""Gates that report and never block; their own tests show them faults."""


def test_every_gate_that_blocks_was_shown_a_fault():
    shown = {gate for fault in FAULTS for gate in fault.gates}
    assert set(GATES) - shown - INFORM == set()


def test_every_fault_says_what_its_gate_must_say():
    assert all(fault.gates and len(fault.says) > 2 for fault in FAULTS)
