"""Run every benchmark of this folder, one after another: ``python -m benchmarks``."""

import runpy
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("bench_*.py")):
    print(f"== {path.stem}")
    sys.argv = [str(path)]
    runpy.run_path(str(path), run_name="__main__")
