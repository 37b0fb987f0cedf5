"""Which hosts are used and what each is for: positives and every kind of control.

Roles are given inside blocks of similar galaxies of one split, so the classes
are balanced in magnitude, seeing and depth by construction and not by luck.
What is drawn for a lens does not belong here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope import streams
from darkhaloscope.config import Controls, Experiment
from darkhaloscope.errors import ConfigError, DataError, describe
from darkhaloscope.profiles import Profile
from darkhaloscope.schema import MANIFEST, Role, per_band
from darkhaloscope.stamps.kinds import HARD_NEGATIVE, MATCHED_LIGHT, PAIRED, POSITIVE, UNPAIRED
from darkhaloscope.stamps.runs import run_ends
from darkhaloscope.survey.neighbours import nearest_arcsec
from darkhaloscope.survey.release import get_release
from darkhaloscope.survey.tiles import SPLITS

USED = "used"
"""Reason of a host that takes a role in a block."""

HARD_NEGATIVE_MATCH_ARCSEC = 1.5
"""A look-alike and a host nearer than this are the same galaxy."""

_MIN_BLOCK_HOSTS = 4


class Splits(Protocol):
    """What is asked of a split map."""

    def of(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[Any]:
        """Return ``train``, ``val``, ``test`` or ``guard`` of positions in degrees."""
        ...


@dataclass(frozen=True)
class HostUse:
    """What becomes of every host of a tile.

    Parameters
    ----------
    reason : ndarray of str, shape (n,)
        ``used``, ``hard_negative``, or the first rule that excludes the host.
    split : ndarray of str, shape (n,)
        ``train``, ``val``, ``test`` or ``guard``.
    """

    reason: NDArray[Any]
    split: NDArray[Any]

    def counts(self) -> dict[str, int]:
        """Return the number of hosts per reason."""
        names, numbers = np.unique(self.reason, return_counts=True)
        return {str(name): int(number) for name, number in zip(names, numbers, strict=True)}


def class_shares(controls: Controls) -> dict[str, float]:
    """Return the share of rows of every kind that the configuration asks for.

    Hard negatives are as many as the catalogue holds and are not counted.

    Raises
    ------
    ConfigError
        If the configuration leaves one class empty.
    """
    lens_hosts = 1.0 - controls.unpaired_fraction
    rows = {
        POSITIVE: lens_hosts,
        PAIRED: lens_hosts * controls.paired,
        UNPAIRED: controls.unpaired_fraction,
        MATCHED_LIGHT: lens_hosts * controls.matched_light,
    }
    total = sum(rows.values())
    if rows[POSITIVE] == 0.0 or rows[POSITIVE] == total:
        raise ConfigError(
            describe(
                "The controls leave one class only",
                field="controls",
                expected="positives and controls",
                got=controls.model_dump(),
                hint="set 0 < unpaired_fraction < 1, paired or matched_light",
            )
        )
    return {kind: count / total for kind, count in rows.items()}


def classify_hosts(
    experiment: Experiment,
    profile: Profile,
    *,
    hosts: pa.Table,
    splits: Splits,
    anchors: pa.Table | None,
    unfit: Callable[[NDArray[Any]], NDArray[np.bool_]] | None = None,
) -> HostUse:
    """Say of every host whether it is used and, if not, the first rule against it.

    The rules look at the host alone, never at a class, so they cannot favour one.

    Parameters
    ----------
    experiment : Experiment
        Its ``hosts`` and ``controls`` sections.
    profile : Profile
        ``max_hosts_per_tile``.
    hosts : pyarrow.Table
        HOSTS columns without pixels, n rows of one tile.
    splits : SplitMap
        Split of a position.
    anchors : pyarrow.Table or None
        ANCHORS rows, anywhere on the sky.
    unfit : callable, optional
        Given the split of every host, says which cannot be lenses in the range
        of the experiment (``deflectors``).

    Returns
    -------
    HostUse

    Raises
    ------
    DataError
        If a galaxy occurs twice.
    """
    ids = np.asarray(hosts["host_id"].to_pylist(), dtype=object)
    unique, counts = np.unique(ids.astype(str), return_counts=True)
    if len(unique) < len(ids):
        twice = str(unique[np.argmax(counts)])
        raise DataError(
            describe(
                "A galaxy occurs twice among the hosts",
                field="host_id",
                row=twice,
                got=f"{counts.max()} rows",
            )
        )
    ra, dec = _floats(hosts, "ra"), _floats(hosts, "dec")
    split = np.asarray(splits.of(ra, dec)).astype(object)
    status = np.asarray(hosts["status"].to_pylist(), dtype=object)
    rejected = np.asarray(hosts["reject_reason"].to_pylist(), dtype=object)
    selected = np.asarray(hosts[f"is_{experiment.hosts.selection}"].to_pylist(), dtype=bool)
    conditions = np.stack([_floats(hosts, name) for name in MANIFEST.names(Role.CONDITION)], axis=1)
    bad = np.stack([_floats(hosts, name) for name in per_band("bad_pixel_frac_{b}")], axis=1)
    fwhm = np.stack([_floats(hosts, name) for name in per_band("psf_fwhm_{b}_arcsec")], axis=1)
    low, high = get_release(experiment.survey.release).limits.psf_fwhm_arcsec

    pixels = [
        (status != "ok", status),
        (~np.isfinite(conditions).all(axis=1), "missing_condition"),
        (~(bad <= experiment.hosts.max_bad_pixel_frac).all(axis=1), "bad_pixels"),
        (~((fwhm >= low) & (fwhm <= high)).all(axis=1), "seeing_out_of_range"),
        (split == "guard", "guard"),
    ]
    near, look_alike = _near_anchors(experiment, ra, dec, anchors)
    catalogue = [
        (~selected, "not_selected"),
        (rejected != "", rejected),
        (near, "near_anchor"),
    ]
    if unfit is not None:
        catalogue.append((unfit(split), "no_einstein_radius"))
    reason = _first_reason(len(ids), [*pixels, *catalogue])
    if experiment.controls.hard_negatives:
        usable = _first_reason(len(ids), pixels) == USED
        reason[usable & look_alike & np.isin(split, SPLITS[:2])] = HARD_NEGATIVE
    limit = profile.max_hosts_per_tile
    used = np.flatnonzero(reason == USED)
    if limit is not None and len(used) > limit:
        order = np.argsort(streams.uniform(experiment.seed, "host_limit", ids[used]), kind="stable")
        reason[used[order[limit:]]] = "over_limit"
    return HostUse(reason=reason.astype(str), split=split.astype(str))


def _first_reason(n: int, rules: list[tuple[NDArray[Any], Any]]) -> NDArray[Any]:
    reason = np.full(n, USED, dtype=object)
    for broken, name in reversed(rules):
        reason = np.where(broken, name, reason)
    return reason


def _near_anchors(
    experiment: Experiment, ra: NDArray[np.float64], dec: NDArray[np.float64], anchors: pa.Table | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (host is near an anchor, host is a look-alike that may be a hard negative)."""
    near, look_alike = np.zeros(len(ra), dtype=bool), np.zeros(len(ra), dtype=bool)
    if anchors is None or anchors.num_rows == 0 or len(ra) == 0:
        return near, look_alike
    known_ra, known_dec = _floats(anchors, "ra"), _floats(anchors, "dec")
    use = np.asarray(anchors["use"].to_pylist(), dtype=object) == "hard_negative"
    limit = experiment.hosts.anchor_exclusion_arcsec
    near = nearest_arcsec(ra, dec, known_ra, known_dec)[0] <= limit
    separation, nearest = nearest_arcsec(known_ra, known_dec, ra, dec)
    look_alike[nearest[use & (separation <= HARD_NEGATIVE_MATCH_ARCSEC)]] = True
    look_alike &= nearest_arcsec(ra, dec, known_ra[~use], known_dec[~use])[0] > limit
    return near, look_alike


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a numeric column with nulls as NaN."""
    column = table[name].cast(pa.float64()).combine_chunks()
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


@dataclass(frozen=True)
class Block:
    """Hosts of similar galaxies that share their roles; entries index the host table.

    Parameters
    ----------
    split : str
        Split of all its hosts.
    lens_hosts : tuple of int
        Each carries a positive; with matched light, host i also carries the
        light of the positive of host i + 1, cyclically.
    unpaired : tuple of (int, int)
        (control host, lens host it is compared with and thinned with).
    """

    split: str
    lens_hosts: tuple[int, ...]
    unpaired: tuple[tuple[int, int], ...]


def assign_blocks(
    experiment: Experiment, profile: Profile, *, hosts: pa.Table, use: HostUse
) -> tuple[list[Block], list[int]]:
    """Put the used hosts in blocks and give each a role by a keyed hash.

    Hosts of a split are taken in brick order in runs of about
    ``profile.unit_hosts``, sorted by r magnitude within a run, and cut into
    blocks: a block holds galaxies of similar brightness from neighbouring
    bricks, hence of similar seeing and depth.

    Parameters
    ----------
    experiment : Experiment
        Its ``controls`` section and seed.
    profile : Profile
        ``unit_hosts``.
    hosts : pyarrow.Table
        HOSTS columns without pixels.
    use : HostUse
        From :func:`classify_hosts`.

    Returns
    -------
    blocks : list of Block
        In storage order.
    left_over : list of int
        Used hosts too few to make a block in their split.
    """
    controls = experiment.controls
    needed = 2 if controls.matched_light else 1
    size = _block_size(controls.unpaired_fraction, needed)
    ids = hosts["host_id"].to_pylist()
    bricks = hosts["brickname"].to_pylist()
    mag_r = _floats(hosts, "host_mag_r")
    key = streams.uniform(experiment.seed, "host_role", ids)
    blocks: list[Block] = []
    left_over: list[int] = []
    for split in SPLITS:
        members = np.flatnonzero((use.reason == USED) & (use.split == split)).tolist()
        if len(members) < needed + (controls.unpaired_fraction > 0.0):
            left_over += members
            continue
        members.sort(key=lambda i: (bricks[i], ids[i]))
        done, given = 0, 0
        for run in np.split(np.asarray(members), run_ends(len(members), profile.unit_hosts)[:-1]):
            ordered = sorted(run.tolist(), key=lambda i: (mag_r[i], ids[i]))
            for start, stop in _cuts(len(ordered), size):
                block = sorted(ordered[start:stop], key=lambda i: (key[i], ids[i]))
                done += len(block)
                n_unpaired = round(done * controls.unpaired_fraction) - given
                n_unpaired = min(max(n_unpaired, 0), len(block) - needed)
                given += n_unpaired
                lens_hosts = block[n_unpaired:]
                blocks.append(
                    Block(
                        split=split,
                        lens_hosts=tuple(lens_hosts),
                        unpaired=tuple(
                            (host, lens_hosts[i % len(lens_hosts)])
                            for i, host in enumerate(block[:n_unpaired])
                        ),
                    )
                )
    return blocks, left_over


def _block_size(unpaired_fraction: float, needed: int) -> int:
    """Return the smallest block that keeps ``needed`` lens hosts beside its share of controls."""
    if unpaired_fraction >= 1.0:
        raise ConfigError(
            describe("No host is left for positives", field="unpaired_fraction", expected="< 1", got=1.0)
        )
    return max(_MIN_BLOCK_HOSTS, math.ceil(needed / (1.0 - unpaired_fraction)))


def _cuts(n: int, size: int) -> list[tuple[int, int]]:
    """Cut range(n) into pieces of ``size``, the last one up to twice as long."""
    starts = list(range(0, max(n - size + 1, 1), size))
    return list(zip(starts, [*starts[1:], n], strict=True))
