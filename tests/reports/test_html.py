import re
from html.parser import HTMLParser

import pytest

from darkhaloscope.reports.html import write_report
from darkhaloscope.reports.summary import build_summary

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Collects text, ids, links and sources, and checks that tags nest."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def summary(campaign, profile):
    return build_summary(campaign.store, campaign.experiments, profile, steps=campaign.steps, seconds=12.5)


@pytest.fixture(scope="module")
def html(campaign, summary, tmp_path_factory):
    return write_report(summary, campaign.store, tmp_path_factory.mktemp("report")).read_text()


@pytest.fixture(scope="module")
def page(html):
    parsed = Page()
    parsed.feed(html)
    assert parsed.open == []
    return parsed


def test_the_page_needs_nothing_but_itself(page, html):
    assert all(source.startswith("data:image/") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert "<script" not in html
    assert len(page.sources) >= 10


def test_every_link_of_the_page_has_its_target(page):
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert {"overview", "graded", "stopped", "run"} <= set(page.ids)


def test_all_experiments_come_first_and_failed_gates_are_counted(html):
    overview = html[html.index('id="overview"') : html.index("Side by side")]
    assert "1 failed" in overview
    assert "1 waived" in overview
    assert "blocked by gates" in overview
    assert "kept as the predecessor ran it" in overview


def test_every_rate_of_the_overview_stands_with_counts_and_interval(html):
    overview = html[html.index('id="overview"') : html.index("Side by side")]
    rates = re.findall(r'<span class="big">([^<]+)</span><span class="small">([^<]+)</span>', overview)
    assert len(rates) >= 5
    assert all(re.search(r"\[[\d.]+, [\d.]+\]|not measured", small) for _, small in rates)


def test_texts_of_records_are_escaped(html):
    assert "Title of graded &lt;b&gt;" in html
    assert "S2 &lt;shut&gt;" in html


def test_the_selection_function_says_what_it_is_not(page):
    assert "not validated as completeness" in " ".join(page.text)


def test_the_same_records_give_the_same_page(campaign, summary, html, tmp_path):
    assert write_report(summary, campaign.store, tmp_path).read_text() == html


@pytest.mark.realdata
def test_real_cutouts_stand_beside_injected_stamps(campaign, profile, realdata, tmp_path):
    cutouts = realdata / "dr10_cutouts"
    summary = build_summary(
        campaign.store, campaign.experiments, profile, steps=[], seconds=0.0, cutouts=cutouts
    )
    html = write_report(summary, campaign.store, tmp_path, cutouts=cutouts).read_text()
    section = html[html.index("Real cutouts beside injected stamps") : html.index('id="graded"')]
    assert section.count("<img") == 2
    assert "0001m060_2396" in section
