"""Random numbers that come from an identity, never from an order.

A draw is a pure function of (seed, stream name, id), so the same row gets the
same value on any engine, in any order, with any number of workers. Streams are
named for what they decide (``"theta_e"``, ``"host_role"``); two decisions never
share a stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]

_TWO_POW_53 = float(1 << 53)


def _digest(seed: int, stream: str, identity: str, size: int) -> bytes:
    return hashlib.blake2b(f"{seed}\x1f{stream}\x1f{identity}".encode(), digest_size=size).digest()


def uniform(seed: int, stream: str, ids: Iterable[str]) -> FloatArray:
    """Draw one number in the open interval (0, 1) for every id.

    Parameters
    ----------
    seed : int
        Seed of the experiment.
    stream : str
        Name of the decision.
    ids : iterable of str, length n
        Identities.

    Returns
    -------
    ndarray of float64, shape (n,)
        Multiples of 2**-53, offset by 2**-54 so that 0 and 1 never occur.
    """
    integers = np.array(
        [int.from_bytes(_digest(seed, stream, i, 8), "little") >> 11 for i in ids], dtype=np.uint64
    )
    return (integers.astype(np.float64) + 0.5) / _TWO_POW_53


def normal(seed: int, stream: str, ids: Iterable[str]) -> FloatArray:
    """Draw one standard normal number for every id, by inversion of :func:`uniform`."""
    return np.asarray(ndtri(uniform(seed, stream, ids)), dtype=np.float64)


def generator(seed: int, stream: str, identity: str) -> np.random.Generator:
    """Return a counter-based generator for arrays that belong to one identity.

    Philox is used because its stream is fixed by its key alone.
    """
    key = np.frombuffer(_digest(seed, stream, identity, 16), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def keys(seed: int, stream: str, ids: Iterable[str]) -> NDArray[np.uint32]:
    """Return a 128-bit key for every id, for generators that count instead of stepping.

    Returns
    -------
    ndarray of uint32, shape (n, 4)
        Little-endian words, the same on every platform.
    """
    text = b"".join(_digest(seed, stream, identity, 16) for identity in ids)
    return np.frombuffer(text, dtype="<u4").reshape(-1, 4).astype(np.uint32)


def digest_id(*parts: object) -> str:
    """Return a 128-bit hexadecimal identity of the given parts.

    Parts are joined by a separator that cannot occur in them, so
    ``("a", "bc")`` and ``("ab", "c")`` differ.
    """
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
