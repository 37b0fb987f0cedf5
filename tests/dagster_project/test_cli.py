import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import s3_server
import sky_tree
import survey_server
from click.testing import CliRunner

from dagster_project.cli import cli
from darkhaloscope.errors import ConfigError
from darkhaloscope.survey.transport import ATTEMPTS

DHS = Path(sys.executable).with_name("dhs")


def dhs(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(DHS), *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_help_teaches_and_starts_with_the_demo(tmp_path):
    done = dhs("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Start with `dhs demo`" in done.stdout
    assert all(command in done.stdout for command in ("demo", "run", "render"))


def test_a_users_error_is_one_message_and_exit_code_2(tmp_path):
    done = dhs(*("run", "-e", "gen7", "--root", "r", "--survey-root", str(tmp_path)), cwd=tmp_path)
    assert done.returncode == 2
    assert "ConfigError" in done.stderr
    assert "gen7.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists(), "nothing is written before the request is understood"


def test_an_absent_survey_is_named_in_the_failing_step(tmp_path):
    done = dhs(
        *("run", "-e", "gen6", "--root", "r", "--survey-root", "nowhere", "--profile", "test"), cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Brick table not found" in done.stdout
    assert "nowhere/survey-bricks.fits.gz" in done.stdout.replace("\n", "")
    assert "check the survey root" in done.stdout.replace("\n", " ")


def survey_run(url, root, *options):
    """Run the command in this process; a user's error is raised."""
    return CliRunner().invoke(
        cli,
        [*("run", "-e", "gen6", "--root", str(root), "--survey-root", url, "--profile", "test"),
         *("--workers", "1", "--anchors", "none.csv", *options)],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("location", "says"),
    [("ftp://host/dr10", "the scheme ftp"), ("https:///dr10", "no host or bucket"), ("", "nothing")],
)
def test_what_can_be_no_survey_root_is_refused_before_anything_is_written(tmp_path, location, says):
    done = survey_run(location, tmp_path / "r")
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
    assert "s3://bucket/prefix or https://host/path" in str(done.exception)
    assert not (tmp_path / "r").exists()


def test_help_of_run_teaches_roots_and_caches():
    text = " ".join(CliRunner().invoke(cli, ["run", "--help"]).output.split())
    shown = ("s3://BUCKET/PREFIX", "https://HOST/PATH", "least recently used", "sha256sum", "real-dr10.md")
    assert [words for words in shown if words not in text] == []
    assert CliRunner().invoke(cli, ["run", "--survey-in-flight", "0"]).exit_code == 2


def test_a_web_root_is_read_through_the_cache_and_the_checksums_that_were_named(tmp_path):
    top = tmp_path / "top"
    sky_tree.write_brick_tables(top, sky_tree.pair())
    bricks, summary = "survey-bricks.fits.gz", "south/survey-bricks-dr10-south.fits.gz"
    sums = tmp_path / "sums"
    digest = hashlib.sha256((top / bricks).read_bytes()).hexdigest()
    sums.write_text(f"{digest}  {bricks}\n{'0' * 64}  {summary}\n")
    options = ("--coadd-cache", str(tmp_path / "fetched"), "--coadd-cache-gb", "1", "--survey-in-flight", "1")
    with survey_server.serving(top) as server:
        done = survey_run(server.url, tmp_path / "r", *options, "--survey-checksums", str(sums))
        assert server.requests[bricks] == 1
        assert server.requests[summary] == ATTEMPTS, "its checksum is another"
    assert done.exit_code == 1
    assert (tmp_path / "fetched" / bricks).read_bytes() == (top / bricks).read_bytes()
    assert not (tmp_path / "fetched" / summary).exists()


def test_an_s3_root_is_read_from_the_server_that_was_named(tmp_path):
    sky_tree.write_brick_tables(tmp_path / "top/bucket/dr10", sky_tree.pair())
    with survey_server.serving(tmp_path / "top", s3_server.S3Handler) as server:
        location = "s3://bucket/dr10?region=here&anonymous=true"
        done = survey_run(location, tmp_path / "r", "--s3-endpoint", server.url)
    assert done.exit_code == 1, "the tree has no sweeps"
    assert (tmp_path / "r/cache/south/survey-bricks-dr10-south.fits.gz").is_file()
