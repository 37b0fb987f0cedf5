"""P6, P7: rows follow from their parameters, and injecting nothing changes nothing."""

from dataclasses import replace

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows, changed, kinds, values
from gates.faults import broken_light, plants
from gates.physics.arc_world import Wrong, arcs_of

from darkhaloscope import tabular
from darkhaloscope.config import Storage
from darkhaloscope.gates.physics import path
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.lensing.renderers import open_renderer
from darkhaloscope.stamps import light
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for


def p6(good, table, chosen=None):
    experiment = good.world.experiment if chosen is None else chosen
    measured = path.measure_rerendering(
        path.chosen_rows(table.select(["task_id", "control_kind"]), seed=1, n_per_kind=10),
        Rows(table),
        experiment=experiment,
        profile=gate_world.PROFILE,
        manifest_paths=good.world.paths("manifest"),
        stamp_paths=good.world.paths("stamps"),
        hosts_paths=good.world.paths("hosts"),
        bank_path=good.world.bank_path,
    )
    return path.judge_rerendering(measured, LIMITS)


def test_sound_rows_of_every_class_are_made_again(good):
    verdict = p6(good, good.table)
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.n_effective == 40


def test_one_bit_of_one_pixel_is_seen(good):
    image = tabular.pixels(good.table, "image").copy()
    image[:, 1, 3, 4] = np.nextafter(image[:, 1, 3, 4], np.float32(np.inf))
    verdict = p6(good, changed(good.table, image=image))
    assert verdict.status is GateStatus.FAIL
    assert "in 40 of 40 rows: image" in verdict.reason


def test_each_parameter_that_is_rendered_is_compared(good):
    for name in ("theta_e_arcsec", "src_mag_g", "psf_fwhm_z_arcsec"):
        column = values(good.table, name).astype(float)
        verdict = p6(
            good, changed(good.table, **{name: gate_world.pa.array(column * 1.01, mask=np.isnan(column))})
        )
        assert verdict.status is GateStatus.FAIL
        assert "parameters recorded are not those applied in" in verdict.reason
        assert name in verdict.reason


def test_a_result_that_is_not_of_the_pixels_is_named(good):
    verdict = p6(good, broken_light.snr_is(good.table, "arc_snr_footprint_r", "arc_snr_max_r"))
    assert verdict.status is GateStatus.FAIL
    assert "recorded results are not those of the pixels" in verdict.reason


def test_quantised_shards_are_compared_as_they_were_made(good):
    chosen = good.world.experiment.model_copy(update={"storage": Storage(form="quantised")})
    assert p6(good, gate_world.quantised(good.table), chosen).status is GateStatus.PASS


def test_too_few_rows_fail(good):
    verdict = p6(good, good.table.slice(0, 3))
    assert verdict.status is GateStatus.FAIL
    assert "3 rows made again" in verdict.reason


def p7(good, table=None, arcs=None):
    table = good.table if table is None else table
    dark = gate_world.keep(table, np.isin(kinds(table), path.UNLIT))
    experiment = good.world.experiment
    located = locate_hosts(good.world.paths("hosts"), dark["host_id"].to_pylist())
    measured = path.measure_nulls(
        arcs_of(good, n_rows=24) if arcs is None else arcs,
        dark,
        Rows(table),
        stamp_paths=good.world.paths("stamps"),
        control_hosts=load_hosts_for(experiment, located, size_px=gate_world.SIZE_PX),
        experiment=experiment,
    )
    return path.judge_nulls(measured, LIMITS)


def test_nothing_leaves_no_mark(good):
    verdict = p7(good)
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.values["injected"]["changed"] == {"image": 0, "invvar": 0, "maskbits": 0}
    assert verdict.values["controls"]["rows"] > 300


def test_a_mark_of_the_path_is_found(good, monkeypatch):
    """A renderer that leaves a floor of 1e-9 nMgy in every pixel."""
    monkeypatch.setattr(
        light,
        "open_renderer",
        lambda engine, quality: Wrong(
            open_renderer(engine, quality), image=lambda image, _s: image + np.float32(1e-9)
        ),
    )
    verdict = p7(good)
    assert verdict.status is GateStatus.FAIL
    assert "injections of nothing differ from their host: image of 24" in verdict.reason


def test_a_path_that_refuses_nothing_is_found(good, monkeypatch):
    monkeypatch.setattr(
        light,
        "open_renderer",
        lambda engine, quality: Wrong(open_renderer(engine, quality), image=lambda image, _s: np.nan * image),
    )
    verdict = p7(good)
    assert verdict.status is GateStatus.FAIL
    assert "24 null injections were refused" in verdict.reason


def test_dark_controls_off_by_a_bit_are_found(good):
    verdict = p7(good, plants.touched_controls(good.table))
    assert verdict.status is GateStatus.FAIL
    assert "controls to which nothing was added differ" in verdict.reason


def test_a_changed_inverse_variance_is_a_mark(good):
    invvar = tabular.pixels(good.table, "invvar").copy()
    invvar[kinds(good.table) == "unpaired"] *= np.float32(1.0 + 1e-6)
    verdict = p7(good, changed(good.table, invvar=invvar))
    assert verdict.status is GateStatus.FAIL
    assert "invvar of" in verdict.reason


@pytest.mark.parametrize("n", [0, 3])
def test_too_few_null_injections_fail(good, n):
    arcs = arcs_of(good, n_rows=max(n, 1))
    arcs = arcs if n else replace(arcs, table=arcs.table.slice(0, 0))
    assert p7(good, arcs=arcs).status is GateStatus.FAIL
