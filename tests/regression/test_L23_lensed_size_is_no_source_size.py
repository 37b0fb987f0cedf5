"""L23: a column first named for the source held the size of the lensed image, and was read as the former."""

from darkhaloscope.schema import STAMPS, Role
from darkhaloscope.stamps.predecessor_columns import MAPPED


def test_the_size_of_the_image_is_read_as_nothing():
    assert not {"lensed_hlr_arcsec", "cosmos_hlr_arcsec"} & {name for c in MAPPED for name in c.theirs}


def test_every_column_that_is_read_says_its_unit_or_meaning():
    for column in MAPPED:
        assert len(column.note) > 2, column.ours
        assert column.ours in STAMPS.names()
        assert STAMPS[column.ours].role is not Role.PIXELS
