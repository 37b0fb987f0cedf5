"""L154: a list written as comma-separated text was split by a shell, or not split at all."""

import json

import pytest
import stamp_world
from pydantic import ValidationError

from darkhaloscope.stamps.inject import inject_unit, plan_injection


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_a_unit_carries_typed_lists_and_refuses_text(world, tmp_path):
    unit = plan_injection(
        world.experiment,
        stamp_world.PROFILE,
        manifest_paths=world.paths("manifest"),
        host_paths=world.paths("hosts"),
        bank_path=world.bank_path,
        staging=tmp_path,
    )[0]
    sent = json.loads(json.dumps(unit))
    assert sent["experiment"]["lens"]["theta_e_arcsec"] == [0.6, 2.5]
    sent["experiment"]["lens"]["theta_e_arcsec"] = "0.6,2.5"
    with pytest.raises(ValidationError, match="theta_e_arcsec"):
        inject_unit(sent)
