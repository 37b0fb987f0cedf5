"""A1: the planted faults that must fail it and the clean set that must not."""

import anchor_world as world
import numpy as np
import pyarrow as pa
import pytest
import sky_tree

from darkhaloscope import tabular
from darkhaloscope.gates.anchors.pointing import judge_pointing, measure_pointing, run_anchor_gates
from darkhaloscope.gates.result import GateReport, GateStatus
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import ANCHOR_STAMPS


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> pa.Table:
    folder = tmp_path_factory.mktemp("pointing")
    root = sky_tree.write_tree(folder / "sky", sky_tree.pair())
    rows = [world.at(world.galaxy(brick, 1), 0.3) for brick in (0, 1)]
    rows.append(world.at(world.galaxy(0, 0), type="ring", ref=world.RINGS))
    rows.append(world.at(world.galaxy(0, 2), 30.0))
    return world.stamps(root, rows, folder)


def judge(table):
    return judge_pointing(measure_pointing(table, world.RELEASE), Thresholds())


def plant(table: pa.Table, row: int, **columns) -> pa.Table:
    """Change one row of a stamp table."""
    data = {name: table[name].combine_chunks() for name in table.column_names}
    for name, value in columns.items():
        if name in {"image", "invvar", "maskbits"}:
            raise AssertionError("use plant_pixels")
        values = table[name].to_pylist()
        values[row] = value
        data[name] = pa.array(values, table.schema.field(name).type)
    return pa.table(list(data.values()), schema=table.schema)


def plant_pixels(table: pa.Table, row: int, name: str, change) -> pa.Table:
    """Change the pixels of one of the ok rows; the others are dropped."""
    ok = table.filter(pa.compute.equal(table["status"], "ok"))
    planes = tabular.pixels(ok, name).copy()
    change(planes[row])
    data = {c: ok[c].combine_chunks() for c in ok.column_names}
    return ANCHOR_STAMPS.table({**data, name: planes}, world.SIZE_PX)


def test_the_clean_set_passes_and_says_how_many(clean):
    verdict = judge(clean)
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.n_effective == 3
    assert "1 rows were refused" in verdict.reason
    assert verdict.value == 0.0


def test_a_blank_stamp_fails(clean):
    def blank(image):
        image[...] = np.random.Generator(np.random.Philox(key=1)).normal(0.0, 0.003, image.shape)

    verdict = judge(plant_pixels(clean, 0, "image", blank))
    assert verdict.status is GateStatus.FAIL
    assert "1 of 3" in verdict.reason
    assert "aperture flux" in verdict.reason


def test_a_masked_or_unobserved_galaxy_fails(clean):
    def mask(bits):
        bits[30:34, 30:34] |= 1 << 3  # SATUR_R

    def unseen(invvar):
        invvar[2, 30:34, 30:34] = 0.0

    for name, change, word in (("maskbits", mask, "masked_r"), ("invvar", unseen, "zero_invvar_z")):
        verdict = judge(plant_pixels(clean, 1, name, change))
        assert verdict.status is GateStatus.FAIL
        assert word in verdict.reason


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"host_id": ""}, "no matched survey source"),
        ({"separation_arcsec": 12.0}, "12.00 arcsec from its source"),
        ({"separation_arcsec": None}, "no matched source"),
        ({"object_class": "quasar"}, "is a quasar"),
        ({"object_class": "cluster"}, "is a cluster"),
        ({"ra": 150.0, "dec": 40.0}, "outside dr10-south"),
        ({"host_mag_r": 15.0}, "catalogue r = 15.00"),
        ({"host_mag_r": None}, "no catalogue magnitude"),
    ],
)
def test_a_planted_fault_fails_and_is_named(clean, columns, word):
    verdict = judge(plant(clean, 0, **columns))
    assert verdict.status is GateStatus.FAIL
    assert word in verdict.reason


def test_a_fault_among_lookalikes_counts_too(clean):
    rings = [i for i, kind in enumerate(clean["kind"].to_pylist()) if kind == "lookalike"]
    assert judge(plant(clean, rings[0], host_id="")).status is GateStatus.FAIL


def test_nothing_to_score_fails_closed(clean):
    none = plant(clean, 0, status="no_source")
    for row in range(1, clean.num_rows):
        none = plant(none, row, status="no_source")
    verdict = judge(none)
    assert verdict.status is GateStatus.FAIL
    assert "no object can be scored" in verdict.reason


def test_the_report_is_bound_to_the_stamps_and_survives_json(clean, tmp_path):
    report = run_anchor_gates(clean, artefact_hash="abc", release=world.RELEASE, figures_dir=tmp_path)
    assert [result.gate for result in report] == ["A1"]
    assert report.artefact_hash == report.results[0].artefact_hash == "abc"
    assert (tmp_path / report.results[0].figure).stat().st_size > 1000
    assert GateReport.from_json(report.to_json()) == report
