import pytest

from darkhaloscope.config import Gates, ThresholdOverride
from darkhaloscope.errors import ConfigError
from darkhaloscope.gates.registry import DATA_GATES, GATES, MODEL_GATES, get_gate
from darkhaloscope.gates.thresholds import DEFAULTS, Thresholds

REASON = "measured on the survey's own sky, see the record"


def override(gate, name, value=0.5):
    return Gates(overrides=(ThresholdOverride(gate=gate, name=name, value=value, reason=REASON),))


def test_every_limit_has_a_source_and_belongs_to_a_gate():
    families = {gate[0] for gate in GATES}
    for gate, name in DEFAULTS:
        assert gate in GATES or gate in families, (gate, name)
        assert DEFAULTS[gate, name].source


def test_an_override_replaces_one_limit_and_shows_its_reason():
    limits = Thresholds.of(override("S2", "max_auc_matched_light", 0.6))
    changed = limits.get("S2", "max_auc_matched_light")
    assert changed.value == 0.6
    assert REASON in changed.source
    assert "0.55" in changed.source
    assert limits.value("S2", "max_auc_nothing_added") == 0.9
    assert Thresholds().value("S2", "max_auc_matched_light") == 0.55


@pytest.mark.parametrize(("gate", "name"), [("S2", "max_acu"), ("S99", "max_auc")])
def test_an_unknown_limit_is_refused(gate, name):
    with pytest.raises(ConfigError, match="unknown limit"):
        Thresholds.of(override(gate, name))


def test_gates_are_named_once_and_have_a_question():
    assert len(DATA_GATES) == 28
    assert tuple(f"B{k}" for k in range(1, 11)) == MODEL_GATES
    assert all(GATES[gate].question.endswith("?") for gate in GATES)
    assert get_gate("S2p").family == "shortcut"
    with pytest.raises(ConfigError):
        get_gate("S99")
