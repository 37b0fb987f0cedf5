"""One pass over all rows: counts of plain reading, and two workers' passes are one."""

import gate_world
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import stamp_world
from gate_world import Rows, values

from darkhaloscope.config import SnrTargeting
from darkhaloscope.errors import DataError
from darkhaloscope.gates.columns import ColumnScan, Plan
from darkhaloscope.gates.columns.effects import TwoGroups, cohen_d_of, ks_distance_of
from darkhaloscope.gates.columns.scan import class_cells
from darkhaloscope.gates.inputs import MissingInputError
from darkhaloscope.stamps.snr_target import declared_target
from darkhaloscope.statistics import cohen_d, ks_two_sample

AIM = SnrTargeting(mode="choose_flux", target="table")


def test_counts_are_those_of_the_rows(good):
    columns, population = Rows(good.table).columns, good.rows.population
    for kind in ("positive", "unpaired"):
        for split in ("train", "val", "test"):
            chosen = population.where(kind, split)
            assert columns.count(kind, split) == chosen.sum()
            assert columns.hosts(kind, split) == population.galaxies(chosen)
    assert columns.total == good.table.num_rows
    assert len(columns.galaxies) == population.galaxies()
    sources = good.table["source_id"]
    assert columns.sources.distinct == pc.count_distinct(sources).as_py()
    assert columns.sources.rows.sum() == len(sources) - sources.null_count


def test_two_workers_scans_are_one_pass(good):
    table = gate_world.on_target(good.table, AIM)
    plan = Plan(32, stamp_world.split_map(), declared_target(AIM))
    whole, first, second = (ColumnScan(plan, hosts=60) for _ in range(3))
    rows = table.select(whole.columns).combine_chunks()
    for start in range(0, rows.num_rows, 100):
        part = rows.slice(start, 100)
        whole.update(part)
        (first if start % 300 else second).update(part)
    first.merge(second)
    one, two = whole.result(), first.result()
    for name in ("rows", "nan_rows", "snr_not_finite", "wrong_cells", "misplaced"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    for name in ("sample", "sources", "sky_cells", "galaxies"):
        for field, mine in vars(getattr(one, name)).items():
            if field != "repeated":
                assert np.array_equal(mine, getattr(getattr(two, name), field)), (name, field)
    for name in ("bandsets", "snr_counts"):
        mine, theirs = getattr(one, name), getattr(two, name)
        assert {k: v.tolist() for k, v in mine.items()} == {k: v.tolist() for k, v in theirs.items()}
    groups = TwoGroups.of(one, class_cells("positive"), class_cells("unpaired"))
    for name in ("psf_fwhm_r_arcsec", "nexp_g", "dec"):
        assert one.values[name].ks(groups.a, groups.b) == two.values[name].ks(groups.a, groups.b)
        d, same = (cohen_d_of(c, name, groups, 0.95).to_dict() for c in (one, two))
        assert d == pytest.approx(same, rel=1e-9)


@pytest.mark.parametrize("name", ["psf_fwhm_r_arcsec", "host_mag_z", "nexp_r", "ebv"])
@pytest.mark.parametrize("kind", ["paired", "unpaired", "matched_light"])
def test_effects_are_those_of_the_plain_statistics(good, name, kind):
    columns, population = Rows(good.table).columns, good.rows.population
    x = values(good.table, name).astype(float)
    a, b = population.where("positive"), population.where(kind)
    groups = TwoGroups.of(columns, class_cells("positive"), class_cells(kind))
    plain = cohen_d(x[a], x[b], population.host[a], population.host[b], 0.99)
    assert cohen_d_of(columns, name, groups, 0.99).to_dict() == pytest.approx(plain.to_dict(), abs=1e-9)
    exact = ks_two_sample(x[a], x[b], population.galaxies(a), population.galaxies(b), 0.99)
    found = ks_distance_of(columns, name, groups, 0.99)
    assert found.n == exact.n
    assert found.lower <= exact.lower + 1e-12
    assert found.upper >= exact.upper - 1e-12
    assert found.value == pytest.approx(exact.value, abs=0.01)


def test_a_sample_of_galaxies_gives_the_error_of_all():
    """Twenty thousand galaxies, half of them pairs; a twentieth of them is kept."""
    rng = np.random.Generator(np.random.Philox(key=4))
    n = 20_000
    host, own = np.r_[np.arange(n), np.arange(n // 2)], rng.normal(size=n)
    x = own[host] + 0.1 * rng.normal(size=host.size)
    lens = np.r_[np.ones(n, bool), np.zeros(n // 2, bool)]
    table = pa.table(
        {
            "control_kind": np.where(lens, "positive", "paired"),
            "split": ["train"] * len(x),
            "host_id": [f"h{h}" for h in host],
            "ebv": x,
        }
    )
    found = []
    for hosts in (1_000, n):
        lacking = set(ColumnScan(Plan()).columns) - set(table.column_names)
        scan = ColumnScan(Plan(), dict.fromkeys(lacking, "no"), hosts)
        scan.update(table)
        columns = scan.result()
        groups = TwoGroups.of(columns, class_cells("positive"), class_cells("paired"))
        found.append(cohen_d_of(columns, "ebv", groups, 0.95))
    few, every = found
    assert few.value == every.value
    assert few.n == every.n == n
    assert few.upper - few.value == pytest.approx(every.upper - every.value, rel=0.1)
    naive = cohen_d(x[lens], x[~lens])
    assert every.upper - every.value < 0.8 * (naive.upper - naive.value)


def test_an_empty_set_is_refused(good):
    with pytest.raises(DataError, match="No rows"):
        _ = Rows(good.table.slice(0, 0)).columns


def test_an_unknown_class_is_refused(good):
    kinds = gate_world.kinds(good.table).astype(object)
    kinds[3] = "lens"
    with pytest.raises(DataError, match="lens"):
        _ = Rows(gate_world.changed(good.table, control_kind=kinds)).columns


def test_a_column_that_is_absent_is_missed_only_by_who_asks(good):
    scan = ColumnScan(Plan(), {"ebv": "no reddening", "ra": "no positions", "task_id": "no ids"})
    scan.update(good.table)
    columns = scan.result()
    assert columns.count("positive") > 0
    columns.require("host_id", "dec")
    with pytest.raises(MissingInputError, match="no reddening"):
        columns.require("ebv")
    with pytest.raises(MissingInputError, match="no class"):
        ColumnScan(Plan(), {"control_kind": "no class"})


def test_rows_off_their_cell_or_plan_are_counted(good):
    cells = values(good.table, "healpix").copy()
    cells[[3, 8]] += 1
    columns = Rows(gate_world.changed(good.table, healpix=cells)).planned(stamp_world.split_map())
    assert columns.wrong_cells == 2
    assert columns.misplaced == 0
