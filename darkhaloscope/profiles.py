"""Profiles: the sizes of a run and nothing else.

``full`` is production, ``demo`` fits a laptop, ``test`` the test suite. The
functions and formats are the same; only these numbers differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from darkhaloscope.errors import ConfigError, describe


@dataclass(frozen=True)
class Profile:
    """Sizes of a run.

    Parameters
    ----------
    name : str
        Profile name.
    host_stamp_px, stamp_px : int
        Side of stored host cutouts and of stamps, in pixels of the survey.
    max_hosts_per_tile : int or None
        Hosts used per tile, chosen by id hash; None for all.
    unit_hosts : int
        Hosts per work unit, whose stamps a worker holds at once.
    bank_galaxies : int or None
        Sources kept in the bank, chosen by id hash; None for all.
    shard_rows : int
        Rows per training shard.
    encoder : str
        timm model name.
    epochs, batch_size : int
        Training length.
    gate_hosts_per_class : int
        Hosts per class read for pixel gates.
    gate_probe_epochs : int
        Length of the convolutional probe of S6.
    oracle_rows : int
        Rows rendered again by the oracle for P1.
    bootstrap : int
        Resamples behind every bootstrap interval.
    selection_per_cell : int
        Injections per cell of the selection function.
    """

    name: str
    host_stamp_px: int
    stamp_px: int
    max_hosts_per_tile: int | None
    unit_hosts: int
    bank_galaxies: int | None
    shard_rows: int
    encoder: str
    epochs: int
    batch_size: int
    gate_hosts_per_class: int
    gate_probe_epochs: int
    oracle_rows: int
    bootstrap: int
    selection_per_cell: int

    def as_dict(self) -> dict[str, Any]:
        """Return the sizes as plain values."""
        return asdict(self)


FULL = Profile(
    name="full",
    host_stamp_px=101,
    stamp_px=64,
    max_hosts_per_tile=None,
    unit_hosts=256,
    bank_galaxies=None,
    shard_rows=8192,
    encoder="convnext_tiny",
    epochs=8,
    batch_size=512,
    gate_hosts_per_class=10_000,
    gate_probe_epochs=8,
    oracle_rows=1000,
    bootstrap=1000,
    selection_per_cell=500,
)
DEMO = Profile(
    name="demo",
    host_stamp_px=101,
    stamp_px=64,
    max_hosts_per_tile=None,
    unit_hosts=200,
    bank_galaxies=None,
    shard_rows=1024,
    encoder="resnet10t",
    epochs=6,
    batch_size=64,
    gate_hosts_per_class=2000,
    gate_probe_epochs=12,
    oracle_rows=300,
    bootstrap=200,
    selection_per_cell=60,
)
TEST = Profile(
    name="test",
    host_stamp_px=101,
    stamp_px=64,
    max_hosts_per_tile=120,
    unit_hosts=40,
    bank_galaxies=60,
    shard_rows=128,
    encoder="resnet10t",
    epochs=1,
    batch_size=32,
    gate_hosts_per_class=300,
    gate_probe_epochs=1,
    oracle_rows=30,
    bootstrap=50,
    selection_per_cell=8,
)

PROFILES: dict[str, Profile] = {p.name: p for p in (FULL, DEMO, TEST)}


def get_profile(name: str) -> Profile:
    """Return a profile by name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in PROFILES:
        raise ConfigError(describe("Unknown profile", expected=f"one of {sorted(PROFILES)}", got=name))
    return PROFILES[name]
