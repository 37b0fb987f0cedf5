"""L72: `cutout_ok` meant that a stamp lies inside its brick; NaN and missing bands passed as data."""

import numpy as np
import predecessor_world as pw
import pyarrow as pa
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.gates.dataset_on_disk import parquet_files
from darkhaloscope.stamps.predecessor import PredecessorShards


def opened(folder, gate_set, blob):
    """Ten rows that say ok, one of which is not."""
    rows = pw.rows_of(gate_set.table).slice(0, 10)
    blobs = rows["stamp_npz"].to_pylist()
    blobs[6] = blob
    changed = pw.changed(rows, stamp_npz=pa.array(blobs, pa.binary()))
    return PredecessorShards(parquet_files(pw.write(folder, changed, by_folder=False, files=1)))


def test_a_nan_in_an_ok_row_is_seen(gate_set, tmp_path):
    image = np.ones((3, 64, 64), np.float32)
    image[0, 0, 0] = np.nan
    shards = opened(tmp_path, gate_set, pw.stamp(image))
    shards.rows()
    assert [place.rpartition(", ")[2] for place in shards.not_finite] == ["row 6"]


def test_a_band_that_an_ok_row_lacks_is_refused(gate_set, tmp_path):
    shards = opened(tmp_path, gate_set, pw.npz({"image_r": np.zeros((64, 64), np.float32)}))
    with pytest.raises(DataError, match=r"row 6, field image_g|field image_g, row 6"):
        shards.rows()
