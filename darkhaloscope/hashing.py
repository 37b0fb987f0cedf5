"""The one hash: SHA-256 of bytes, files, JSON values and source code.

A content hash identifies an artefact, a configuration hash the choices that
made it, a code version the functions that made it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Serialise ``value`` so that equal values give equal text.

    Keys are sorted, separators are fixed, NaN and infinities are refused.

    Raises
    ------
    ValueError
        If ``value`` holds a float that JSON cannot express.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_json(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of ``value``."""
    return sha256_bytes(canonical_json(value).encode())


def code_version(*modules: str) -> str:
    """Return a 16-digit hash of the source of the named modules.

    A package stands for every ``.py`` file below it, so a change anywhere in a
    room changes the version of the assets that call it. The source is located
    without importing the module.

    Parameters
    ----------
    *modules : str
        Dotted names, for example ``"darkhaloscope.lensing"``.

    Returns
    -------
    str
        First 16 hexadecimal digits of the hash.
    """
    digest = hashlib.sha256()
    for name in sorted(set(modules)):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"code_version: no source found for module {name!r}")
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            digest.update(f"{name}:{file.relative_to(origin.parent)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
