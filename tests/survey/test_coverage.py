import pytest
import sky_tree

from darkhaloscope.errors import MissingDataError
from darkhaloscope.survey import coverage, layout
from darkhaloscope.survey.bricks import read_footprint
from darkhaloscope.survey.release import DR10_SOUTH
from darkhaloscope.survey.roots import open_root


def sweep(*corners):
    """A sweep of a box (ra1, dec1, ra2, dec2)."""
    ra1, dec1, ra2, dec2 = corners
    return layout.SweepFile(f"s/{layout.sweep_name(*corners)}", ra1, ra2, dec1, dec2)


def footprint(tmp_path, *places, **change):
    bricks = [
        sky_tree.Brick(f"{i:04d}p000", i, ra, dec, side_deg=0.25, **change)
        for i, (ra, dec) in enumerate(places)
    ]
    sky_tree.write_brick_tables(tmp_path, bricks)
    for brick in bricks:
        if brick.listed and brick.nexp:
            brick.directory(tmp_path).mkdir(parents=True)
    return read_footprint(tmp_path, DR10_SOUTH)


def test_the_box_of_bricks_may_hold_ra_zero(tmp_path):
    box = coverage.box_of(footprint(tmp_path, (0.05, 6.0), (359.8, 6.0)))
    assert box == pytest.approx((359.674, 0.176, 5.875, 6.125), abs=1e-3)


def test_sweeps_are_chosen_by_their_box(tmp_path):
    low = sky_tree.Brick("0050p050", 1, 5.0, 5.1, positions=[(200.0, 200.0)])
    across = sky_tree.Brick("3599m001", 2, 359.995, -0.1, positions=[(200.0, 200.0)])
    sky_tree.write_tree(tmp_path, [low, across])

    def names(box):
        found = coverage.sweeps_of_box(open_root(tmp_path), DR10_SOUTH, box)
        return [s.relative.rpartition("/")[2] for s in found]

    assert names((4.9, 5.2, 5.05, 5.2)) == ["sweep-000p005-010p010.fits"]
    assert names((359.9, 0.05, -0.2, 0.0)) == ["sweep-350m005-360p000.fits"]
    with pytest.raises(MissingDataError, match=r"RA 100\.00 to 101\.00"):
        names((100.0, 101.0, 5.0, 6.0))


def test_nothing_is_lost_where_every_brick_has_its_sweep(tmp_path):
    bricks = footprint(tmp_path, (7.0, 6.0), (12.0, 6.0))
    found = coverage.cover(bricks, [sweep(5, 5, 10, 10), sweep(10, 5, 15, 10), sweep(100, 5, 105, 10)], {})
    assert (found.status, found.sweeps_read, found.lost) == (coverage.COMPLETE, 2, ())
    assert found.area_deg2 == pytest.approx(2 * 0.25**2, rel=1e-4)
    assert found.area_lost_deg2 == 0.0


def test_a_missing_sweep_is_named_with_the_area_it_costs(tmp_path):
    # The second brick lies half in the missing sweep.
    bricks = footprint(tmp_path, (7.0, 6.0), (10.0, 6.0), (12.0, 6.0))
    found = coverage.cover(bricks, [sweep(5, 5, 10, 10), sweep(20, 5, 25, 10)], {})
    assert found.status == coverage.INCOMPLETE
    (lost,) = found.lost
    assert (lost.name, lost.status) == ("sweep-010p005-015p010.fits", coverage.MISSING)
    assert lost.area_deg2 == pytest.approx(1.5 * 0.25**2, rel=1e-3)
    assert found.area_lost_deg2 == pytest.approx(lost.area_deg2)
    assert found.bricks_incomplete == 2


def test_a_damaged_sweep_keeps_its_reason_and_is_not_counted_as_read(tmp_path):
    bricks = footprint(tmp_path, (7.0, 6.0), (12.0, 6.0))
    present = [sweep(5, 5, 10, 10), sweep(10, 5, 15, 10)]
    found = coverage.cover(bricks, present, {present[1].relative: (coverage.DAMAGED, "half a file")})
    assert [(s.name, s.status, s.reason) for s in found.lost] == [
        ("sweep-010p005-015p010.fits", coverage.DAMAGED, "half a file")
    ]
    summary = found.as_dict()
    assert summary["tile_status"] == coverage.INCOMPLETE
    assert summary["sweeps"] == {"read": 1, "missing": 0, "damaged": 1}
    assert summary["area_lost_deg2"] == pytest.approx(0.25**2, rel=1e-4)


def test_bricks_on_both_sides_of_ra_zero_and_of_the_equator_are_held(tmp_path):
    bricks = footprint(tmp_path, (0.0, 0.0), (359.95, 0.0))
    around = [sweep(0, 0, 5, 5), sweep(355, 0, 360, 5), sweep(0, -5, 5, 0), sweep(355, -5, 360, 0)]
    assert coverage.cover(bricks, around, {}).status == coverage.COMPLETE
    for gone in range(4):
        found = coverage.cover(bricks, [s for i, s in enumerate(around) if i != gone], {})
        assert [s.name for s in found.lost] == [around[gone].relative.rpartition("/")[2]]


def test_bricks_without_exposures_need_no_sweep(tmp_path):
    bricks = footprint(tmp_path, (12.0, 6.0), nexp=0)
    assert coverage.cover(bricks, [sweep(0, 5, 5, 10)], {}).status == coverage.COMPLETE


def test_the_footprint_says_which_tiles_are_incomplete(tmp_path):
    # Two tiles; the sweep of the first is truncated, that of the second was never copied.
    near, far = (sky_tree.Brick(f"{int(10 * ra):04d}p060", int(ra), ra, 6.0, positions=[(200.0, 200.0)])
                 for ra in (12.0, 45.0))  # fmt: skip
    sky_tree.write_tree(
        tmp_path, [near, far, sky_tree.Brick("0850p060", 3, 85.0, 6.0, positions=[(99.0, 99.0)])]
    )
    bricks = read_footprint(tmp_path, DR10_SOUTH)
    whole = coverage.tile_coverage(open_root(tmp_path), DR10_SOUTH, bricks)
    assert {c.status for c in whole.values()} == {coverage.COMPLETE}
    assert coverage.footprint_summary(whole)["tiles_incomplete"] == {}
    path = sky_tree.sweep_path(tmp_path, near)
    path.write_bytes(path.read_bytes()[:9000])
    sky_tree.sweep_path(tmp_path, far).unlink()
    found = coverage.footprint_summary(coverage.tile_coverage(open_root(tmp_path), DR10_SOUTH, bricks))
    assert found["sweeps"] == {"missing": 1, "damaged": 1}
    assert [(s["name"], s["status"]) for s in found["sweeps_lost"]] == [
        ("sweep-010p005-020p010.fits", "damaged"),
        ("sweep-040p005-050p010.fits", "missing"),
    ]
    tiles = dict(zip(bricks["brickid"].to_pylist(), bricks["tile"].to_pylist(), strict=True))
    assert found["tiles_incomplete"] == pytest.approx({tiles[i]: 0.026**2 for i in (12, 45)}, rel=1e-3)
