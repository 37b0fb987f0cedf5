"""L109: a limit no arc can meet says nothing; each lies between what sound and what planted sets give."""

import pytest
from gate_world import LIMITS, sample_of
from gates.faults import plants

from darkhaloscope.gates.shortcut import brightness as cores
from darkhaloscope.gates.shortcut import colour as colours
from darkhaloscope.gates.shortcut import light
from darkhaloscope.gates.shortcut import normalisation as norm


def aperture(gate_set, sample):
    measured = light.measure_aperture_light(sample, sample.model, None, seed=1, n_boot=50)
    return measured["auc"]["matched_light"]["value"]


def core(gate_set, sample):
    measured = light.measure_core(sample, sample.model, seed=1, n_boot=50)
    return measured["auc"]["matched_light"]["value"]


def colour(gate_set, sample):
    measured = colours.measure_colour(sample, sample.model, None, seed=1, n_boot=50)
    return measured["auc"]["matched_light"]["value"]


def brightness(gate_set, sample):
    measured = cores.measure_brightness(sample, sample.model, gate_set.hosts)
    return measured["stamp"]["matched_light"]["value"]


def normalisation(gate_set, sample):
    effects = norm.measure_normalisation(sample)["effects"]["matched_light"]
    return max(abs(effects[f"median_{band}"]["value"]) for band in "grz")


@pytest.mark.parametrize(
    ("measure", "fault", "limit"),
    [
        (aperture, plants.one_colour, ("S2", "max_auc_matched_light")),
        (colour, plants.one_colour, ("S4", "max_auc_matched_light")),
        (core, plants.light_in_the_core, ("S2p", "max_auc_matched_light")),
        (brightness, plants.light_in_the_core, ("S3", "max_ratio_matched_light")),
        (normalisation, plants.sky_residual, ("S1", "max_abs_d_matched_light")),
    ],
)
def test_limit_separates(gate_set, measure, fault, limit):
    sound = measure(gate_set, gate_set.sample)
    planted = measure(gate_set, sample_of(fault(gate_set.table), gate_set.world.experiment))
    assert sound < LIMITS.value(*limit) < planted
