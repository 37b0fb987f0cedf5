"""Who is where: galaxies, tasks and sources against plain counting, in files as in memory."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.gates.columns import identities
from darkhaloscope.gates.columns.hostsample import HostRowsTally
from darkhaloscope.gates.columns.spool import PARTITIONS, Spool


def rng(key):
    return np.random.Generator(np.random.Philox(key=key))


def test_hashes_differ_for_different_texts_and_are_one_for_equal():
    texts = [f"10000-{i}-{j}" for i in range(300) for j in range(300)]
    found = identities.hashes(pa.chunked_array([texts[:7], texts[7:]]))
    assert np.unique(found).size == len(texts)
    assert np.array_equal(found[100:110], identities.hashes(pa.array(texts).slice(100, 10)))
    # partitions are taken from the leading bits: they must be even
    share = np.bincount((found >> np.uint64(58)).astype(int), minlength=PARTITIONS) / len(texts)
    assert share.min() > 0.8 / PARTITIONS


def test_a_null_id_is_refused():
    with pytest.raises(DataError, match="null"):
        identities.hashes(pa.array(["a", None]))


def test_names_are_found_again_in_order():
    texts = pa.chunked_array([["a", "b", None, "c", "b"]])
    wanted = identities.hashes(pa.array(["c", "b"]))
    assert identities.names_of(texts, wanted) == ["c", "b"]


def test_records_survive_the_disk_with_their_partition():
    records = rng(1).integers(0, 2**64, (5_000, 2), dtype=np.uint64)
    memory, disk = Spool(2), Spool(2, memory_bytes=4_096)
    for part in np.array_split(records, 40):
        memory.add(part)
        disk.add(part)
    assert disk.rows == 5_000
    for a, b in zip(memory.partitions(), disk.partitions(), strict=True):
        assert np.array_equal(a, b)


def world(key, rows=4_000, hosts=900):
    host = rng(key).integers(0, hosts, rows)
    cell = rng(key + 1).integers(0, identities.CELLS, rows).astype(np.uint8)
    return identities.hashes(pa.array([f"h{h}" for h in host])), cell, host.astype(np.int64)


def tally(*parts):
    made = identities.GalaxyTally()
    for part in parts:
        made.update(*part)
    return made


def test_galaxies_are_those_of_plain_counting():
    hashed, cell, position = world(3)
    galaxies = tally((hashed, cell, position)).result()
    plain = dict.fromkeys(position.tolist(), 0)
    for h, c in zip(position.tolist(), cell.tolist(), strict=True):
        plain[h] |= 1 << c
    assert dict(zip(galaxies.position.tolist(), galaxies.cells.tolist(), strict=True)) == plain
    counts = Counter(zip(position.tolist(), (cell // 3).tolist(), strict=True))
    for kind in range(5):
        expected = Counter(n for (_, k), n in counts.items() if k == kind)
        found = {i: int(n) for i, n in enumerate(galaxies.rows_per_host[kind]) if n}
        assert found == dict(expected)
    most = max(counts.values())
    worst = {h for (h, _), n in counts.items() if n == most}
    of = dict(zip(hashed.tolist(), position.tolist(), strict=True))
    known = {h & ~0xF: p for h, p in of.items()}
    assert {known[h] for h in galaxies.repeated.tolist()} <= worst


def test_galaxies_of_two_workers_are_those_of_one():
    part = world(5)
    half = tuple(a[:1_500] for a in part), tuple(a[1_500:] for a in part)
    first, second = tally(half[1]), tally(half[0])
    first.merge(second)
    whole, merged = tally(part).result(), first.result()
    for name in ("host", "cells", "position", "rows_per_host"):
        assert np.array_equal(getattr(whole, name), getattr(merged, name))
    assert set(whole.repeated.tolist()) == set(merged.repeated.tolist())


def test_tasks_that_occur_twice_are_found():
    tasks = identities.hashes(pa.array([f"t{i}" for i in range(1_000)]))
    made = identities.TaskTally()
    made.update(tasks)
    assert made.result()[0] == 0
    made.update(tasks[[5, 5, 9]])
    surplus, which = made.result()
    assert surplus == 3
    assert set(which.tolist()) == set(tasks[[5, 9]].tolist())


def test_things_in_two_splits_are_found():
    things = identities.hashes(pa.array(["a", "a", "b", "c", "c", "c"]))
    first, second = identities.SharedTally(), identities.SharedTally()
    first.update(things[:3], np.array([0, 0, 0], np.uint8))
    second.update(things[3:], np.array([1, 2, 2], np.uint8))
    first.merge(second)
    shared = first.result()
    assert shared.distinct == 3
    assert shared.twice().tolist() == [int(things[3]) & ~0xF]
    assert sorted(shared.rows.tolist()) == [1, 1, 2, 2]


def test_the_sample_does_not_depend_on_order_or_workers():
    hashed, cell, position = world(7, rows=6_000, hosts=2_000)
    order = identities.hashes(pa.array([f"t{i}" for i in range(6_000)]))
    values = [position.astype(float), cell.astype(float)]

    def sampled(*rows):
        made = [HostRowsTally(2, hosts=50) for _ in rows]
        for one, chosen in zip(made, rows, strict=True):
            for part in np.array_split(chosen, 7):
                one.update(hashed[part], order[part], cell[part], [v[part] for v in values])
        for other in made[1:]:
            made[0].merge(other)
        return made[0].result()

    shuffled = rng(8).permutation(6_000)
    once, twice = sampled(np.arange(6_000)), sampled(shuffled[:2_500], shuffled[2_500:])
    assert np.unique(once.host).size == 50
    for name in ("host", "cell", "values"):
        assert np.array_equal(getattr(once, name), getattr(twice, name))
    smallest = np.unique(hashed)[:50]
    assert len(once.host) == np.isin(hashed, smallest).sum()
    assert np.unique(once.first(20).host).tolist() == smallest[:20].tolist()
