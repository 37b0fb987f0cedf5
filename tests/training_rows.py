"""Shards of a few rows, and rows that tell their number, for tests of training."""

import numpy as np
import pyarrow as pa
import synthetic_stamps as synthetic

from darkhaloscope.preprocess.augment import row_keys
from darkhaloscope.schema import STAMPS
from darkhaloscope.tabular import write_table
from darkhaloscope.training.rows import SplitData


def shard(tmp_path, splits=("train",) * 12, **changes):
    """A train shard of twelve rows with some columns changed."""
    path = tmp_path / "train-00000.parquet"
    table = synthetic.stamp_table(12, "train", **changes)
    at = table.schema.get_field_index("split")
    write_table(path, STAMPS, table.set_column(at, table.schema.field(at), pa.array(splits, pa.string())))
    return [path]


def numbered(n: int) -> SplitData:
    """Rows whose every pixel, condition and label tells their number."""
    value = np.arange(n, dtype=np.float32)
    return SplitData(
        linear=np.broadcast_to(value[:, None, None, None], (n, 1, 4, 4)).copy(),
        metadata=value[:, None].copy(),
        labels=value.copy(),
        task_ids=np.array([f"t{i}" for i in range(n)]),
        host_ids=np.array(["h"] * n),
        control_kinds=np.array(["positive", "paired"] * (n // 2)),
        keys=row_keys([f"t{i}" for i in range(n)]),
    )
