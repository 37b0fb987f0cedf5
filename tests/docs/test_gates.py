"""The page on gates: its commands run, its tables are those of the code, its picture exists and is small."""

import re
import shlex
import shutil
from pathlib import Path

import gate_world
import predecessor_world as pw
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from dagster_project.cli import cli
from darkhaloscope.config import Gates
from darkhaloscope.gates.registry import FAMILIES
from darkhaloscope.gates.report_schema import report_schema
from darkhaloscope.gates.result import GateReport
from docs import make_gate_pages

FOLDER = Path(__file__).resolve().parents[2] / "docs"
PAGE = (FOLDER / "gates.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[(.*?)\]\((.*?)\)", PAGE)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
MAX_BYTES = 150_000


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What the page's paths stand for: a few galaxies in each of their forms."""
    folder = tmp_path_factory.mktemp("page")
    good = gate_world.build(folder / "world")
    loose, hosts = folder / "shards", folder / "host_cutouts"
    loose.mkdir()
    for path in good.world.paths("shards"):
        shutil.copy(path, loose / path.name)
    shutil.copytree(good.world.paths("hosts")[0].parent, hosts)
    pw.write(folder / "v5", pw.rows_of(good.table))
    return {
        "runs/demo/store/training_shards/gen6": good.world.paths("shards")[0].parent,
        "shards/gen6": loose,
        "host_cutouts": hosts,
        "bank.h5": good.world.bank_path,
        "/data/phase4c/v5_cosmos_production/stamps": folder / "v5",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_runs(command, places, tmp_path):
    words = shlex.split(command)
    assert words[0] == "dhs"
    given = [str(places.get(word, word)) for word in words[1:] if word not in {"--profile", "demo"}]
    if "--out" in given:
        given[given.index("--out") + 1] = str(tmp_path / "out")
    else:
        given += ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, [*given, "--profile", "test"])
    assert result.exit_code in {0, 1}, result.output
    report = GateReport.from_json((tmp_path / "out" / "report.json").read_text())
    assert report.results
    if "--json" in given:
        assert GateReport.from_json(result.stdout[result.stdout.index("{") :]) == report
    failed = any(r.status.value == "fail" and r.blocking for r in report)
    assert result.exit_code == int(failed)


def test_the_page_on_the_layout_is_the_schemas():
    assert (FOLDER / "gate-report-schema.md").read_text(encoding="utf-8") == make_gate_pages.layout_page(
        report_schema()
    )


def test_the_table_of_columns_is_the_readers():
    assert make_gate_pages.with_columns(PAGE) == PAGE
    assert "`psfdepth_r`" in PAGE


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(Exception, match="lost the marks"):
        make_gate_pages.with_columns("no marks")


def test_the_waiver_of_the_page_is_one():
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (waiver,) = Gates.model_validate(yaml.safe_load(block)["gates"]).waivers
    assert waiver.gate == "S2"
    assert waiver.expires == "2027-06-30"


def test_every_family_is_told():
    for letter, name in FAMILIES.items():
        assert f"| {letter} {name} |" in PAGE


def test_pictures_exist_and_are_small():
    assert PICTURES
    for told, name in PICTURES:
        assert len(told) > 20
        assert (FOLDER / name).stat().st_size < MAX_BYTES
        with Image.open(FOLDER / name) as image:
            assert image.width > 600


def test_pages_that_are_named_exist():
    for name in re.findall(r"\]\(([a-z-]+\.md)\)", PAGE):
        assert (FOLDER / name).is_file()
