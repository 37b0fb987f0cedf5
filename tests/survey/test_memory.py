"""Memory of the streaming readers on files of the survey's size, in processes of their own."""

import json
import subprocess
import sys

import numpy as np
import pytest
import sky_tree

SWEEP_BYTES = 1_620_000_000
LIMIT_MB = 500.0

_SELECT = """
import json, sys
from darkhaloscope.metering import process_peak_mb
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH
root = sys.argv[1]
bricks = read_footprint(root, DR10_SOUTH)
parents = select_parents(root, DR10_SOUTH, bricks["tile"][0].as_py(), bricks)
print(json.dumps({"rows": parents.table.num_rows, "peak_mb": process_peak_mb()}))
"""


@pytest.mark.slow
def test_a_sweep_of_the_surveys_size_needs_less_than_half_a_gigabyte(tmp_path):
    brick = sky_tree.Brick("0120p060", 1001, 12.0, 6.0, side_deg=0.25, positions=[(200.0, 200.0)])
    sky_tree.write_brick_tables(tmp_path, [brick])
    brick.directory(tmp_path).mkdir(parents=True)
    # The 170 further columns of a real sweep, which nothing reads.
    kinds = [*sky_tree.SWEEP_DTYPE, *((f"OTHER_{i}", ">f4") for i in range(170))]
    rows = np.zeros(SWEEP_BYTES // np.dtype(kinds).itemsize, dtype=kinds)
    galaxy = sky_tree.sweep_rows(brick)[0]
    for name in galaxy.dtype.names:
        rows[name] = galaxy[name]
    rows["OBJID"] = np.arange(len(rows))
    rows["FLUX_W1"][np.arange(len(rows)) % 20 != 0] = 0.1
    rows["TYPE"][np.arange(len(rows)) % 20 != 0] = "REX"
    path = sky_tree.sweep_path(tmp_path, brick)
    sky_tree.write_sweep(path, rows)
    wanted = int((rows["FLUX_W1"] > 1.0).sum())
    del rows
    assert path.stat().st_size > 1.6e9
    done = subprocess.run(
        [sys.executable, "-c", _SELECT, str(tmp_path)], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] == wanted
    assert found["peak_mb"] <= LIMIT_MB
