import sys

import pytest

from darkhaloscope import hashing


def test_canonical_json_ignores_order_of_keys():
    assert hashing.hash_json({"a": 1, "b": [1.5, None]}) == hashing.hash_json({"b": [1.5, None], "a": 1})


def test_canonical_json_refuses_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        hashing.canonical_json({"a": float("nan")})


def test_file_and_bytes_agree(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert hashing.sha256_file(tmp_path / "f") == hashing.sha256_bytes(data)


def test_code_version_follows_any_file_of_a_package(tmp_path, monkeypatch):
    package = tmp_path / "room_under_test"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "sie.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = hashing.code_version("room_under_test")
    assert "room_under_test" not in sys.modules, "the source must be found without running it"
    (package / "inner" / "sie.py").write_text("A = 2\n")
    assert hashing.code_version("room_under_test") != before


def test_code_version_of_unknown_module_fails():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        hashing.code_version("no_such_module")
