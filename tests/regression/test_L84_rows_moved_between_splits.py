"""L84: 75 % of validation rows were called train by a hash of the row; their galaxies stayed in val."""

from gate_world import LIMITS, Rows
from gates.faults.plants import relabelled_rows

from darkhaloscope.gates.leakage import splits
from darkhaloscope.gates.result import GateStatus


def test_rows_relabelled_by_their_own_hash_are_found_three_times(gate_set):
    rows = Rows(relabelled_rows(gate_set.table))
    verdicts = [
        splits.judge_sky(splits.measure_sky(rows.columns, 0.0), LIMITS),
        splits.judge_hosts(splits.measure_shared_hosts(rows.columns, rows, LIMITS), LIMITS),
        splits.judge_sources(splits.measure_sources(rows.columns, rows), LIMITS),
    ]
    assert [verdict.status for verdict in verdicts] == [GateStatus.FAIL] * 3
