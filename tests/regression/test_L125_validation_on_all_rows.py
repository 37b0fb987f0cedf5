"""Validation reads every row, whatever its place, and its rows are recorded by hash."""

import pyarrow as pa
import pyarrow.compute as pc
import synthetic_stamps as synthetic

from darkhaloscope.hashing import hash_json
from darkhaloscope.schema import STAMPS
from darkhaloscope.tabular import write_table
from darkhaloscope.training.loop import train


def test_a_set_sorted_by_class_is_scored_whole(tmp_path):
    shards = synthetic.write_shards(tmp_path / "shards", train=32, val=8)
    table = synthetic.stamp_table(200, "val", key="val-00000")
    controls_first = pc.sort_indices(table, [("is_control", "descending")])
    table = table.take(pa.concat_arrays([controls_first.slice(0, 100), controls_first.slice(100, 60)]))
    table = pa.table(table.columns, schema=STAMPS.arrow(synthetic.SIZE_PX))
    write_table(shards[-1], STAMPS, table)
    result = train(synthetic.request(shards, tmp_path / "out", epochs=1))
    assert result["rows"]["val"] == {"paired": 100, "positive": 60}
    assert (result["metrics"]["rows"], result["metrics"]["positives"]) == (160, 60)
    assert result["val_rows_sha256"] == hash_json(sorted(table["task_id"].to_pylist()))
