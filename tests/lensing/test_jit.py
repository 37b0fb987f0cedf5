"""The cache of machine code: where it lies, and several processes filling it at once."""

import os
import subprocess
import sys

import pytest

from darkhaloscope.lensing import jit


@pytest.fixture
def fresh():
    jit.cache_directory.cache_clear()
    yield
    jit.cache_directory.cache_clear()


def test_first_usable_place_wins(fresh, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file is no directory, even for root")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jit.cache_directory() == tmp_path / "xdg" / "darkhaloscope" / "numba"
    assert jit.cache_directory().is_dir()


def test_no_place_at_all_compiles_in_memory(fresh, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    for variable in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(blocked))
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(blocked))
    assert jit.cache_directory() is None
    assert jit.compiled("float32(float32)")(lambda x: x + x)(1.5) == 3.0


def test_a_directory_of_another_user_is_not_trusted(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(jit.os, "getuid", lambda: 4242424)
    assert jit.cache_directory() is None


def test_build_key_follows_the_source_text(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("x = 1\n")
    jit._build_key.cache_clear()
    first = jit._build_key(str(source))
    jit._build_key.cache_clear()
    stat = source.stat()
    source.write_text("x = 2\n")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert jit._build_key(str(source)) != first
    jit._build_key.cache_clear()


_CHILD = """
import hashlib
from darkhaloscope.lensing.render import render_lensed
from darkhaloscope.lensing.trial import trial_scenes
print(hashlib.sha256(render_lensed(**trial_scenes(2)).image.tobytes()).hexdigest())
"""


def test_processes_that_fill_an_empty_cache_together_agree(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _CHILD],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(outputs) == 1
    # One index and one file of machine code per function: nobody wrote a second version.
    functions = {p.name.split("-")[0] for p in tmp_path.rglob("kernels.*")}
    assert {"kernels.shoot_rays", "kernels.apply_transfer"} <= functions
    for suffix in ("nbi", "nbc"):
        assert len(list(tmp_path.rglob(f"kernels.*.{suffix}"))) == len(functions)


def test_package_import_loads_neither_compiler_nor_oracle():
    code = (
        "import sys, darkhaloscope.lensing.render, darkhaloscope.lensing.reference;"
        "print([m for m in ('numba', 'lenstronomy', 'scipy.signal', 'torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
