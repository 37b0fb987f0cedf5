"""L91: where task_id was missing, a running number took its place; splits then followed the partitioning."""

import predecessor_world as pw
import pytest

from darkhaloscope.errors import MissingInputError
from darkhaloscope.gates.dataset_on_disk import parquet_files
from darkhaloscope.stamps.predecessor import PredecessorShards


def test_a_missing_id_is_named_and_not_made_up(gate_set, tmp_path):
    rows = pw.changed(pw.rows_of(gate_set.table).slice(0, 20), task_id=None)
    shards = PredecessorShards(parquet_files(pw.write(tmp_path, rows)))
    with pytest.raises(MissingInputError, match="column task_id"):
        shards.metadata(["task_id"])
    with pytest.raises(MissingInputError, match="column task_id"):
        shards.sample(5, seed=1, columns=["task_id"])
    assert "task_id" not in shards.metadata().column_names
