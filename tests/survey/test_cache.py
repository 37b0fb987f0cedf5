import hashlib
import multiprocessing
import os

import numpy as np
import pytest
import survey_server
from astropy.io import fits

from darkhaloscope.errors import DataError, MissingDataError
from darkhaloscope.survey import cache as room
from darkhaloscope.survey import transport

FILE = "south/coadd/a.fits.fz"


@pytest.fixture
def server(tmp_path):
    top = tmp_path / "served"
    (top / "south/coadd").mkdir(parents=True)
    for k, name in enumerate("abcd"):
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.full((300, 300), k, np.int32))])
        hdus.writeto(top / f"south/coadd/{name}.fits.fz")
    (top / "bricks.fits.gz").write_bytes(b"\x1f\x8b" + b"0" * 100)
    with survey_server.serving(top) as running:
        yield running


def cache(server, tmp_path, **changes):
    values = {"max_bytes": 10**9, "in_flight": 2, "sha256": {}, **changes}
    return room.FileCache(tmp_path / "cache", transport.WebTransport(server.url, lambda _: None), **values)


def test_a_file_is_fetched_once(server, tmp_path):
    files = cache(server, tmp_path)
    first, second = files.fetch(FILE), files.fetch(FILE)
    assert first == second == tmp_path / "cache" / FILE
    assert first.read_bytes() == (server.top / FILE).read_bytes()
    assert server.requests[FILE] == 1


@pytest.mark.parametrize("name", [FILE, "bricks.fits.gz"])
def test_an_error_page_with_status_200_never_becomes_a_file(server, tmp_path, name):
    server.faults[name] = [survey_server.PAGE] * 99
    files = cache(server, tmp_path)
    with pytest.raises(DataError, match=r"no (FITS|gzip) file \(an error page\?\), 5 times"):
        files.fetch(name)
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and ".locks" not in p.parts] == []


def test_an_error_page_in_passing_is_survived(server, tmp_path):
    server.faults[FILE] = [survey_server.PAGE, survey_server.CUT]
    assert cache(server, tmp_path).fetch(FILE).read_bytes() == (server.top / FILE).read_bytes()


def test_a_known_digest_is_checked(server, tmp_path):
    digest = hashlib.sha256((server.top / FILE).read_bytes()).hexdigest()
    server.faults[FILE] = [survey_server.ALTERED]
    files = cache(server, tmp_path, sha256={FILE: digest})
    assert files.fetch(FILE).read_bytes() == (server.top / FILE).read_bytes()
    assert server.requests[FILE] == 2


def test_a_file_the_survey_does_not_hold_leaves_nothing(server, tmp_path):
    files = cache(server, tmp_path)
    with pytest.raises(MissingDataError):
        files.fetch("south/coadd/none.fits.fz")
    assert files.size_bytes() == 0


def test_the_least_recently_used_file_leaves_first(server, tmp_path):
    size = (server.top / FILE).stat().st_size
    files = cache(server, tmp_path, max_bytes=2 * size)
    paths = [files.fetch(f"south/coadd/{name}.fits.fz") for name in "ab"]
    os.utime(paths[0], (1, 1))
    os.utime(paths[1], (2, 2))
    assert files.fetch("south/coadd/a.fits.fz") == paths[0]  # a is now the younger one
    files.fetch("south/coadd/c.fits.fz")
    assert paths[0].exists()
    assert not paths[1].exists()
    assert files.size_bytes() <= 2 * size


def _fetch(url, directory, name):
    files = room.FileCache(
        directory,
        transport.WebTransport(url, lambda _: None),
        max_bytes=10**9,
        in_flight=2,
        sha256={},
    )
    return files.fetch(name).stat().st_size


def test_processes_share_one_transfer_and_keep_the_limit_in_flight(server, tmp_path):
    server.hold_s = 0.3
    names = [FILE] * 4 + [f"south/coadd/{name}.fits.fz" for name in "bcd"]
    with multiprocessing.get_context("spawn").Pool(7) as pool:
        sizes = pool.starmap(_fetch, [(server.url, str(tmp_path / "cache"), name) for name in names])
    assert sizes == [(server.top / name).stat().st_size for name in names]
    assert max(server.requests.values()) == 1
    assert server.most_at_once == 2
