"""One NaN pixel in one stamp stops the run before it starts, and names the stamp."""

import numpy as np
import pytest
import synthetic_stamps as synthetic

from darkhaloscope.errors import DataError
from darkhaloscope.schema import STAMPS
from darkhaloscope.tabular import write_table
from darkhaloscope.training.loop import train


@pytest.mark.parametrize("shard", [1, 2])
def test_a_nan_pixel_is_found_in_train_and_val(tmp_path, shard):
    shards = synthetic.write_shards(tmp_path, train=16, val=8)
    name = shards[shard].stem
    images = synthetic.stamp_images(8, np.arange(8) % 2 == 0, "nan")
    images[5, 2, 40, 40] = np.nan
    write_table(shards[shard], STAMPS, synthetic.stamp_table(8, name.split("-")[0], key=name, image=images))
    epochs = []
    with pytest.raises(DataError, match=rf"Task {name}-00005 cannot be trained on: Stamp has NaN"):
        train(synthetic.request(shards, tmp_path / "out"), epochs.append)
    assert epochs == []
