"""The cache of machine code: where it lies, and what its key depends on."""

import os

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
    jit.build_key.cache_clear()
    first = jit.build_key(str(source))
    jit.build_key.cache_clear()
    stat = source.stat()
    source.write_text("x = 2\n")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert jit.build_key(str(source)) != first
    jit.build_key.cache_clear()
