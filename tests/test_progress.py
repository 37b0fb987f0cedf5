import logging

from darkhaloscope import progress


def test_items_pass_through_in_order():
    assert list(progress.track(range(5), total=5, label="x")) == [0, 1, 2, 3, 4]


def test_log_says_done_rate_and_time_left(caplog, monkeypatch):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.0)
    with caplog.at_level(logging.INFO):
        list(progress.track("ab", total=8, label="cut hosts", weight=4))
    assert "cut hosts: 4 of 8" in caplog.messages[0]
    assert "s left" in caplog.messages[0]
