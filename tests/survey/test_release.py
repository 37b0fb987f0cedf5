from dataclasses import replace
from types import MappingProxyType

import pytest

from darkhaloscope.errors import ConfigError, ContractError
from darkhaloscope.survey.release import DR10_SOUTH, MASK_BITS, bit_mask, get_release


def test_get_release_names_the_choices():
    assert get_release("dr10-south") is DR10_SOUTH
    with pytest.raises(ConfigError, match=r"dr10-south.*got dr9"):
        get_release("dr9")


def test_pixel_masks_hold_the_band_and_not_its_neighbours():
    for band in DR10_SOUTH.bands:
        mask = DR10_SOUTH.pixel_mask(band)
        for other in DR10_SOUTH.bands:
            for kind in ("SATUR", "ALLMASK"):
                bit = 1 << MASK_BITS[f"{kind}_{other.upper()}"]
                assert bool(mask & bit) is (other == band)
        assert mask & bit_mask(("BRIGHT",))
        assert mask & bit_mask(("MEDIUM",))


def test_bit_numbers_are_those_of_the_bitmask_page():
    assert (
        bit_mask(("NPRIMARY", "BRIGHT", "SATUR_Z", "ALLMASK_R", "MEDIUM", "SUB_BLOB")) == 0b10000100001010011
    )


def test_release_refuses_geometry_as_damage():
    with pytest.raises(ContractError, match="NPRIMARY"):
        replace(DR10_SOUTH, catalogue_bits=("NPRIMARY",))
    with pytest.raises(ContractError, match="NPRIMARY"):
        replace(
            DR10_SOUTH, pixel_bits=MappingProxyType({**DR10_SOUTH.pixel_bits, "r": ("NPRIMARY", "BRIGHT")})
        )


def test_release_refuses_bits_for_other_bands_than_its_own():
    with pytest.raises(ContractError, match="pixel_bits"):
        replace(DR10_SOUTH, pixel_bits=MappingProxyType({"g": ("BRIGHT",)}))
