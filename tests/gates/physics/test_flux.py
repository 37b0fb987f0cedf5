"""P1: the oracle agrees with sound stamps and with nothing else."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS
from gates.faults import plants

from darkhaloscope.gates.physics import flux
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.sources.library import open_sources


@pytest.fixture(scope="module")
def library(good):
    with open_sources("cosmos", good.world.bank_path) as sources:
        yield sources


def p1(good, library, table=None, rows=30, oracle=flux.oracle_flux_nmgy):
    chosen = good.world.experiment
    sample = good.sample if table is None else gate_world.sample_of(table, chosen)
    measured = flux.measure_flux(
        sample,
        good.hosts,
        library,
        experiment=chosen,
        size_px=gate_world.SIZE_PX,
        oracle_rows=rows,
        limits=LIMITS,
        oracle=oracle,
    )
    return flux.judge_flux(measured, LIMITS)


def test_sound_flux_passes_against_lenstronomy(good, library):
    verdict = p1(good, library)
    assert verdict.status is GateStatus.PASS
    assert abs(verdict.value) < 0.01
    assert verdict.n_effective == 30
    assert verdict.values["matched_light"]["rows"] > 100
    assert verdict.values["dark_rows"] == 0


def recorded(good):
    """An oracle that looks the recorded flux up, for faults that need no second rendering."""
    names = [f"arc_flux_{b}_nmgy" for b in "grz"]
    by_lens = {
        round(float(theta), 9): [good.table[name][row].as_py() for name in names]
        for row, theta in enumerate(good.table["theta_e_arcsec"].to_pylist())
        if theta is not None
    }
    return lambda _templates, **given: np.array(
        [by_lens[round(float(t), 9)] for t in given["theta_e_arcsec"]]
    )


@pytest.mark.parametrize("factor", [1.0 / 1111.0, 1.05, 0.95])
def test_light_off_by_a_factor_fails(good, library, factor):
    verdict = p1(good, library, plants.scaled_light(good.table, factor), 200, recorded(good))
    assert verdict.status is GateStatus.FAIL
    assert "lenstronomy" in verdict.reason
    assert verdict.value == pytest.approx(factor - 1.0, abs=0.01)


def test_matched_light_off_by_a_factor_fails(good, library):
    verdict = p1(good, library, plants.scaled_light(good.table, 1.05, "matched_light"), 200, recorded(good))
    assert verdict.status is GateStatus.FAIL
    assert "twin" in verdict.reason


def test_a_few_wrong_rows_fail_though_the_median_is_right(good, library):
    image_rows = np.flatnonzero(gate_world.kinds(good.table) == "positive")[:25]
    some = gate_world.keep(good.table, np.isin(np.arange(good.table.num_rows), image_rows))
    rest = gate_world.keep(good.table, ~np.isin(np.arange(good.table.num_rows), image_rows))
    hosts = gate_world.values(some, "host_id")
    pairs = gate_world.keep(
        rest,
        np.isin(gate_world.values(rest, "host_id"), hosts) & (gate_world.kinds(rest) == "paired"),
    )
    import pyarrow as pa

    scaled = plants.scaled_light(pa.concat_tables([some, pairs]).combine_chunks(), 1.6)
    wrong = gate_world.keep(scaled, gate_world.kinds(scaled) == "positive")
    verdict = p1(good, library, pa.concat_tables([rest, wrong]).combine_chunks(), 300, recorded(good))
    assert verdict.status is GateStatus.FAIL
    assert "of 2" in verdict.reason


def test_controls_that_differ_from_their_host_fail(good, library):
    verdict = p1(good, library, plants.touched_controls(good.table), 60, recorded(good))
    assert verdict.status is GateStatus.FAIL
    assert "nothing was added" in verdict.reason


def test_too_few_rows_fail(good, library):
    assert p1(good, library, rows=5).status is GateStatus.FAIL


def test_photon_noise_is_not_a_fault(good, library):
    """The allowance follows the light: with its noise ignored, faint sound rows would count as off."""
    verdict = p1(good, library, rows=300, oracle=recorded(good))
    errors = verdict.values["oracle"]
    assert verdict.status is GateStatus.PASS
    assert errors["median_noise"] > 0.0
    assert errors["off"] <= 0.01 * errors["rows"] + 1
