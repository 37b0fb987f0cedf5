"""L61: three contradictory bank configurations; nobody could say which bank was used."""

import json

from cosmos_catalog import good_galaxies, write_catalogue

from darkhaloscope.sources.bank import BankLimits, SourceBank, build_bank


def test_identity_changes_with_configuration_and_content_and_with_nothing_else(tmp_path):
    write_catalogue(tmp_path / "a", good_galaxies(8))
    write_catalogue(tmp_path / "b", good_galaxies(9))
    build = {
        "base": ("a", {}),
        "moved": ("a", {}),
        "seed": ("a", {"seed": 2}),
        "fewer": ("a", {"max_galaxies": 5}),
        "limits": ("a", {"limits": BankLimits(min_snr=29.0)}),
        "catalogue": ("b", {}),
    }
    identity = {}
    for name, (catalogue, options) in build.items():
        path = tmp_path / name / "bank.h5"
        build_bank(tmp_path / catalogue, path, **{"max_galaxies": None, "seed": 1, **options})
        with SourceBank.open(path) as bank:
            identity[name] = bank.bank_id
            stored = json.dumps(bank.metadata)
        assert "input_sha256" in stored
        assert str(tmp_path) not in stored
    assert identity.pop("moved") == identity["base"]
    assert len(set(identity.values())) == len(identity)
