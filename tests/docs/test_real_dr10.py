"""The page for users with a mirror: its commands run on a small sky, its numbers are those of the record.

Of the commands only the places, the tile and the profile are replaced. They run
as far as the stamps; what comes after reads no survey file but for the anchors.
"""

import re
import shlex
import shutil

import pytest
import s3_server
import survey_server
from click.testing import CliRunner

from dagster_project import runner
from dagster_project.cli import cli
from darkhaloscope.artifacts import read_json
from darkhaloscope.errors import DataError
from darkhaloscope.sources.mock_cosmos import write_mock_cosmos
from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky
from docs import make_real_dr10
from resources.campaign import Campaign

PAGE = make_real_dr10.PAGE.read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(block.replace("\\\n", " ")) for block in re.findall(r"```sh\n(dhs .*?)```", PAGE, re.DOTALL)
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A mock mirror in a bucket's folder, and a mock training sample."""
    top = tmp_path_factory.mktemp("mirror")
    write_mock_sky(top / "my-bucket/dr10", MockSkyConfig.for_profile("test"), workers=2)
    write_mock_cosmos(top / "cosmos", n_galaxies=60, seed=1)
    return top


def test_the_page_shows_a_tile_from_everywhere_and_the_footprint():
    roots = [command[command.index("--survey-root") + 1] for command in COMMANDS]
    assert [re.split(r"[:/]", root)[0] for root in roots] == ["", "https", "s3", ""]
    assert ["--tiles" in command for command in COMMANDS] == [True, True, True, False]


def test_every_command_runs_and_all_roots_give_the_same_hosts(world, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "STEPS", runner.STEPS[:3])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-nobody")
    mirror = world / "my-bucket/dr10"
    hosts = {}
    with (
        survey_server.serving(mirror) as web,
        survey_server.serving(world, s3_server.S3Handler) as bucket,
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
        places = {
            "https://portal.nersc.gov/cfs/cosmo/data/legacysurvey/dr10": web.url,
            "/data/dr10": str(mirror),
            "/data/lenscat/catalog.csv": str(mirror / "catalogs/known-objects.csv"),
            "/data/COSMOS_25.2_training_sample": str(world / "cosmos"),
            "full": "test",
        }
        tile = ""
        for number, command in reversed(list(enumerate(COMMANDS))):
            # The footprint first: it says which tiles there are. Remote roots have stores of their
            # own, with the bank that is built by then.
            root = tmp_path / ("local" if number in (0, 3) else str(number))
            if number in (1, 2):
                shutil.copytree(tmp_path / "local/store/cosmos_bank", root / "store/cosmos_bank")
            places |= {"/scratch/dr10": str(tmp_path / f"cache-{number}"), "278": tile}
            places |= {"runs/dr10": str(root), "runs/dr10-278": str(root)}
            arguments = [places.get(word, word) for word in command[1:]]
            done = CliRunner().invoke(cli, [*arguments, "--workers", "1"])
            assert done.exception is None or isinstance(done.exception, SystemExit), done.output
            store = Campaign(root=str(root)).store
            tile = tile or store.record("footprint").summary["tiles"][0]
            assert re.search(rf"ok +stamps +gen6\|{tile}", done.output), done.output
            hosts[number] = store.record("host_cutouts", tile).content_hash
            assert store.record("lrg_parents", tile).summary["photo_z"]["read"] >= 1
        assert sum(web.requests.values()) > 10
        assert sum(bucket.requests.values()) > 10
    assert len(set(hosts.values())) == 1, hosts
    assert list((tmp_path / "cache-1").rglob("*-image-g.fits.fz"))


def test_the_numbers_on_the_page_are_those_of_the_record():
    """A number that somebody typed would be lost, or found here."""
    record = read_json(make_real_dr10.RECORD)
    assert make_real_dr10.with_numbers(PAGE, record) == PAGE
    with pytest.raises(DataError, match="marks"):
        make_real_dr10.with_numbers("no marks", record)


def test_times_are_a_measured_rate_times_a_count():
    record = read_json(make_real_dr10.RECORD)
    faster = {**record, "sweeps": {**record["sweeps"], "cpu_s_per_gb": record["sweeps"]["cpu_s_per_gb"] * 2}}
    by_step = {row["step"]: row for row in make_real_dr10.numbers(record)}
    assert make_real_dr10.numbers(faster)[0]["hours"] == pytest.approx(2 * by_step["sweeps"]["hours"])
    tile, footprint = by_step["coadds"]["bytes"]
    # 3 images of 13 MB, 3 inverse variances of 11, seeing and masks, over 53.7 deg^2 of 0.0623 deg^2 bricks
    assert tile == pytest.approx(53.71 / 0.0623 * 73.9e6, rel=0.01)
    assert footprint / tile == pytest.approx(19_885 / 53.71, rel=1e-3)
    cut = record["cutouts"]["densities"][0]
    hosts = by_step["host cutouts, lrg_v3_raw"]
    assert hosts["count"][0] == pytest.approx(1201 * 53.71, rel=1e-3)
    assert hosts["hours"][0] * 3600.0 * cut["unit_hosts_per_s"] == pytest.approx(hosts["count"][0])
