"""What a comparison of stored and re-made rows says, and what it cannot overlook."""

import numpy as np
import pyarrow as pa
import pytest
import stamp_world

from darkhaloscope import tabular
from darkhaloscope.errors import ContractError
from darkhaloscope.lensing.noise import INVVAR_STEPS
from darkhaloscope.schema import STAMPS
from darkhaloscope.stamps.agreement import TOLERANCE, Verdict, compare_rows


@pytest.fixture(scope="module")
def stored(world):
    return stamp_world.of_kind(world.table("stamps"), "positive").slice(0, 2)


def with_pixels(table: pa.Table, name: str, change) -> pa.Table:
    """The table with ``change(pixels)`` applied to the pixels of its first row."""
    values = tabular.pixels(table, name).copy()
    change(values[0])
    columns = {column: table[column] for column in table.column_names}
    columns |= {column.name: tabular.pixels(table, column.name) for column in STAMPS.pixel_columns()}
    return STAMPS.table(columns | {name: values}, size=values.shape[-1])


def alter(band: int, factor: float):
    """Add ``factor`` times the peak of a band to one of its pixels."""

    def change(image):
        image[band, 3, 5] += factor * np.abs(image[band]).max()

    return change


def test_equal_rows_agree_bit_for_bit(stored):
    for row in compare_rows(stored, stored):
        assert row.verdict is Verdict.IDENTICAL
        assert str(row) == "bit for bit"
        assert row.largest == 0.0


def test_one_altered_pixel_is_found_and_measured_against_the_peak_of_its_band(stored):
    first, second = compare_rows(with_pixels(stored, "image", alter(0, 0.01)), stored)
    assert first.verdict is Verdict.DIFFERS
    assert list(first.beyond) == ["image"]
    assert first.largest == pytest.approx(0.01, rel=1e-4)
    assert "differs in image by 1.0e-02 of peak" in str(first)
    assert second.verdict is Verdict.IDENTICAL, "the other row is as it was"


def test_a_faint_band_is_not_judged_by_a_bright_one(stored):
    """z is several times brighter than g: half the tolerance of z is beyond that of g."""
    peak = np.abs(tabular.pixels(stored, "image")[0]).max(axis=(1, 2))
    assert peak[2] > 3 * peak[0]
    changed = with_pixels(stored, "image", alter(0, 0.5 * TOLERANCE * peak[2] / peak[0]))
    assert compare_rows(changed, stored)[0].verdict is Verdict.DIFFERS


def test_the_last_bit_of_a_pixel_is_within_tolerance_but_not_bit_for_bit(stored):
    def nudge(image):
        image[1, 32, 32] = np.nextafter(image[1, 32, 32], np.float32(1e9))

    (first, _) = compare_rows(with_pixels(stored, "image", nudge), stored)
    assert first.verdict is Verdict.WITHIN
    assert 0.0 < first.largest < 1e-6
    assert "not bit for bit (image)" in str(first)


def test_just_inside_and_just_outside_the_tolerance(stored):
    verdicts = [
        compare_rows(with_pixels(stored, "image", alter(2, share * TOLERANCE)), stored)[0].verdict
        for share in (0.8, 1.3)
    ]
    assert verdicts == [Verdict.WITHIN, Verdict.DIFFERS]


def test_inverse_variance_may_fall_to_the_neighbouring_step_and_no_farther(stored):
    peak = float(tabular.pixels(stored, "invvar")[0, 1].max())
    verdicts = []
    for steps in (1, 2):

        def lower(invvar, steps=steps):
            invvar[1, 30, 30] = peak * (1.0 - steps / INVVAR_STEPS)

        before = with_pixels(stored, "invvar", lambda invvar: invvar.__setitem__((1, 30, 30), peak))
        verdicts.append(compare_rows(before, with_pixels(stored, "invvar", lower))[0].verdict)
    assert verdicts == [Verdict.WITHIN, Verdict.DIFFERS]


def test_numbers_are_judged_against_themselves(stored):
    values = stored["arc_flux_r_nmgy"].to_pylist()
    for factor, verdict in ((1.0 + 1e-12, Verdict.WITHIN), (1.0 + 1e-3, Verdict.DIFFERS)):
        changed = stamp_world.replace(stored, arc_flux_r_nmgy=[values[0] * factor, values[1]])
        assert compare_rows(stored, changed)[0].verdict is verdict


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "lost"),
        ("src_flip", None),
        ("nan_pixels", 7),
        ("magnification", None),
        ("magnification", np.inf),
    ],
)
def test_what_cannot_be_subtracted_never_agrees(stored, column, value):
    values = stored[column].to_pylist()
    assert values[0] != value
    changed = stamp_world.replace(stored, **{column: [value, values[1]]})
    (first, _) = compare_rows(stored, changed)
    assert first.verdict is Verdict.DIFFERS
    assert list(first.beyond) == [column]
    assert f"differs in {column};" in str(first)


def test_a_mask_bit_and_a_not_a_number_are_differences(stored):
    def flag(mask):
        mask[0, 0] ^= 1

    def spoil(image):
        image[0, 0, 0] = np.nan

    for name, change in (("maskbits", flag), ("image", spoil)):
        (first, _) = compare_rows(stored, with_pixels(stored, name, change))
        assert list(first.beyond) == [name]
    spoilt = with_pixels(stored, "image", spoil)
    assert compare_rows(spoilt, spoilt)[0].verdict is Verdict.IDENTICAL, "the same bits, whatever they mean"


def test_every_column_of_the_schema_is_compared(stored):
    """A column that was left out would be a place to hide a change."""
    other = stored.slice(1, 1)
    renamed = stamp_world.replace(other, task_id=stored["task_id"].to_pylist()[:1])
    (found,) = compare_rows(stored.slice(0, 1), renamed)
    differing = {
        name for name in STAMPS.names() if stored[name].slice(0, 1).to_pylist() != other[name].to_pylist()
    } - {"task_id"}
    assert set(found.difference) == differing
    assert {"image", "invvar", "host_id", "theta_e_arcsec"} <= differing


def test_rows_of_other_tasks_are_not_compared(stored):
    with pytest.raises(ContractError, match="task_id"):
        compare_rows(stored, stored.take([1, 0]))
