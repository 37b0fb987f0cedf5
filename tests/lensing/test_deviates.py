"""Normal deviates of a field of pixels."""

import numpy as np
import pytest
from scipy import stats

from darkhaloscope.errors import DataError
from darkhaloscope.lensing import deviates
from darkhaloscope.streams import keys


def key(name="a"):
    return keys(5, "test_deviates", [name])[0]


@pytest.mark.parametrize(
    ("counter", "words", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_generator_is_philox(counter, words, expected):
    """Known answers of Random123, the authors' own library."""
    assert deviates.philox(counter, words).tolist() == expected


def test_deviates_are_normal_and_independent():
    field = deviates.white_normals(key(), 3, 300, 302)
    assert stats.kstest(field.ravel(), "norm").pvalue > 1e-3
    for axis in range(3):
        ahead, behind = np.moveaxis(field, axis, 0)[1:], np.moveaxis(field, axis, 0)[:-1]
        assert abs((ahead * behind).mean()) < 5 / np.sqrt(ahead.size)
    # The four deviates of a block lie a quarter of a row apart.
    quarter = deviates.blocks_per_row(302)
    for lag in (1, 2, 3):
        assert abs((field[..., lag * quarter :] * field[..., : -lag * quarter]).mean()) < 0.01


def test_a_field_depends_on_every_word_of_its_key():
    base = deviates.white_normals(key(), 1, 8, 8)
    for word in range(4):
        other = key().copy()
        other[word] ^= 1
        assert abs(np.corrcoef(base.ravel(), deviates.white_normals(other, 1, 8, 8).ravel())[0, 1]) < 0.5


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.25, 0.4, 0.7])
def test_neighbours_are_correlated_as_asked(correlation):
    field = deviates.correlated_normals(key(str(correlation)), (1, 600, 600), correlation)[0]
    assert field.var() == pytest.approx(1.0, rel=0.02)
    assert (field[1:] * field[:-1]).mean() == pytest.approx(correlation, abs=0.01)
    assert (field[:, 1:] * field[:, :-1]).mean() == pytest.approx(correlation, abs=0.01)


def test_correlation_out_of_range_is_refused():
    with pytest.raises(DataError, match="correlation"):
        deviates.correlated_normals(key(), (1, 4, 4), 0.8)
