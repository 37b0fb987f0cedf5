"""Faults of the added light, of the path that adds it and of the source bank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gates.faults import Fault, broken_light, plants
from gates.faults.broken_light import on_positives, with_bank, with_image, with_scene, with_table
from gates.faults.cases import BankCase

ANOTHER_ARC = ("S2", "S2p", "S3", "S4", "S5", "S6")
"""Arcs of another brightness, colour or place than their matched light are told from it by these."""


def _shards(
    name: str,
    gates: tuple[str, ...],
    says: str,
    plant: Any,
    *,
    lessons: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
) -> Fault:
    return Fault(name, "training_shards", gates, says, plant, lessons, also)


def _bank(name: str, says: str, change: Callable[[BankCase], plants.BankChange], *lessons: str) -> Fault:
    return Fault(name, "cosmos_bank", ("P4",), says, with_bank(change), lessons)


FAULTS: tuple[Fault, ...] = (
    _shards(
        "flux_over_1111",
        ("P1", "P5", "P6"),
        r"-99\.\d+% off lenstronomy",
        with_table(lambda table: plants.scaled_light(table, 1.0 / 1111.0)),
        lessons=("L21",),
        also=("P8", "P3", *ANOTHER_ARC),
    ),
    _shards(
        "pixel_area_missing",
        ("P1",),
        "off lenstronomy in the median",
        with_table(lambda table: plants.scaled_light(table, 0.262**2)),
        lessons=("L21",),
        also=("P8", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "five_percent_too_bright",
        ("P1",),
        r"\+5\.\d+% off lenstronomy",
        with_table(lambda table: plants.scaled_light(table, 1.05)),
        lessons=("L45",),
        also=("P8", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "sqrt_q_missing",
        ("P2", "P6"),
        "mean radius about the deflector",
        with_scene(broken_light.missing_root_q),
        lessons=("L24",),
        also=("P8", "P1", "P5", *ANOTHER_ARC),
    ),
    _shards(
        "kernel_off_centre",
        ("P2",),
        r"arcs are shifted by -\d+",
        with_image(broken_light.kernel_in_the_corner),
        lessons=("L26",),
        also=("P8", "P1", "P5", "P6", "S1", *ANOTHER_ARC),
    ),
    _shards(
        "psf_bands_swapped",
        ("P2",),
        "sharp",
        with_scene(broken_light.swapped_seeing),
        lessons=("L30",),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "psf_before_lens",
        ("P2",),
        "shift|radius|sharp|wide",
        with_scene(broken_light.blurred_before_lensing),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "source_offsets_ignored",
        ("P2",),
        "shift|radius|place|wide|sharp",
        with_scene(broken_light.without_offsets),
        lessons=("L34",),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "places_rounded_to_pixels",
        ("P2",),
        "in another place",
        with_scene(broken_light.rounded_to_pixels),
        lessons=("L25",),
        also=("P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "templates_not_turned",
        ("P2",),
        "place|sharp|wide",
        with_scene(broken_light.unturned),
        lessons=("L38",),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards("arcs_prefer_a_direction", ("P2",), "prefer a direction", broken_light.one_direction),
    _shards(
        "one_colour_for_all_arcs",
        ("P3",),
        "one colour for all",
        with_table(lambda table: plants.same_colour(table, recorded=True)),
        lessons=("L35",),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "bands_swapped_in_positives",
        ("P3",),
        "off the recorded one",
        with_table(plants.swapped_bands),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "colours_of_another_source",
        ("P3",),
        "recorded",
        with_table(plants.anothers_colours),
        lessons=("L34",),
        also=("P8", "P1", "P5", "P6", *ANOTHER_ARC),
    ),
    _shards(
        "snr_by_brightest_pixel",
        ("P5",),
        "arc_snr_footprint_r is not what it says",
        with_table(lambda table: broken_light.snr_is(table, "arc_snr_footprint_r", "arc_snr_max_r")),
        lessons=("L49",),
        also=("P6", "Q7", "S6"),
    ),
    _shards(
        "snr_of_another_band",
        ("P5",),
        "arc_snr_matched_r is not what it says",
        with_table(lambda table: broken_light.snr_is(table, "arc_snr_matched_r", "arc_snr_matched_z")),
        lessons=("L49",),
        also=("P6",),
    ),
    _shards(
        "parameters_recorded_not_applied",
        ("P6", "P2"),
        "pixels are not those of the recorded parameters",
        broken_light.another_axis_recorded,
        lessons=("L34", "L56"),
        also=("P8", "P1", "P5"),
    ),
    _shards(
        "rows_record_other_parameters",
        ("P6",),
        "parameters recorded are not those applied.*lens_q",
        with_table(broken_light.recorded_q_of_another),
        lessons=("L34",),
        also=("P8", "P1", "P2", "P5"),
    ),
    _shards(
        "controls_went_another_way",
        ("P7", "P6", "P1"),
        "controls to which nothing was added differ",
        with_table(plants.touched_controls),
        lessons=("L52",),
        also=("P8",),
    ),
    _shards(
        "path_rounds_to_half_precision",
        ("P7", "P8"),
        "differ from their host: image",
        with_table(broken_light.path_rounds),
        lessons=("L41", "L50"),
        also=("P1", "P6"),
    ),
    _shards(
        "noise_added_to_positives",
        ("P8",),
        "sky variance of positives",
        on_positives(broken_light.noisier),
        lessons=("L42",),
        also=("P1", "P2", "P3", "P5", "P6", "S1", *ANOTHER_ARC),
    ),
    _shards(
        "arcs_without_photon_noise",
        ("P8",),
        r"noise of the arcs has 0\.0\d+ times",
        broken_light.smooth_arcs,
        lessons=("L39",),
        also=("P5", "P6"),
    ),
    _shards(
        "positives_on_a_lattice",
        ("P8",),
        "stand on other steps",
        on_positives(broken_light.on_a_lattice),
        lessons=("L52",),
        also=("P6",),
    ),
    _shards(
        "positives_in_half_precision",
        ("P8",),
        "stand on other steps",
        on_positives(broken_light.half_precision),
        lessons=("L50",),
        also=("P6",),
    ),
    _shards(
        "positives_resampled",
        ("P8",),
        "sky variance|neighbouring",
        on_positives(broken_light.resampled),
        lessons=("L43",),
        also=("P1", "P2", "P3", "P5", "P6", "S1", *ANOTHER_ARC),
    ),
    _bank(
        "noise_pedestals",
        "outside the galaxies|clipped",
        lambda case: plants.predecessors_bank(case.catalog_dir),
        "L58",
    ),
    _bank(
        "radii_in_another_pixel_scale",
        "half-light radii are off the catalogue",
        lambda _case: broken_light.radii_in_another_scale,
        "L22",
    ),
    _bank("templates_of_noise", "outside the galaxies|noise", lambda _case: plants.noise_in_the_masks, "L60"),
    _bank("one_galaxy_twice", "the pixels of another", lambda _case: plants.repeated_template, "L65"),
    _bank("two_names_at_one_place", "the position of another", lambda _case: plants.repeated_place, "L65"),
    _bank("source_below_its_snr", "S/N below the limit", lambda _case: plants.faint_source, "L60"),
    _bank("radius_filter_not_applied", "outside the filter", lambda _case: plants.filter_not_applied, "L59"),
    _bank("template_without_light", "no positive light", lambda _case: plants.dark_template, "L58"),
)
