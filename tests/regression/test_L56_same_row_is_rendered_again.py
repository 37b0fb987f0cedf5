"""L56: a decisive agreement of renderings came from another lens, another source and another PSF."""

import gate_world
import pyarrow as pa
import pytest
from gate_world import LIMITS, Rows, values

from darkhaloscope import tabular
from darkhaloscope.gates.physics import path
from darkhaloscope.gates.result import GateStatus


def judged(gate_set, table):
    measured = path.measure_rerendering(
        path.chosen_rows(table.select(["task_id", "control_kind"]), seed=2, n_per_kind=6),
        Rows(table),
        experiment=gate_set.world.experiment,
        profile=gate_world.PROFILE,
        manifest_paths=gate_set.world.paths("manifest"),
        stamp_paths=gate_set.world.paths("stamps"),
        hosts_paths=gate_set.world.paths("hosts"),
        bank_path=gate_set.world.bank_path,
    )
    return path.judge_rerendering(measured, LIMITS)


def test_l56_the_stored_row_is_the_one_that_is_rendered(gate_set):
    verdict = judged(gate_set, gate_set.table)
    assert verdict.status is GateStatus.PASS
    assert verdict.n_effective == 24


@pytest.mark.parametrize("column", ["lens_q", "src_rotation_rad", "psf_fwhm_g_arcsec"])
def test_l56_a_row_beside_pixels_of_other_parameters_fails(gate_set, column):
    recorded = values(gate_set.table, column).astype(float) * 0.9
    table = gate_world.changed(gate_set.table, **{column: pa.array(recorded, mask=recorded != recorded)})
    verdict = judged(gate_set, table)
    assert verdict.status is GateStatus.FAIL
    assert column in verdict.reason


def test_l56_pixels_of_the_next_row_fail(gate_set):
    image = tabular.pixels(gate_set.table, "image")
    verdict = judged(gate_set, gate_world.changed(gate_set.table, image=image[::-1].copy()))
    assert verdict.status is GateStatus.FAIL
    assert "pixels are not those of the recorded parameters in 24 of 24 rows: image" in verdict.reason
