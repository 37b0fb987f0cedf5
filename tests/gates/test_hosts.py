"""Host sums: what is read before injection is what lies under the stamp."""

import gate_world
import numpy as np
import stamp_world
from gate_world import kinds, values

from darkhaloscope import tabular
from darkhaloscope.gates.hosts import measure_hosts
from darkhaloscope.gates.views import brightness_of


def test_sums_are_those_of_the_stamps_with_nothing_added(good):
    plain = gate_world.keep(good.table, kinds(good.table) == "paired")
    at = good.hosts.rows(plain["host_id"].to_pylist())
    image = tabular.pixels(plain, "image")
    assert (at >= 0).all()
    assert np.array_equal(good.hosts.total_nmgy[at], image.sum(axis=(2, 3), dtype=np.float64))
    assert np.array_equal(good.hosts.brightness_r[at], brightness_of(image))
    assert np.allclose(good.hosts.offset_px[at, 0], values(plain, "x_offset_px"))


def test_gain_is_sky_times_invvar(good):
    plain = gate_world.keep(good.table, kinds(good.table) == "paired").slice(0, 5)
    at = good.hosts.rows(plain["host_id"].to_pylist())
    median = np.median(tabular.pixels(plain, "invvar"), axis=(2, 3))
    assert np.allclose(good.hosts.gain[at], np.array(stamp_world.SKY_NMGY) * median, rtol=1e-5)


def test_hosts_that_no_file_holds_are_absent(good):
    sums = measure_hosts(
        good.world.paths("hosts"), ["10000-nowhere"], experiment=good.world.experiment, size_px=64
    )
    assert sums.total_nmgy.shape == (0, 3)
    assert sums.rows(["10000-nowhere"]).tolist() == [-1]
