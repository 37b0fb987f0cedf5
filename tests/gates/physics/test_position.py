"""P2: arcs elsewhere, of another size or sharpness, in one direction, and a renderer that moves light."""

from dataclasses import replace

import numpy as np
import pytest
from gate_world import LIMITS
from gates.physics.arc_world import Wrong
from scipy import ndimage

from darkhaloscope.gates.physics import figures
from darkhaloscope.gates.physics.position import judge_position, measure_impulse, measure_position, rayleigh_p
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.lensing.renderers import open_renderer

SCALE = 0.262


@pytest.fixture(scope="module")
def renderer():
    return open_renderer("numba", "standard")


def p2(arcs, renderer):
    measured = measure_position(arcs, renderer, pixel_scale_arcsec=SCALE, seed=1, limits=LIMITS)
    return judge_position(measured, LIMITS)


def moved(arcs, change):
    """Arcs whose light is changed plane by plane."""
    light = np.stack([[change(plane) for plane in planes] for planes in arcs.light])
    return replace(arcs, light=light)


def some(arcs, n):
    return replace(
        arcs,
        rows=arcs.rows[:n],
        table=arcs.table.slice(0, n),
        light=arcs.light[:n],
        oracle=arcs.oracle[:n],
        variance=arcs.variance[:n],
        centre_px=arcs.centre_px[:n],
    )


def test_sound_arcs_pass(arcs, renderer):
    verdict = p2(arcs, renderer)
    assert verdict.status is GateStatus.PASS, verdict.reason
    assert verdict.value == pytest.approx(1.0, abs=0.01)
    assert verdict.n_effective == len(arcs)
    assert verdict.values["off"] == {"radius": 0, "shift_px": 0, "sharpness": 0}
    assert verdict.values["rayleigh"]["p"] > 1e-3


def test_a_factor_is_not_a_place(arcs, renderer):
    assert (
        p2(replace(arcs, light=0.9 * arcs.light, variance=arcs.variance), renderer).status is GateStatus.PASS
    )


def test_a_tenth_of_a_pixel_is_seen(arcs, renderer):
    verdict = p2(moved(arcs, lambda plane: ndimage.shift(plane, (0.0, 0.1), order=3)), renderer)
    assert verdict.status is GateStatus.FAIL
    assert "arcs are shifted by +0." in verdict.reason
    assert verdict.value == pytest.approx(0.1, abs=0.03)
    assert "along x" in verdict.reason


def test_a_wider_arc_is_named(arcs, renderer):
    def stretched(plane):
        centre = (plane.shape[0] - 1) / 2.0
        return ndimage.affine_transform(plane, np.eye(2) / 1.06, offset=centre - centre / 1.06, order=3)

    verdict = p2(moved(arcs, stretched), renderer)
    assert verdict.status is GateStatus.FAIL
    assert "radius about the deflector" in verdict.reason
    assert verdict.value == pytest.approx(1.06, abs=0.02)


def test_another_seeing_is_named(arcs, renderer):
    verdict = p2(moved(arcs, lambda plane: ndimage.gaussian_filter(plane, 1.0)), renderer)
    assert verdict.status is GateStatus.FAIL
    assert "sharpness" in verdict.reason


def test_one_row_in_ten_elsewhere_fails_though_the_median_is_right(arcs, renderer):
    light = arcs.light.copy()
    light[::8] = np.roll(light[::8], 1, axis=-1)
    verdict = p2(replace(arcs, light=light), renderer)
    assert verdict.status is GateStatus.FAIL
    assert "of 60 arcs are in another place" in verdict.reason


@pytest.mark.parametrize("n", [0, 5])
def test_too_few_arcs_fail(arcs, renderer, n):
    verdict = p2(some(arcs, n), renderer)
    assert verdict.status is GateStatus.FAIL
    assert "needed" in verdict.reason


def test_arcs_without_light_fail(arcs, renderer):
    verdict = p2(replace(arcs, light=0.0 * arcs.light), renderer)
    assert verdict.status is GateStatus.FAIL
    assert verdict.values["unlit"] == len(arcs)


@pytest.mark.parametrize("size", [64, 65])
def test_the_impulse_stays_where_it_is(renderer, size):
    found = measure_impulse(renderer, size, SCALE)
    assert {entry["size_px"] for entry in found} == {size, size + 1}
    assert max(entry["off_px"] for entry in found) < 0.01


def test_a_renderer_that_moves_odd_stamps_only_is_found(arcs, renderer):
    def half_a_pixel(image, scene):
        if scene["size_px"] % 2 == 0:
            return image
        return 0.5 * (image + np.roll(image, 1, axis=-1))

    verdict = p2(arcs, Wrong(renderer, image=half_a_pixel))
    assert verdict.status is GateStatus.FAIL
    assert "impulse by 0.50 px (stamp of 65 px" in verdict.reason


def test_rayleigh_against_its_definition():
    rng = np.random.Generator(np.random.Philox(key=4))
    p = np.array([rayleigh_p(rng.uniform(-np.pi, np.pi, 50)) for _ in range(600)])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.03)
    assert rayleigh_p(np.zeros(30)) < 1e-10
    # both sides alike are no direction
    assert rayleigh_p(np.repeat([0.0, np.pi], 20)) > 0.9


def test_figure_is_drawn_and_nothing_is_drawn_of_nothing(arcs, renderer, tmp_path):
    measured = measure_position(arcs, renderer, pixel_scale_arcsec=SCALE, seed=1, limits=LIMITS)
    assert figures.draw_position(tmp_path / "P2.png", measured, LIMITS) == "P2.png"
    assert (tmp_path / "P2.png").stat().st_size > 20_000
    empty = {"rows": 0, "unlit": 0, "impulse": measured["impulse"]}
    assert figures.draw_position(tmp_path / "none.png", empty, LIMITS) is None
