"""The arcs behind the physics gates: what is read is what was made, and the oracle is independent of it."""

from dataclasses import replace

import gate_world
import numpy as np
import pytest
from gate_world import Rows, values
from gates.physics.arc_world import arcs_of

from darkhaloscope.config import Storage
from darkhaloscope.gates.physics import arcs as room
from darkhaloscope.lensing import reference
from darkhaloscope.lensing.deviates import correlated_normals
from darkhaloscope.lensing.trial import trial_scenes


def test_light_is_the_recorded_flux_within_photon_noise(good, arcs):
    recorded = np.stack([arcs.column(f"arc_flux_{b}_nmgy") for b in "grz"], axis=1)
    sigma = room.sigma_of(np.ones_like(arcs.light), arcs.variance)
    assert (sigma > 0.0).all()
    assert np.abs((arcs.light.sum(axis=(2, 3)) - recorded) / sigma).max() < 6.0
    assert np.abs(arcs.oracle.sum(axis=(2, 3)) / recorded - 1.0).max() < 0.02


def test_photon_noise_scatters_as_much_as_is_allowed_for(arcs):
    """The variance of sums, neighbours included: chi^2 of the fluxes per row is one."""
    sigma = room.sigma_of(np.ones_like(arcs.light), arcs.variance)
    pull = (arcs.light - arcs.oracle).sum(axis=(2, 3)) / sigma
    assert 0.6 < np.sqrt((pull**2).mean()) < 1.6


def test_sums_of_correlated_noise_are_that_much_wider():
    drawn = [correlated_normals(np.array([1, 2, 3, i]), (1, 40, 40)).sum() for i in range(400)]
    assert np.var(drawn) / 1600.0 == pytest.approx(room.NOISE_INFLATION, rel=0.2)


def test_hosts_that_are_not_there_are_left_out(good, arcs):
    names = [f"nowhere-{i}" if i < 40 else name for i, name in enumerate(values(good.table, "host_id"))]
    found = arcs_of(good, gate_world.changed(good.table, host_id=names), n_rows=400)
    kinds = gate_world.kinds(good.table)
    assert len(found) == int((kinds[40:] == "positive").sum())


def test_no_positives_give_no_arcs(good):
    controls = gate_world.keep(good.table, gate_world.kinds(good.table) != "positive")
    assert len(arcs_of(good, controls)) == 0


def test_a_quantised_set_is_read_as_it_was_made(good):
    ids = good.table["task_id"].slice(0, 12)
    counted = gate_world.quantised(good.table)
    chosen = good.world.experiment.model_copy(update={"storage": Storage(form="quantised")})
    asked = (good.world.paths("stamps"), ids, chosen, gate_world.SIZE_PX)
    made = room.read_as_made(Rows(counted), *asked)
    stored = room.read_as_made(Rows(good.table), *asked[:2], good.world.experiment, gate_world.SIZE_PX)
    assert np.array_equal(made.image, stored.image)
    assert np.array_equal(made.invvar, stored.invvar)


def test_oracle_images_are_the_slow_reference_to_two_hundredths_of_the_peak():
    scenes = trial_scenes(4, seed=5)
    quick = reference.oracle_images_nmgy(**scenes, supersampling=3, margin_px=10)
    slow = reference.reference_render(**scenes, supersampling=8, margin_px=16).image
    peak = slow.max(axis=(2, 3), keepdims=True)
    assert (np.abs(quick - slow) / peak).max() < 0.02
    assert quick.sum(axis=(2, 3)) == pytest.approx(slow.sum(axis=(2, 3)), rel=0.01)


def test_a_bad_pixel_does_not_count(good, arcs):
    flags = np.zeros((good.table.num_rows, gate_world.SIZE_PX, gate_world.SIZE_PX), dtype=np.int32)
    flags[:, 30, 30] = 1 << 1  # saturated in some band, bad in every one
    found = arcs_of(good, gate_world.changed(good.table, maskbits=flags), n_rows=3)
    same = replace(arcs, good=arcs.good[:3])
    assert found.good.sum() < same.good.sum()
