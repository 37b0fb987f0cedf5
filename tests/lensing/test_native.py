"""Functions loaded without a compiler: what they accept, and several processes filling the cache at once."""

import os
import subprocess
import sys

import numpy as np
import pytest

from darkhaloscope.errors import ContractError
from darkhaloscope.lensing import jit
from darkhaloscope.lensing.native import Argument, inlined, native, parse_signature


@inlined
def square(x):
    return x * x


@native("void(float32[:, ::1], float64[::1], float32, int64)")
def weigh(rows, sums, factor, power):
    for i in range(rows.shape[0]):
        sums[i] = 0.0
        for j in range(rows.shape[1]):
            value = factor * square(rows[i, j])
            sums[i] += value**power


@native("void(float64[::1])")
def allocate(out):
    out[:] = np.ones(out.size).cumsum()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    jit.cache_directory.cache_clear()
    yield tmp_path
    jit.cache_directory.cache_clear()


def test_function_of_arrays_and_numbers(cache):
    rows, sums = np.arange(6, dtype=np.float32).reshape(2, 3), np.empty(2)
    weigh(rows, sums, np.float32(2.0), np.int64(1))
    assert sums.tolist() == [2 * (0 + 1 + 4), 2 * (9 + 16 + 25)]
    assert [p.name for p in cache.rglob("*.o")] == ["weigh.o"]


@pytest.mark.parametrize(
    ("rows", "sums"),
    [
        (np.zeros((2, 3)), np.zeros(2)),  # float64 for float32
        (np.zeros((2, 3), np.float32)[:, ::2], np.zeros(2)),  # not contiguous
        (np.zeros(3, np.float32), np.zeros(2)),  # an axis is missing
        ([[1.0]], np.zeros(2)),
    ],
)
def test_wrong_array_is_refused(cache, rows, sums):
    with pytest.raises(ContractError, match="weigh"):
        weigh(rows, sums, 1.0, 1)


def test_wrong_number_of_arguments_is_refused(cache):
    with pytest.raises(ValueError, match="zip"):
        weigh(np.zeros((1, 1), np.float32))


def test_function_that_allocates_is_refused(cache):
    with pytest.raises(ContractError, match="needs no library"):
        allocate(np.empty(3))


def test_signature():
    assert parse_signature("void(float32[:, ::1], int64)") == (Argument("float32", 2), Argument("int64", 0))
    for wrong in ("float32(float32)", "void(float32[:, :])", "void(complex64)", "void(float32[::1] int64)"):
        with pytest.raises(ContractError, match="Signature"):
            parse_signature(wrong)


def test_no_place_for_a_cache_compiles_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr("darkhaloscope.lensing.native.cache_directory", lambda: None)

    @native("void(float64[::1])")
    def double(x):
        for i in range(x.size):
            x[i] += x[i]

    x = np.array([1.5, 2.0])
    double(x)
    assert x.tolist() == [3.0, 4.0]


_CHILD = """
import hashlib, sys
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes
image = render_lensed(**trial_scenes(2)).image
print(hashlib.sha256(image.tobytes()).hexdigest())
print("numba" in sys.modules)
"""


def child(cache):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _CHILD], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_processes_that_fill_an_empty_cache_together_agree(tmp_path):
    children = [child(tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].split() for process in children]
    assert [process.returncode for process in children] == [0, 0]
    assert outputs[0] == outputs[1]
    # One file of machine code per function, whole: nobody wrote a second version.
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    names = [p.name for p in files]
    assert {"shoot_rays.o", "apply_transfer.o"} <= set(names)
    assert len(names) == len(set(names))
    assert all(p.suffix == ".o" and p.read_bytes()[:4] == b"\x7fELF" for p in files)
    # A later process takes the code from there and does not load the compiler.
    later = child(tmp_path)
    digest, compiler = later.communicate(timeout=60)[0].split()
    assert digest == outputs[0][0]
    assert compiler == "False"


def test_package_import_loads_neither_compiler_nor_oracle():
    code = (
        "import sys, darkhaloscope.lensing.render, darkhaloscope.lensing.reference;"
        "print([m for m in ('numba', 'lenstronomy', 'scipy.signal', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_change_of_an_inlined_function_elsewhere_is_compiled_again(cache, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "caller.py").write_text(
        "from callee import grow\n"
        "from darkhaloscope.lensing.native import native\n"
        "@native('void(float64[::1])')\n"
        "def run(out):\n"
        "    out[0] = grow(2.0)\n"
    )
    found = []
    for factor in (2, 30):
        (tmp_path / "callee.py").write_text(
            "from darkhaloscope.lensing.native import inlined\n"
            f"@inlined\ndef grow(x):\n    return {factor} * x\n"
        )
        script = "import numpy as np, caller; out = np.zeros(1); caller.run(out); print(out[0])"
        path = os.pathsep.join([str(tmp_path), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(float(done.stdout))
    assert found == [4.0, 60.0]
