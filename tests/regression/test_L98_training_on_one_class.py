"""A run whose split holds one class ends before the first step."""

import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import DataError
from darkhaloscope.schema import STAMPS
from darkhaloscope.tabular import write_table
from darkhaloscope.training.loop import train


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("is_control", [True, False])
def test_one_class_is_an_error_that_names_split_and_counts(tmp_path, split, is_control):
    shards = synthetic.write_shards(tmp_path, train=8, val=8)
    for shard in shards:
        if shard.name.startswith(split):
            rows = 4 if split == "train" else 8
            table = synthetic.stamp_table(rows, split, key=shard.stem, is_control=[is_control] * rows)
            write_table(shard, STAMPS, table)
    epochs = []
    counts = "0 positives and 8 controls" if is_control else "8 positives and 0 controls"
    with pytest.raises(DataError, match=rf"one class only.*field {split}.*{counts}"):
        train(synthetic.request(shards, tmp_path / "out"), epochs.append)
    assert epochs == []
