"""The page on injection: its pictures exist and are small, its numbers are generated, its commands run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import render_world
import stamp_world
from click.testing import CliRunner
from PIL import Image

from assets.experiments import get_experiment
from assets.sources import BANK_FILE
from dagster_project.cli import cli
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.errors import DataError
from darkhaloscope.lensing.noise import INVVAR_STEPS
from darkhaloscope.lensing.reference import reference_render
from darkhaloscope.stamps.agreement import TOLERANCE
from darkhaloscope.stamps.parts import take_apart
from docs import injection_rays, make_frontier_table, make_injection_figures

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "injection.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[(.*?)\]\((.*?)\)", PAGE)
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.strip().splitlines()
]
MAX_BYTES = 150_000


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Path:
    return render_world.campaign(tmp_path_factory)


@pytest.mark.parametrize("target", [target for _, target in PICTURES])
def test_every_picture_is_there_small_and_described(target):
    path = PROJECT / "docs" / target
    assert path.stat().st_size < MAX_BYTES
    with Image.open(path) as picture:
        assert picture.width >= 500


def test_every_step_has_its_picture_and_no_picture_is_left_over():
    shown = {Path(target).name for _, target in PICTURES}
    kept = {path.name for path in (PROJECT / "docs" / "images").glob("injection-*.png")}
    assert {name for name in shown if name.startswith("injection-")} == kept
    assert all(text for text, _ in PICTURES)


def test_every_link_leads_to_a_file():
    for target in re.findall(r"(?<!!)\[.*?\]\((.*?)\)", PAGE):
        assert (PROJECT / "docs" / target).is_file(), target


def test_every_module_that_the_page_names_exists():
    names = re.findall(r"`((?:lensing|stamps|darkhaloscope)/[\w/]+\.py)`", PAGE)
    assert len(names) >= 8
    for name in names:
        assert (PROJECT / "darkhaloscope" / name.removeprefix("darkhaloscope/")).is_file(), name


@pytest.mark.parametrize("line", [line for line in COMMANDS if "dhs" in line])
def test_the_commands_of_the_page_make_a_row_again(campaign, line):
    rows = render_world.stamps(campaign)
    task = rows.filter(pc.is_valid(rows["theta_e_arcsec"]))["task_id"][0].as_py()
    program, *arguments = shlex.split(line.replace("TASK_ID", task).replace("runs/demo", str(campaign)))
    assert program == ".venv/bin/dhs"
    if "--root" not in arguments:  # the default is the demo's own
        arguments += ["--root", str(campaign)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "bit for bit" in done.output


def test_the_tolerance_on_the_page_is_the_tolerance_of_the_comparison():
    assert f"more than {TOLERANCE:.0e}".replace("e-0", "e-") in PAGE


def test_the_step_of_the_inverse_variance_on_the_page_is_the_one_in_use():
    assert f"steps of 1/{INVVAR_STEPS} of the host's" in PAGE


def test_all_pictures_of_the_page_are_drawn_from_a_campaign(campaign, tmp_path):
    rows = render_world.stamps(campaign)
    usable = pc.and_(pc.is_valid(rows["theta_e_arcsec"]), pc.equal(rows["status"], "ok"))
    task = rows.filter(usable)["task_id"][0].as_py()
    drawn = make_injection_figures.draw_all(campaign, get_experiment("gen6"), task, tmp_path)
    assert [path.name for path in drawn] == [
        Path(target).name for _, target in PICTURES if "injection-" in target
    ]
    for path in drawn:
        assert 1_000 < path.stat().st_size < MAX_BYTES


@pytest.fixture(scope="module")
def lensed(campaign):
    """Parts of a positive whose light stays on the stamp."""
    rows = render_world.stamps(campaign)
    near = pc.and_(pc.less(rows["theta_e_arcsec"], 1.6), pc.equal(rows["status"], "ok"))
    store = ArtifactStore(campaign / "store")
    return take_apart(
        rows.filter(pc.and_(pc.is_valid(rows["theta_e_arcsec"]), near)).slice(1, 1),
        experiment=get_experiment("gen6"),
        host_paths=store.paths(store.record("host_cutouts", stamp_world.TILE), ".parquet"),
        bank_path=store.paths(store.record("cosmos_bank"), BANK_FILE)[0],
    )


def test_the_rays_of_the_page_are_those_of_the_renderer(lensed):
    """Same cells, same rays: the flux they find is the magnification that is stored."""
    plan = injection_rays.plan_rays(lensed, "standard")
    cells = injection_rays.light_of_cells(lensed, plan)
    magnification = cells.sum() * (plan.cell_arcsec / lensed.template_scale_arcsec) ** 2
    assert magnification == pytest.approx(lensed.row["magnification"], rel=2e-6)
    rays = plan.across * plan.upward
    assert 0.0 < (rays > 0).mean() < 0.5, "most of the stamp needs no ray"
    assert rays.max() > rays[rays > 0].min(), "rays follow the source"


def test_the_cells_of_the_page_are_the_oracles(lensed):
    plan = injection_rays.plan_rays(lensed, "standard")
    cells = injection_rays.light_of_cells(lensed, plan)
    scene = lensed.scene()
    fine = {"pixel_scale_arcsec": plan.cell_arcsec, "size_px": len(cells), "flux_nmgy": np.ones((1, 3))}
    oracle = reference_render(**(scene | fine), supersampling=4, margin_px=0, with_psf=False).image[0, 0]
    flux = cells * (plan.cell_arcsec / lensed.template_scale_arcsec) ** 2
    assert np.abs(flux - oracle).max() < 0.1 * oracle.max(), "one ray here, sixteen there"
    assert flux.sum() == pytest.approx(oracle.sum(), rel=5e-3)


def test_a_scene_that_is_not_there_is_an_error(campaign, tmp_path):
    with pytest.raises(DataError, match=r"No such scene.*row feed"):
        make_injection_figures.draw_all(campaign, get_experiment("gen6"), "feed", tmp_path)


def test_the_programs_of_the_page_say_how_they_are_used():
    for module in ("docs.make_injection_figures", "docs.make_frontier_table"):
        assert any(module in line for line in COMMANDS)
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        assert "docs" in done.stdout


RECORD = {
    "implementations": {
        "slow": {"us_per_stamp": 35000.4, "ratio": 226.3, "error_of_peak_median": 0.0012},
        "ours": {"us_per_stamp": 154.0, "ratio": 1.0, "error_of_peak_median": 0.00104},
    }
}


def test_the_table_is_written_from_the_record_fastest_first():
    text = make_frontier_table.with_table(PAGE, RECORD)
    lines = [line for line in make_frontier_table.block(RECORD).splitlines() if line.startswith("|")]
    assert lines == [
        "| renderer | µs per source | time, ratio | error of peak, median |",
        "|---|---|---|---|",
        "| ours | 154 | 1.0 | 0.10% |",
        "| slow | 35,000 | 226.3 | 0.12% |",
    ]
    assert "\n".join(lines) in text
    assert make_frontier_table.with_table(text, RECORD) == text, "written twice is written once"


def test_the_numbers_on_the_page_are_those_of_the_record():
    """A number that somebody typed would be lost, or found here."""
    if make_frontier_table.RECORD.is_file():
        record = json.loads(make_frontier_table.RECORD.read_text())
        assert make_frontier_table.with_table(PAGE, record) == PAGE
    else:
        between = PAGE.split("<!-- frontier: written by docs/make_frontier_table.py -->")[1]
        assert between.split("<!-- frontier: end -->")[0].strip() == ""


def test_a_record_without_results_and_a_page_without_marks_are_errors():
    with pytest.raises(DataError, match="implementations"):
        make_frontier_table.block({})
    with pytest.raises(DataError, match="marks"):
        make_frontier_table.with_table("no marks", RECORD)
