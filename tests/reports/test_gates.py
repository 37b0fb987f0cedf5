"""The gate report as three files: what each says, and in which order."""

import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from darkhaloscope.errors import ContractError
from darkhaloscope.gates.result import GateReport, GateResult, GateStatus, Verdict
from darkhaloscope.reports.gate_page import gate_html
from darkhaloscope.reports.gates import gate_markdown, measure_text, write_gate_report


def result(gate, status, *, values=None, figure=None):
    made = Verdict(
        status, f"why {gate}", 0.7123, 0.6, 0.8, 40, 0.55, "source", values=values or {}, figure=figure
    )
    return GateResult.bind(gate, made, artefact_hash="hash", seconds=0.1)


def report(*results):
    return GateReport("unit", "c" * 64, "training_shards", "hash", results)


def test_what_is_shut_is_said_first():
    text = gate_markdown(report(result("Q1", GateStatus.PASS), result("S2", GateStatus.FAIL)))
    assert text.index("1 blocking gate(s) shut: S2") < text.index("| gate |")
    assert "Every blocking gate is open" in gate_markdown(report(result("Q1", GateStatus.PASS)))


def test_a_waiver_is_printed_with_its_reason_and_date():
    waived = result(
        "S2", GateStatus.WAIVED, values={"waiver": {"reason": "baseline", "expires": "2031-01-01"}}
    )
    assert "Waived (until 2031-01-01): baseline" in gate_markdown(report(waived))


def test_all_files_are_written_and_the_json_is_the_report(tmp_path):
    made = report(result("Q1", GateStatus.PASS, figure="Q1.png"))
    files = write_gate_report(made, tmp_path)
    assert GateReport.from_json(files.json.read_text()) == made
    assert "![Q1](Q1.png)" in files.markdown.read_text()
    assert files.html.read_text().startswith("<!doctype html>")


def test_a_report_without_the_layout_is_not_written(tmp_path):
    made = report(result("Q1", GateStatus.PASS, values={"auc": float("nan")}))
    with pytest.raises(ContractError, match="not finite"):
        write_gate_report(made, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_measure_without_an_interval_claims_none():
    assert measure_text(None, None, None) == "-"
    assert measure_text(0.5, None, None) == "0.5"
    assert measure_text(0.5, 0.4, 0.6) == "0.5 [0.4, 0.6]"


WAIVER = {"reason": "the <baseline> of a comparison", "expires": "2031-01-01", "status_before": "fail"}


class Page(HTMLParser):
    """Tags that are left open, resources from outside, and the text in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.outside, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in {"script", "link", "iframe"} or not given.get("src", "data:").startswith("data:"):
            self.outside.append(tag)
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def appendix(tmp_path):
    Image.new("RGB", (40, 30), "white").save(tmp_path / "S2.png")
    made = report(
        result("Q1", GateStatus.FAIL, values={"galaxies": {"positive": 41}}),
        result("Q3", GateStatus.DEFERRED),
        result("S2", GateStatus.WAIVED, values={"waiver": WAIVER}, figure="S2.png"),
    )
    return made, gate_html(made, tmp_path)


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path):
    _, text = appendix(tmp_path)
    page = Page(text)
    assert page.open == []
    assert page.outside == []
    assert "data:image/png;base64," in text
    assert "url(" not in text
    assert "@media print" in text


def test_the_page_says_the_verdict_then_waivers_then_answers_then_each_gate(tmp_path):
    _, text = appendix(tmp_path)
    said = " ".join(Page(text).words)
    places = [
        said.index(words)
        for words in (
            "2 blocking gate(s) shut: 1 failed (Q1), 1 lack an input. 1 stands waived.",
            "Read with care: gates were waived.",
            "until 2031-01-01",
            "the <baseline> of a comparison",
            "training_shards hash",
            "Answers",
            "source of the limit",
            "What was measured",
        )
    ]
    assert places == sorted(places)


def test_the_page_has_question_answer_numbers_and_source_of_every_gate(tmp_path):
    made, text = appendix(tmp_path)
    for one in made:
        section = re.search(rf'<section class="gate" id="{one.gate}">.*?</section>', text, re.DOTALL).group()
        for words in (one.title, one.reason, "0.712 [0.6, 0.8]", "0.55", "source", "0.10", one.status.value):
            assert words in section, (one.gate, words)
        assert f'href="#{one.gate}"' in text
    assert "positive" in text
    assert ">41<" in text


def test_a_figure_that_is_not_there_is_not_shown(tmp_path):
    text = gate_html(report(result("Q1", GateStatus.PASS, figure="none.png")), tmp_path)
    assert "<img" not in text


def test_both_views_of_a_gate_share_one_section(tmp_path):
    raw = Verdict(GateStatus.FAIL, "raw why", view="raw", blocking=False)
    model = Verdict(GateStatus.PASS, "model why", view="model")
    bound = [GateResult.bind("S2", verdict, artefact_hash="hash", seconds=0.1) for verdict in (raw, model)]
    text = gate_html(report(*bound), tmp_path)
    assert text.count('<section class="gate"') == 1
    assert "failed (informs)" in text
    assert "Every blocking gate is open." in text


def test_a_data_set_found_on_disk_says_how_it_was_read(tmp_path):
    made = GateReport(
        "none", "c", "training_shards", "hash", (), about={"path": "/d", "columns ignored": ["src_gr"]}
    )
    assert "src_gr" in gate_html(made, tmp_path)
