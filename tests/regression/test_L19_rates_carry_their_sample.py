"""L19: 4 anchors, 3 of 68, 1 of 14 were reported as bare percentages."""

import pytest

from darkhaloscope.reports.html_parts import rate_cell
from darkhaloscope.statistics.rates import Rate


@pytest.mark.parametrize(("k", "n", "lower", "upper"), [(3, 68, 0.009, 0.124), (2, 4, 0.07, 0.93)])
def test_the_interval_of_the_known_cases(k, n, lower, upper):
    rate = Rate.exact(k, n)
    assert rate.lower == pytest.approx(lower, abs=0.005)
    assert rate.upper == pytest.approx(upper, abs=0.005)


def test_a_bare_percentage_cannot_be_formatted():
    for spec in (".1%", ".3f", ".0%"):
        with pytest.raises(TypeError):
            format(Rate.exact(3, 68), spec)


def test_a_page_shows_counts_and_interval_beside_every_rate():
    cell = rate_cell(Rate.exact(3, 68).to_dict())
    assert "3/68" in cell
    assert "[0.01, 0.12]" in cell
    assert "not measured" in rate_cell(Rate.exact(0, 0).to_dict())
