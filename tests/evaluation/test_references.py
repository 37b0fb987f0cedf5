from darkhaloscope.evaluation.references import REFERENCES, Discovery, find_references


def test_keys_are_unique_and_no_key_contains_another():
    # A key inside another would give one reference two meanings.
    keys = [reference.key for reference in REFERENCES]
    assert len(keys) == len(set(keys))
    assert not [(a, b) for a in keys for b in keys if a != b and a in b]


def test_every_reference_says_how_or_what_or_is_a_named_compilation():
    compilations = [r.key for r in REFERENCES if r.discovery is None and r.object_class is None]
    assert compilations == ["2012hst..prop12833M", "1509.07649", "1805.08640", "tt/LSD"]


def test_a_field_with_several_references_gives_them_all():
    text = "Bolton et al. (2008) - arXiv:0805.1931 | Huang et al. (2020) - arXiv:1906.00970"
    assert {r.discovery for r in find_references(text)} == {Discovery.SPECTROSCOPIC, Discovery.NETWORK}


def test_an_unlisted_reference_is_unknown():
    assert find_references("Somebody et al. (2031) - arXiv:3101.00001") == []
