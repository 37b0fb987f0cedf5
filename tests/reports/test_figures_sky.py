import numpy as np
import pytest
from footprints import demo, like_dr10, patch
from matplotlib.colors import to_rgb
from PIL import Image

from darkhaloscope.config import Split
from darkhaloscope.reports import figures_sky
from darkhaloscope.survey.dealing import assign_splits


def shares_of_colours(path):
    """Return the share of the picture in each split's colour."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=float).reshape(-1, 3)
    found = {}
    for name, colour in figures_sky.SPLIT_COLOURS.items():
        distance = np.abs(pixels - 255.0 * np.array(to_rgb(colour))).max(axis=1)
        found[name] = float((distance < 14).mean())
    return found


def test_projection_is_that_of_tables_and_its_inverse():
    # Tables of Snyder 1987: the parallel of 45 deg lies at 0.59204, its length is 0.80591 of the equator.
    x, y = figures_sky.mollweide([180.0, 90.0], [45.0, 0.0])
    assert y == pytest.approx([0.59204, 0.0], abs=1e-5)
    assert x == pytest.approx([2.0 * 0.80591, 1.0], abs=2e-5)
    lon, lat = np.random.default_rng([1]).uniform([-180, -89.9], [180, 89.9], (500, 2)).T
    back = figures_sky.mollweide_inverse(*figures_sky.mollweide(lon, lat))
    assert np.allclose(back, (lon, lat), atol=1e-6)
    assert np.isnan(figures_sky.mollweide_inverse([1.99], [0.5])).all()
    assert figures_sky.mollweide([0.0, 0.0], [90.0, -90.0])[1] == pytest.approx([1.0, -1.0])


@pytest.mark.parametrize("sky", [patch, demo, like_dr10])
def test_areas_on_the_map_are_those_of_the_splits(sky, tmp_path):
    table = sky()
    splits = assign_splits(table, Split())
    drawn = shares_of_colours(figures_sky.split_figure(splits, table, tmp_path / "map.png"))
    assert min(drawn.values()) > 0.002
    counts = {name: list(splits.cells.values()).count(name) for name in ("train", "val", "test")}
    # Cells are equal in area; the band takes from train and val, nothing from test.
    whole = sum(drawn.values())
    assert drawn["test"] / whole == pytest.approx(counts["test"] / len(splits.cells), abs=0.03)
    assert drawn["train"] / whole < counts["train"] / len(splits.cells)
    no_band = shares_of_colours(
        figures_sky.split_figure(assign_splits(table, Split(guard_deg=0.0)), table, tmp_path / "open.png")
    )
    assert no_band["guard"] < drawn["guard"] / 3.0
    assert no_band["train"] > drawn["train"]


def test_equal_maps_are_equal_files_and_a_field_across_ra_0_is_one_field(tmp_path):
    table = patch(8.0)
    for column in ("ra1", "ra2"):
        moved = np.mod(table[column].to_numpy() - 34.0, 360.0)
        table = table.set_column(table.column_names.index(column), column, [moved])
    splits = assign_splits(table, Split())
    (field,) = figures_sky._fields(splits)
    assert 8.0 < field[1] - field[0] < 14.0
    first, second = (figures_sky.split_figure(splits, table, tmp_path / f"{i}.png") for i in range(2))
    assert first.read_bytes() == second.read_bytes()
