"""The reader on the package's mock sky, which was written from the same documentation by other hands."""

import numpy as np
import pytest

from darkhaloscope.survey.bricks import read_footprint, status_counts
from darkhaloscope.survey.hosts import UNIT_FUNCTION, plan_host_units
from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky
from darkhaloscope.survey.parents import select_parents
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.tabular import pixels, read_table
from darkhaloscope.units import run_unit

SIZE = 101


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    root = tmp_path_factory.mktemp("mock")
    config = MockSkyConfig.tiny(n_lenses=0, n_lookalikes=0)
    write_mock_sky(root, config, workers=1)
    return root, config, read_footprint(root, DR10_SOUTH)


def test_planted_defects_are_found_and_nothing_else(mock):
    _, config, bricks = mock
    assert status_counts(bricks) == {"missing image-z": 1, "no coverage": 1, "ok": config.n_bricks}


def test_hosts_have_the_catalogues_flux_at_the_catalogues_position(mock, tmp_path):
    root, config, bricks = mock
    (tile,) = set(bricks.filter([s == "ok" for s in bricks["status"].to_pylist()])["tile"].to_pylist()[:1])
    parents = select_parents(root, DR10_SOUTH, tile, bricks).table
    assert parents.num_rows >= config.hosts_per_brick
    units = plan_host_units(
        parents,
        bricks,
        survey_root=root,
        release=DR10_SOUTH,
        size_px=SIZE,
        staging=tmp_path,
        unit_hosts=500,
        profile_max_hosts=30,
    )
    counts = run_unit(UNIT_FUNCTION, units[0])["statuses"]
    assert counts["ok"] >= 27
    hosts = read_table(units[0]["output"])
    hosts = hosts.filter([s == "ok" for s in hosts["status"].to_pylist()])
    image = pixels(hosts, "image")[:, 1].astype(float)
    half = (SIZE - 1) / 2.0
    y, x = np.mgrid[:SIZE, :SIZE] - half
    ratio, offsets = [], []
    for k, row in enumerate(hosts.select(["x_offset_px", "y_offset_px", "host_mag_r"]).to_pylist()):
        inside = np.hypot(x - row["x_offset_px"], y - row["y_offset_px"]) < 9.0
        light = np.where(inside, image[k], 0.0)
        ratio.append(light.sum() / 10.0 ** ((22.5 - row["host_mag_r"]) / 2.5))
        core = np.where(np.hypot(x - row["x_offset_px"], y - row["y_offset_px"]) < 3.0, image[k], 0.0)
        offsets.append(
            [(core * v).sum() / core.sum() - row[f"{n}_offset_px"] for n, v in (("x", x), ("y", y))]
        )
    # An aperture of 2.4 arcsec holds most of a galaxy; neighbours and noise scatter single ones.
    assert 0.6 < np.median(ratio) < 1.1
    assert np.abs(np.median(offsets, axis=0)).max() < 0.1
    # White or correlated, the noise is the inverse variance's: sky pixels scatter by 1 / sqrt(invvar).
    invvar = pixels(hosts, "invvar")[:, 1]
    spread = [
        1.4826 * np.median(np.abs(im - np.median(im))) * np.sqrt(np.median(iv))
        for im, iv in zip(image, invvar, strict=True)
    ]
    assert 0.7 < np.median(spread) < 1.5
