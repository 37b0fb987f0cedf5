import subprocess
import sys
import time

import numpy as np

from darkhaloscope.metering import StageMeter, tree_memory_mb


def test_peak_sees_this_process():
    before = tree_memory_mb()
    with StageMeter() as meter:
        block = np.ones(200 << 17)  # 200 MB
        time.sleep(0.6)
    assert meter.peak_mb > before + 150
    assert meter.seconds >= 0.6
    assert block.size


def test_peak_sees_children():
    code = "import time; b = bytearray(150 << 20); time.sleep(1.5)"
    with StageMeter() as meter:
        before = tree_memory_mb()
        subprocess.run([sys.executable, "-c", code], check=True)
    assert meter.peak_mb > before + 100
