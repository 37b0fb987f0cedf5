"""L113: gates read the first thousand unsorted rows; the sample is chosen by id and repeats itself."""

from collections import Counter

import gate_world
import numpy as np
import pyarrow as pa

from darkhaloscope.gates.features import measure_sample
from darkhaloscope.schema import STAMPS
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.tabular import write_table


def sampled(table, path):
    write_table(path, STAMPS, table)
    sample = measure_sample(
        ShardSet([path]),
        hosts_per_class=30,
        spec=gate_world.spec_of(gate_world.experiment()),
        seed=1,
        probe_min_snr=8.0,
    )
    return sample.table["task_id"].to_pylist()


def test_the_sample_does_not_depend_on_the_order_of_the_rows(gate_set, tmp_path):
    table = gate_set.table
    bright_first = np.argsort(gate_world.values(table, "host_mag_r"), kind="stable")
    one = sampled(table, tmp_path / "train-00000.parquet")
    other = sampled(table.take(pa.array(bright_first)), tmp_path / "train-00001.parquet")
    assert sorted(one) == sorted(other)
    kind = dict(zip(table["task_id"].to_pylist(), table["control_kind"].to_pylist(), strict=True))
    counts = Counter(kind[task] for task in one)
    # the matched light of a sampled arc is sampled with it
    assert [counts[k] for k in ("positive", "paired", "unpaired")] == [30, 30, 30]
    assert 30 <= counts["matched_light"] <= 60
    first = set(table["task_id"].to_pylist()[: len(one)])
    assert set(one) != first
