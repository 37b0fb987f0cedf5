import pyarrow as pa
import pytest
import synthetic_stamps as synthetic

from darkhaloscope.reports.row_table import NO_VALUE, format_value, row_lines
from darkhaloscope.schema import STAMPS, Column, Role, TableSchema

TOY = TableSchema(
    "toy",
    1,
    (
        Column("ebv", pa.float64(), Role.CONDITION, "mag", "reddening"),
        Column("id", pa.string(), Role.IDENTITY, "", "id of the row"),
        *[
            Column(f"mag_{b}_mag", pa.float64(), Role.CONDITION, "mag", f"magnitude in {b}", nullable=True)
            for b in "grz"
        ],
        Column("g_offset", pa.float64(), Role.TRUTH, "px", "no other band has it"),
        Column("z_lens", pa.float64(), Role.TRUTH, "", "redshift", nullable=True),
        Column("status", pa.string(), Role.QUALITY, "", "ok or a reason"),
        Column("magnification", pa.float64(), Role.RESULT, "", "image flux over source flux"),
    ),
)


def lines(**values):
    row = {"ebv": 0.05, "id": "a", "mag_g_mag": 22.5, "mag_r_mag": None, "mag_z_mag": 20.25, "g_offset": 1.0}
    row = row | {"z_lens": None, "status": "ok", "magnification": 5.5} | values
    return row_lines(TOY, TOY.table({name: [value] for name, value in row.items()}))


def test_bands_share_a_line_and_sections_come_in_order():
    found = lines()
    names = ["id", "g_offset", "magnification", "status", "ebv", "mag_{b}_mag"]
    assert [line.name for line in found] == names
    assert found[5].values == ("22.5", NO_VALUE, "20.25")
    assert (found[5].unit, found[5].meaning) == ("mag", "magnitude in {b}")
    assert found[1].values == ("1",), "a column of one band only stays itself"


def test_a_parameter_without_any_value_is_not_listed():
    assert "z_lens" not in [line.name for line in lines()]
    assert "z_lens" in [line.name for line in lines(z_lens=0.5)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NO_VALUE),
        ("", NO_VALUE),
        (True, "yes"),
        (False, "no"),
        (0.0, "0"),
        (7, "7"),
        (43.594867606, "43.59487"),
    ],
)
def test_values_are_short(value, text):
    assert format_value(value) == text


def test_every_scalar_of_a_stamp_is_listed_once():
    """A column that is forgotten here is a parameter nobody sees."""
    row = synthetic.stamp_table(2, "train", theta_e_arcsec=pa.array([1.2, None])).slice(0, 1)
    found = row_lines(STAMPS, row)
    shown = {line.name.replace("{b}", band) for line in found for band in "grz"}
    pixels = {column.name for column in STAMPS.pixel_columns()}
    empty = {name for name in row.column_names if name not in pixels and row[name][0].as_py() in (None, "")}
    assert set(STAMPS.names()) - pixels - empty <= shown
    assert len({line.name for line in found}) == len(found)
