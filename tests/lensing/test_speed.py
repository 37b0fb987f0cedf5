"""The renderer's speed, as a ratio to lenstronomy in the same minute of the same machine."""

import importlib.util
import time
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes

# scipy.fft inside lenstronomy 1.13 with numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:`axes` should not be:DeprecationWarning")


def seconds(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def test_renderer_is_far_faster_than_the_oracle():
    if "+avx2" not in llvm.get_host_cpu_features().flatten():
        pytest.skip("no AVX2 on this processor")
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_render.py"
    spec = importlib.util.spec_from_file_location("bench_render", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    two, many = trial_scenes(2), trial_scenes(64)
    render_lensed(**many)
    bench.peer(two, accurate=False)
    turns = [
        (seconds(lambda: bench.peer(two, accurate=False)) / 2, seconds(lambda: render_lensed(**many)) / 64)
        for _ in range(3)
    ]
    # The best turn of each: other programs on the machine only ever slow one down.
    assert min(t[0] for t in turns) / min(t[1] for t in turns) > 80
