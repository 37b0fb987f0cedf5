import json
from pathlib import Path

import pytest

from darkhaloscope import units
from darkhaloscope.errors import ContractError


@pytest.fixture
def probe(monkeypatch):
    """A unit function inside the library's name space that counts its calls."""
    calls = []

    def write(unit):
        calls.append(unit["unit_id"])
        Path(unit["output"]).write_text(unit["text"])
        return {"rows": len(unit["text"])}

    monkeypatch.setattr(units, "probe", write, raising=False)
    return calls


def unit(tmp_path, text="abc"):
    return {"unit_id": "u0", "output": str(tmp_path / "part-0.bin"), "text": text}


NAME = "darkhaloscope.units:probe"


def test_result_says_what_was_written(probe, tmp_path):
    result = json.loads(units.run_unit_json(NAME, json.dumps(unit(tmp_path))))
    assert (result["rows"], result["part"], result["bytes"], result["resumed"]) == (3, "part-0.bin", 3, False)
    assert result["seconds"] >= 0
    assert result["peak_rss_mb"] > 1


def test_finished_unit_is_not_run_again(probe, tmp_path):
    first = units.run_unit(NAME, unit(tmp_path))
    second = units.run_unit(NAME, unit(tmp_path))
    assert probe == ["u0"]
    assert second["resumed"]
    assert second["sha256"] == first["sha256"]


def test_changed_request_is_run_again(probe, tmp_path):
    units.run_unit(NAME, unit(tmp_path))
    units.run_unit(NAME, unit(tmp_path, text="abcd"))
    assert len(probe) == 2


def test_damaged_part_is_made_again(probe, tmp_path):
    units.run_unit(NAME, unit(tmp_path))
    (tmp_path / "part-0.bin").write_text("abX")
    units.run_unit(NAME, unit(tmp_path))
    assert len(probe) == 2
    assert (tmp_path / "part-0.bin").read_text() == "abc"


def test_function_must_write_its_part(monkeypatch, tmp_path):
    monkeypatch.setattr(units, "probe", lambda _: {"rows": 1}, raising=False)
    with pytest.raises(ContractError, match="must write its part"):
        units.run_unit(NAME, unit(tmp_path))


@pytest.mark.parametrize("name", ["os:system", "darkhaloscope.units", "darkhaloscopes.units:x"])
def test_only_functions_of_this_library_are_resolved(name):
    with pytest.raises(ContractError, match="Unit function"):
        units.resolve(name)
