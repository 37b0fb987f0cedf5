import subprocess
import sys
from pathlib import Path

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
