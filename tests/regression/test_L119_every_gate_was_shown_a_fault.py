"""L119: no gate had ever been shown a fault; each one here fails on its own and passes on a sound set."""

import gate_world
import numpy as np
import pytest
from gate_world import LIMITS, Rows, sample_of
from gates.faults import plants

from darkhaloscope.config import Controls, SnrTargeting, Storage
from darkhaloscope.gates.behaviour import trial
from darkhaloscope.gates.leakage import known_objects, metadata, proportions, splits
from darkhaloscope.gates.physics import arc_colours, flux
from darkhaloscope.gates.quality import (
    completeness,
    conditions,
    losses,
    multiplicity,
    snr_mix,
    storage,
)
from darkhaloscope.gates.registry import DATA_GATES, MODEL_GATES
from darkhaloscope.gates.result import GateStatus
from darkhaloscope.gates.shortcut import brightness, colour, light, normalisation, profile, signal
from darkhaloscope.schema import STAMPS
from darkhaloscope.sources.library import open_sources
from darkhaloscope.tabular import read_table, write_table

AIM = SnrTargeting(mode="choose_flux", target="table")


class Bench:
    """Judges any table, or any model, with one gate."""

    def __init__(self, gate_set, folder):
        self.set, self.folder = gate_set, folder
        self.chosen = gate_set.world.experiment

    def sample(self, table, chosen=None):
        same = table is self.set.table and chosen is None
        return self.set.sample if same else sample_of(table, chosen or self.chosen)

    def q1(self, table):
        measured = conditions.measure_conditions(Rows(table).columns, {}, Rows(table).population)
        return conditions.judge_conditions(measured, LIMITS)

    def q2(self, table):
        return completeness.judge_bands(completeness.measure_bands(Rows(table).columns, {}), LIMITS)

    def q3(self, table):
        return completeness.judge_finite(completeness.measure_finite(Rows(table).columns, 0), LIMITS)

    def q4(self, stamps):
        write_table(self.folder / "s.parquet", STAMPS, stamps)
        paths = self.set.world.paths("manifest"), [self.folder / "s.parquet"]
        return losses.judge_losses(losses.measure_losses(*paths), LIMITS)

    def q5(self, table):
        measured = completeness.measure_classes(Rows(table).columns, Controls(), gate_world.FRACTIONS)
        return completeness.judge_classes(measured, LIMITS)

    def q7(self, table):
        measured = snr_mix.measure_snr_mix(Rows(table).planned(targeting=AIM), AIM, seed=1)
        return snr_mix.judge_snr_mix(measured, LIMITS)

    def q8(self, table):
        measured = storage.measure_storage(
            Rows(table),
            Rows(table).population,
            self.set.world.paths("stamps"),
            Storage(form="quantised"),
            hosts_per_class=400,
            seed=1,
            limits=LIMITS,
        )
        return storage.judge_storage(measured, LIMITS)

    def l1(self, table):
        rows = Rows(table)
        return splits.judge_sky(splits.measure_sky(rows.columns, 0.5), LIMITS)

    def l2(self, table):
        return splits.judge_hosts(
            splits.measure_shared_hosts(Rows(table).columns, Rows(table), LIMITS), LIMITS
        )

    def l3(self, table):
        return splits.judge_sources(splits.measure_sources(Rows(table).columns, Rows(table)), LIMITS)

    def l4(self, counts):
        split = np.repeat(["train", "val", "test"], counts)
        n = len(split)
        hosts = dict(zip(["train", "val", "test"], counts, strict=True))
        measured = proportions.measure_proportions(
            cell=np.arange(n),
            split=split,
            galaxies=np.ones(n),
            area_deg2=np.ones(n),
            fractions=(0.7, 0.15, 0.15),
            available=hosts,
            kept=hosts,
        )
        return proportions.judge_proportions(measured, LIMITS)

    def q6(self, table):
        measured = multiplicity.measure_multiplicity(Rows(table).columns, Rows(table), LIMITS)
        return multiplicity.judge_multiplicity(measured, LIMITS)

    def l5(self, table):
        measured = metadata.measure_metadata(
            Rows(table).columns, ("psf_fwhm_r_arcsec",), seed=1, n_boot=50, limits=LIMITS
        )
        return metadata.judge_metadata(measured, LIMITS)

    def l6(self, anchors):
        rows = Rows(self.set.table)
        measured = known_objects.measure_known_objects(rows.columns, anchors, rows, LIMITS)
        return known_objects.judge_known_objects(measured, LIMITS)

    def p1(self, table):
        with open_sources("cosmos", self.set.world.bank_path) as library:
            measured = flux.measure_flux(
                self.sample(table),
                self.set.hosts,
                library,
                experiment=self.chosen,
                size_px=gate_world.SIZE_PX,
                oracle_rows=20,
                limits=LIMITS,
            )
        return flux.judge_flux(measured, LIMITS)

    def p3(self, table):
        measured = arc_colours.measure_arc_colours(
            self.sample(table),
            self.set.hosts,
            experiment=self.chosen,
            limits=LIMITS,
        )
        return arc_colours.judge_arc_colours(measured, LIMITS)

    def s1(self, table):
        measured = normalisation.measure_normalisation(self.sample(table))
        return normalisation.judge_normalisation(measured, LIMITS)

    def s2(self, table):
        sample = self.sample(table)
        measured = light.measure_aperture_light(sample, sample.model, None, seed=1, n_boot=50)
        return light.judge_aperture_light(measured, LIMITS)

    def s2p(self, table):
        sample = self.sample(table)
        measured = light.measure_core(sample, sample.model, seed=1, n_boot=50)
        return light.judge_core(measured, LIMITS)

    def s3(self, table):
        sample = self.sample(table)
        measured = brightness.measure_brightness(sample, sample.model, self.set.hosts)
        return brightness.judge_brightness(measured, LIMITS)

    def s4(self, table):
        sample = self.sample(table)
        measured = colour.measure_colour(sample, sample.model, None, seed=1, n_boot=50)
        return colour.judge_colour(measured, LIMITS)

    def s5(self, table):
        sample = self.sample(table)
        measured = profile.measure_profile(sample, sample.model, seed=1, n_boot=50)
        return profile.judge_profile(measured, LIMITS)

    def s6(self, centre):
        chosen = gate_world.experiment(preprocess={"centre": centre, "centre_radius_px": 16.0})
        sample = self.sample(self.set.table, chosen)
        measured = signal.measure_signal(sample, epochs=10, seed=1, n_boot=50, limits=LIMITS)
        return signal.judge_signal(measured, LIMITS)

    def b1(self, score):
        measured = trial.measure_null_injection(
            self.trial, lambda images, _rows: score(self.trial, images), experiment=self.chosen, n_boot=50
        )
        return trial.judge_null_injection(measured, LIMITS)

    def b2(self, score):
        measured = trial.measure_arc_removed(
            self.trial, lambda images, _rows: score(self.trial, images), experiment=self.chosen
        )
        return trial.judge_arc_removed(replace_annulus(measured), LIMITS)

    @property
    def trial(self):
        return trial.read_trial(
            Rows(self.set.table),
            self.set.world.paths("hosts"),
            experiment=self.chosen,
            n_hosts=400,
            size_px=gate_world.SIZE_PX,
        )


def replace_annulus(measured):
    """The stand-in models below know the host; what they say of a stamp with sky in it means nothing."""
    return {**measured, "annulus": measured["bare_host"]}


def arcs(trial, images):
    return np.clip((images - trial.bare)[:, 1].sum(axis=(1, 2)), 0.02, 0.98)


def bright_centres(trial, images):
    return np.clip(images[:, 1, 26:38, 26:38].sum(axis=(1, 2)), 0.02, 0.98)


def stamps(bench):
    return read_table(bench.set.world.paths("stamps"))


def rows(fault, *args, **given):
    return lambda bench: fault(bench.set.table, *args, **given)


def sound(bench):
    return bench.set.table


def aimed(bench):
    return gate_world.on_target(bench.set.table, AIM)


def known_lens(bench):
    ra, dec = (bench.set.table[name][0].as_py() for name in ("ra", "dec"))
    return gate_world.anchors((ra, dec, "grade"))


CASES = {
    "Q1": (sound, rows(plants.sharper_seeing)),
    "Q2": (sound, rows(plants.missing_band)),
    "Q3": (sound, rows(plants.nan_pixel, counted=True)),
    "Q4": (stamps, lambda bench: plants.lose_wide_psf(stamps(bench))),
    "Q5": (sound, rows(plants.half_the_positives)),
    "Q6": (sound, rows(plants.one_row_per_selection)),
    "Q7": (aimed, lambda bench: plants.faint_arcs_missing(aimed(bench))),
    "Q8": (rows(gate_world.quantised), rows(plants.undithered)),
    "L1": (sound, rows(plants.ring_order)),
    "L2": (sound, rows(plants.relabelled_rows)),
    "L3": (sound, rows(plants.shared_source)),
    "L4": (lambda _: [70, 15, 15], lambda _: [81, 11, 8]),
    "L5": (sound, rows(plants.rounded_seeing)),
    "L6": (lambda _: gate_world.anchors(), known_lens),
    "P1": (sound, rows(plants.scaled_light, 1.05)),
    "P3": (sound, rows(plants.same_colour, recorded=True)),
    "S1": (sound, rows(plants.sky_residual)),
    "S2": (sound, rows(plants.one_colour)),
    "S2p": (sound, rows(plants.light_in_the_core)),
    "S3": (sound, rows(plants.light_in_the_core)),
    "S4": (sound, rows(plants.one_colour)),
    "S5": (sound, rows(plants.light_in_the_core)),
    "S6": (lambda _: "none", lambda _: "mask"),
    "B1": (lambda _: arcs, lambda _: bright_centres),
    "B2": (lambda _: arcs, lambda _: bright_centres),
}


def test_every_gate_of_this_room_is_here():
    assert set(CASES) == {*DATA_GATES, *MODEL_GATES}


@pytest.mark.parametrize("gate", CASES)
def test_gate_passes_what_is_sound_and_fails_what_is_planted(gate_set, tmp_path, gate):
    bench = Bench(gate_set, tmp_path)
    judge = getattr(bench, gate.lower())
    clean, planted = CASES[gate]
    verdict = judge(clean(bench))
    assert verdict.status is GateStatus.PASS, verdict.reason
    verdict = judge(planted(bench))
    assert verdict.status is GateStatus.FAIL
    assert verdict.reason
