"""``dhs render``: a stored row made again, compared, shown; on stamps of the shipped gen6."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import render_world
import stamp_world
from click.testing import CliRunner
from PIL import Image

from dagster_project.cli import cli
from darkhaloscope import tabular
from darkhaloscope.artifacts import ArtifactStore
from darkhaloscope.errors import DataError
from darkhaloscope.schema import STAMPS


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Path:
    return render_world.campaign(tmp_path_factory)


def task_of(root: Path, kind: str) -> str:
    rows = render_world.stamps(root)
    usable = pc.and_(pc.equal(rows["control_kind"], kind), pc.equal(rows["status"], "ok"))
    return rows.filter(usable)["task_id"][0].as_py()


def render(root: Path, *arguments: str):
    return CliRunner().invoke(cli, ["render", *arguments, "--root", str(root)])


def alter(root: Path, task: str, column: str, change) -> None:
    """Commit the stamps again as if other code had made them: this task alone, one value changed."""
    store = ArtifactStore(root / "store")
    row = render_world.stamps(root).filter(pc.equal(render_world.stamps(root)["task_id"], task))
    columns = {name: row[name] for name in row.column_names}
    columns |= {c.name: tabular.pixels(row, c.name).copy() for c in STAMPS.pixel_columns()}
    columns[column] = change(columns[column])
    key = ("injected_stamps", "gen6", stamp_world.TILE)
    staging = store.stage(*key, plan="altered")
    table = STAMPS.table(columns, size=columns["image"].shape[-1])
    tabular.write_table(staging / "part-00000.parquet", STAMPS, table)
    stamp_world.commit(store, staging, *key, inputs={})


@pytest.fixture
def copy(campaign, tmp_path) -> Path:
    shutil.copytree(campaign, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("kind", ["positive", "paired", "matched_light", "unpaired"])
def test_a_row_of_every_kind_is_made_again_shown_and_drawn(campaign, kind):
    task = task_of(campaign, kind)
    done = render(campaign, task)
    assert done.exit_code == 0, done.output
    assert f"{task}: made again, bit for bit" in done.output
    assert kind in done.output
    assert ("theta_e_arcsec" in done.output) == (kind == "positive"), "no parameter that the row has not"
    with Image.open(campaign / "renders" / f"{task}.png") as picture:
        assert np.asarray(picture).std() > 10, "the picture shows something"


def test_a_row_without_pixels_is_made_again_and_says_why_there_is_no_picture(campaign):
    rows = render_world.stamps(campaign)
    lost = rows.filter(pc.not_equal(rows["status"], "ok"))
    task, status = lost["task_id"][0].as_py(), lost["status"][0].as_py()
    done = render(campaign, task)
    assert done.exit_code == 0, done.output
    assert f"picture  none: the row has no pixels, {status}" in done.output
    assert f"{task}: made again, bit for bit" in done.output
    assert not (campaign / "renders" / f"{task}.png").exists()


def test_parameters_are_shown_with_their_units(campaign):
    task = task_of(campaign, "positive")
    row = render_world.stamps(campaign).filter(pc.equal(render_world.stamps(campaign)["task_id"], task))
    line = next(line for line in render(campaign, task).output.splitlines() if "theta_e_arcsec" in line)
    assert f"{row['theta_e_arcsec'][0].as_py():.7g}" in line
    assert "arcsec" in line.split("theta_e_arcsec")[1]


def test_an_altered_pixel_exits_1_and_names_the_column_and_the_difference(copy):
    task = task_of(copy, "positive")

    def brighten(image):
        image[0, 1, 10, 10] += 0.02 * np.abs(image[0, 1]).max()
        return image

    alter(copy, task, "image", brighten)
    done = render(copy, task, "-e", "gen6")
    assert done.exit_code == 1
    assert f"{task} differs in image by 2.0e-02 of peak; 1e-05 of peak is allowed" in done.output
    assert "materialise injected_stamps of gen6, tile 042" in done.output
    assert "made again, bit for bit" not in done.output


def test_a_change_of_the_last_bit_is_told_from_equal_bits_and_is_no_failure(copy):
    task = task_of(copy, "positive")

    def nudge(image):
        image[0, 1, 32, 32] = np.nextafter(image[0, 1, 32, 32], np.float32(10))
        return image

    alter(copy, task, "image", nudge)
    done = render(copy, task)
    assert done.exit_code == 0
    assert "of peak, not bit for bit (image)" in done.output


def test_an_altered_number_exits_1_and_names_its_column(copy):
    task = task_of(copy, "matched_light")
    alter(copy, task, "arc_flux_z_nmgy", lambda column: [column[0].as_py() * 1.01])
    done = render(copy, task)
    assert done.exit_code == 1
    assert "differs in arc_flux_z_nmgy by 9.9e-03 of peak" in done.output


def test_a_task_that_is_nowhere_is_an_error_that_says_what_was_searched(campaign):
    with pytest.raises(DataError, match=r"No stored stamp of this task .*row feed.*gen6.*searched"):
        CliRunner().invoke(cli, ["render", "feed", "--root", str(campaign)], catch_exceptions=False)
