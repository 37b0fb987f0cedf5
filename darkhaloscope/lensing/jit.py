"""Compiled functions: one place that says how, and where the machine code is kept.

The cache lies in a directory this process may write, one folder per processor
type, compiler version and source text: machine code never meets another
processor or an older source, whatever the file times say. Every function is
compiled for one signature, so two processes that fill the cache at the same
time write the same file, and each write replaces it whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped] # ships no types


def _candidates() -> Iterator[Path]:
    for variable, below in (("NUMBA_CACHE_DIR", "darkhaloscope"), ("XDG_CACHE_HOME", "darkhaloscope/numba")):
        value = os.environ.get(variable)
        if value:
            yield Path(value) / below
    with contextlib.suppress(RuntimeError):  # no home directory
        yield Path.home() / ".cache" / "darkhaloscope" / "numba"
    yield Path(tempfile.gettempdir()) / f"darkhaloscope-numba-{os.getuid()}"


def _usable(directory: Path) -> bool:
    """Say whether this user owns the directory and can write a file in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A directory somebody else made in a shared place could hold their code.
        if directory.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


@cache
def cache_directory() -> Path | None:
    """Return the first usable root: $NUMBA_CACHE_DIR, $XDG_CACHE_HOME, ~/.cache, the temporary directory.

    Returns
    -------
    Path or None
        None if no place can be written: code is then compiled in memory.
    """
    return next(filter(_usable, _candidates()), None)


@cache
def build_key(source_file: str) -> str:
    """Return a hash of what the machine code of a source file depends on: processor, compiler and text."""
    features = llvm.get_host_cpu_features().flatten()
    text = f"{importlib.metadata.version('numba')}\n{llvm.get_host_cpu_name()}\n{features}"
    digest = hashlib.sha256(text.encode() + Path(source_file).read_bytes())
    return digest.hexdigest()[:16]


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function for one signature, or load its machine code.

    ``error_model="numpy"`` because the test for division by zero that numba
    inserts otherwise keeps loops from being vectorised. No fast-math: results
    are those of IEEE arithmetic in program order, so they do not depend on
    alignment or on the width of the processor's vectors, and NaN tests work.

    Parameters
    ----------
    signature : str or numba signature
        For example ``"void(float32[::1], int64)"``.
    """
    import numba  # half a second: not for processes that compile nothing

    # numba sets its configuration values at run time, unseen by a type checker.
    config: Any = numba.config

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        root = cache_directory()
        before = config.CACHE_DIR
        if root is not None:
            config.CACHE_DIR = str(root / build_key(function.__code__.co_filename))
        try:
            result: Callable[..., Any] = numba.njit(
                signature, cache=root is not None, error_model="numpy", nogil=True
            )(function)
        finally:
            config.CACHE_DIR = before
        return result

    return decorate
