"""L96: a filter removed positives only and shifted the classes against each other."""

from collections import Counter

import numpy as np
import pytest
import stamp_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return stamp_world.shared(tmp_path_factory)


def test_bad_hosts_cost_every_class_the_same(world, tmp_path):
    rows = world.table("manifest")
    hosts = sorted(set(stamp_world.of_kind(rows, "positive")["host_id"].to_pylist()))
    bad = set(hosts[::4])
    path = stamp_world.damaged_hosts(tmp_path, stamp_world.hosts(), stamp_world.clear_band(1), bad)
    found = stamp_world.stamps_of(world, rows, host_paths=[path])
    lost = Counter(
        kind
        for kind, status in zip(found["control_kind"].to_pylist(), found["status"].to_pylist(), strict=True)
        if status == "missing_band_r"
    )
    assert lost == dict.fromkeys(("positive", "paired", "matched_light"), len(bad))


@pytest.mark.parametrize("column", ["psf_fwhm_r_arcsec", "bad_pixel_frac_g"])
def test_a_host_that_is_cut_before_the_manifest_has_no_row_of_any_class(world, column):
    table = stamp_world.hosts()
    values = np.array(table[column].to_pylist())
    values[::5] = 3.0 if column.startswith("psf") else 0.5
    cut = set(np.array(table["host_id"].to_pylist())[::5].tolist())
    rows = stamp_world.manifest_of(
        world.experiment, world.bank_path, host_table=stamp_world.replace(table, **{column: values})
    )
    assert not cut & set(rows["host_id"].to_pylist())
    kinds = Counter(rows["control_kind"].to_pylist())
    assert kinds["positive"] == kinds["paired"] == kinds["matched_light"]
