"""The page on the mock's realism: its marks, its pictures, its numbers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from darkhaloscope.errors import DataError
from docs import make_mock_figures

PROJECT = Path(__file__).resolve().parents[2]
PAGE = make_mock_figures.PAGE.read_text(encoding="utf-8")


def test_every_picture_of_the_page_is_there_and_none_else():
    named = set(re.findall(r"\(images/(mock-[^)]+)\)", PAGE))
    assert named == {path.name for path in make_mock_figures.IMAGES.glob("mock-*.png")}
    for name in named:
        with Image.open(make_mock_figures.IMAGES / name) as picture:
            assert min(picture.size) > 200


def test_the_block_is_replaced_and_a_page_without_marks_is_an_error():
    text = make_mock_figures.with_numbers(PAGE, "| a |\n")
    assert make_mock_figures.with_numbers(text, "| a |\n") == text
    assert "| a |" in text
    with pytest.raises(DataError, match="marks"):
        make_mock_figures.with_numbers("no marks", "")


@pytest.mark.realdata
def test_numbers_of_the_catalogue_on_the_page_are_those_measured_now(realdata):
    """A number that somebody typed would be lost, or found here."""
    assert make_mock_figures.catalogue_table(realdata).strip() in PAGE


@pytest.mark.realdata
def test_the_program_measures_draws_and_writes(realdata, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    options = ["--realdata", str(realdata), "--bricks", "2", "--output", str(tmp_path), "--page", str(page)]
    done = subprocess.run(
        [sys.executable, "-m", "docs.make_mock_figures", *options],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "mock-3-profiles.png" in done.stdout
    assert "2 bricks of the mock" in page.read_text()
    assert len(list(tmp_path.glob("mock-*.png"))) == 3
