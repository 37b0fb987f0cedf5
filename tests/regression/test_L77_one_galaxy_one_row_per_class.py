"""L77: one galaxy stood for about nine rows, through overlapping selections and replicates."""

from collections import Counter

import pyarrow as pa
import pytest
import stamp_world
from gate_world import LIMITS, Rows
from gates.faults.plants import one_row_per_selection

from darkhaloscope.errors import DataError
from darkhaloscope.gates.quality import multiplicity
from darkhaloscope.gates.result import GateStatus


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_a_galaxy_has_at_most_one_row_of_a_class(world):
    for name in ("manifest", "shards"):
        table = world.table(name, ["host_id", "control_kind"])
        counts = Counter(zip(*(table[c].to_pylist() for c in table.column_names), strict=True))
        assert set(counts.values()) == {1}


def test_a_galaxy_listed_twice_is_refused(world):
    table = stamp_world.hosts()
    twice = pa.concat_tables([table, table.slice(10, 1)])
    with pytest.raises(DataError, match="occurs twice"):
        stamp_world.manifest_of(world.experiment, world.bank_path, host_table=twice)


def test_a_galaxy_with_nine_rows_fails_the_set(gate_set):
    rows = Rows(one_row_per_selection(gate_set.table))
    verdict = multiplicity.judge_multiplicity(
        multiplicity.measure_multiplicity(rows.columns, rows, LIMITS), LIMITS
    )
    assert verdict.status is GateStatus.FAIL
    assert verdict.value == 9
