import numpy as np
import pytest

from darkhaloscope.errors import DataError
from darkhaloscope.statistics.rates import OperatingPoint, Rate, freeze_threshold


def test_a_rate_is_printed_with_counts_and_interval_only():
    assert str(Rate.exact(3, 68)) == "3/68 = 0.044 [0.009, 0.124]"
    assert f"{Rate.exact(3, 68)}" == str(Rate.exact(3, 68))
    with pytest.raises(TypeError, match="one text form"):
        f"{Rate.exact(3, 68):.1%}"


def test_nothing_of_nothing_is_not_zero():
    empty = Rate.exact(0, 0)
    assert empty.value is None
    assert (empty.lower, empty.upper) == (0.0, 1.0)
    assert "not measured" in str(empty)


def test_round_trip_and_a_bare_number_is_refused():
    rate = Rate.score_interval(7, 9)
    assert Rate.from_dict(rate.to_dict()) == rate
    with pytest.raises(DataError, match="field lower"):
        Rate.from_dict({"value": 0.5, "k": 1, "n": 2})


def test_threshold_keeps_the_target_and_not_one_control_more():
    scores = np.arange(1000) / 1000.0
    point = freeze_threshold(scores, 0.01)
    assert point.achieved.k == 10
    assert point.score == pytest.approx(0.989)
    assert not point.above([0.989]).any()
    assert point.above([0.9891]).all()


def test_ties_at_the_threshold_never_exceed_the_target():
    point = freeze_threshold([0.1] * 90 + [0.9] * 10, 0.05)
    assert point.achieved.k == 0
    assert point.score == 0.9


def test_a_single_control_is_no_false_positive():
    assert freeze_threshold([0.4], 0.5).achieved.k == 0


def test_a_claim_larger_than_the_sample_says_so():
    small, large = freeze_threshold(np.arange(100) / 100, 0.01), freeze_threshold(np.arange(300) / 300, 0.01)
    assert not small.certifiable
    assert "not certifiable at N = 100 (300 controls needed)" in small.statement()
    assert large.certifiable
    assert "not certifiable" not in large.statement()


def test_failed_scores_do_not_freeze_a_threshold():
    with pytest.raises(DataError, match="row 1"):
        freeze_threshold([0.1, np.nan], 0.1)
    with pytest.raises(DataError, match="No control"):
        freeze_threshold([], 0.1)


def test_operating_point_round_trip():
    point = freeze_threshold(np.arange(300) / 300, 0.01)
    assert OperatingPoint.from_dict(point.to_dict()) == point
