"""L52: coadds stand on steps of 1e-4 nMgy and injected stamps do not: the last digit tells the class."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, kinds
from gates.faults import broken_light

from darkhaloscope import tabular
from darkhaloscope.gates.physics.noise import judge_noise, measure_noise
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.schema import HOSTS
from darkhaloscope.stamps.hostpixels import locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for


def judged(gate_set, table, paths=None):
    experiment = gate_set.world.experiment
    located = locate_hosts(paths or gate_set.world.paths("hosts"), table["host_id"].to_pylist())
    hosts = load_hosts_for(experiment, located, size_px=gate_world.SIZE_PX)
    return judge_noise(measure_noise(table, hosts, experiment=experiment), LIMITS)


@pytest.fixture(scope="module")
def some(gate_set):
    hosts = np.array(gate_set.table["host_id"].to_pylist())
    return gate_world.keep(gate_set.table, np.isin(hosts, np.unique(hosts)[::4]))


def with_lattice(table, kinds_of):
    image = tabular.pixels(table, "image").copy()
    for row in np.flatnonzero(np.isin(kinds(table), kinds_of)):
        image[row] = broken_light.on_a_lattice(image[row], "")
    return gate_world.changed(table, image=image)


def test_l52_both_classes_keep_the_survey_steps(gate_set, some):
    assert judged(gate_set, some).status is GateStatus.PASS


def test_l52_controls_on_the_survey_lattice_and_positives_beside_it_fail(gate_set, some, tmp_path):
    """Hosts stand on a lattice, as stored coadds without dither do; added light takes positives off it."""
    hosts = tabular.read_table(gate_set.world.paths("hosts"))
    columns = gate_world.columns_of(hosts)
    columns["image"] = broken_light.on_a_lattice(columns["image"], "")
    path = tmp_path / "hosts.parquet"
    tabular.write_table(path, HOSTS, HOSTS.table(columns, columns["image"].shape[-1]))
    verdict = judged(gate_set, with_lattice(some, ["paired", "unpaired"]), [path])
    assert verdict.status is GateStatus.FAIL
    assert "other steps" in verdict.reason
    assert verdict.value > 0.5


def test_l52_positives_on_a_lattice_of_their_own_fail(gate_set, some):
    verdict = judged(gate_set, with_lattice(some, ["positive"]))
    assert verdict.status is GateStatus.FAIL
    assert "other steps" in verdict.reason
