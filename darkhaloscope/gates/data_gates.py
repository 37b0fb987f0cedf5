"""The gates of the training shards: what each reads, which figure it draws, and what they share.

Each part of the data is read when a gate first asks for it, and once. In what
order gates run and what becomes of their verdicts is the business of ``run``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darkhaloscope.config import Experiment
from darkhaloscope.errors import DataError, describe
from darkhaloscope.gates import arc_colours, figures, leakage, physics, quality, shortcut, snr_mix, storage
from darkhaloscope.gates.features import Features, Sample, measure_sample, sample_columns
from darkhaloscope.gates.hosts import HostSums, measure_hosts
from darkhaloscope.gates.judging import Measured
from darkhaloscope.gates.population import POSITIVE, SPLITS, Population, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.profiles import Profile
from darkhaloscope.sources.library import open_sources
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.survey.tiles import SplitMap, cell_ids
from darkhaloscope.tabular import read_table

_POPULATION = ("control_kind", "split", "host_id")


@dataclass
class DataGates:
    """The gates of the shards and what they share, each part read when first asked for."""

    shards: ShardSet
    experiment: Experiment
    profile: Profile
    bricks: pa.Table
    splits: SplitMap
    manifest_paths: Sequence[str | Path]
    stamp_paths: Sequence[str | Path]
    hosts_paths: Sequence[str | Path]
    bank_path: str | Path
    folder: Path

    @cached_property
    def limits(self) -> Thresholds:
        """Limits of the experiment, overrides applied."""
        return Thresholds.of(self.experiment.gates)

    @cached_property
    def population(self) -> Population:
        """Class, split and galaxy of every row."""
        return Population.read(self.shards)

    @cached_property
    def sample(self) -> Sample:
        """Pixel statistics of the fixed sample."""
        if not self.population.present([POSITIVE]):
            raise DataError(describe("No positives to judge", expected="both classes", got="controls only"))
        return measure_sample(
            self.shards,
            hosts_per_class=self.profile.gate_hosts_per_class,
            spec=PreprocessSpec.from_config(self.experiment.preprocess, crop_px=self.profile.stamp_px),
            seed=self.experiment.seed,
            probe_min_snr=self.limits.value("S6", "min_snr_footprint"),
        )

    @cached_property
    def hosts(self) -> HostSums:
        """Light of the sample's hosts before injection."""
        return measure_hosts(
            self.hosts_paths,
            self.sample.table["host_id"].to_pylist(),
            experiment=self.experiment,
            size_px=self.profile.stamp_px,
        )

    @property
    def views(self) -> dict[str, Features]:
        """What is judged: the stamps as they are, and as the model sees them."""
        return {"raw": self.sample.raw, "model": self.sample.model}

    def conditions(self) -> list[Verdict]:
        """Q1: conditions compared between the classes."""
        measured = quality.measure_conditions(
            self.shards, self.population, sample_columns(self.sample), self.sample.population
        )
        limit = self.limits.value("Q1", "max_abs_d")
        name = figures.draw_effects(
            self.folder / "Q1.png", figures.condition_effects(measured), limit, "conditions"
        )
        return [replace(quality.judge_conditions(measured, self.limits), figure=name)]

    def bands(self) -> list[Verdict]:
        """Q2: band sets."""
        measured = quality.measure_bands(self.shards, self.population, self.sample.empty_planes)
        return [quality.judge_bands(measured, self.limits)]

    def finite(self) -> list[Verdict]:
        """Q3: NaN and infinite pixels."""
        measured = quality.measure_finite(self.shards, self.population, self.sample.not_finite)
        return [quality.judge_finite(measured, self.limits)]

    def losses(self) -> list[Verdict]:
        """Q4: tasks without a stamp."""
        measured = quality.measure_losses(self.manifest_paths, self.stamp_paths)
        return [quality.judge_losses(measured, self.limits)]

    def classes(self) -> list[Verdict]:
        """Q5: class shares."""
        measured = quality.measure_classes(
            self.population, self.experiment.controls, self.experiment.split.fractions
        )
        name = figures.draw_classes(self.folder / "Q5.png", measured)
        return [replace(quality.judge_classes(measured, self.limits), figure=name)]

    def snr_mix(self) -> list[Verdict]:
        """Q7: achieved S/N against the declared target."""
        measured = snr_mix.measure_snr_mix(
            self.shards, self.population, self.experiment.snr_targeting, seed=self.experiment.seed
        )
        name = figures.draw_snr_mix(self.folder / "Q7.png", measured)
        return [replace(snr_mix.judge_snr_mix(measured, self.limits), figure=name)]

    def storage(self) -> list[Verdict]:
        """Q8: stored pixels against the archive."""
        measured = storage.measure_storage(
            self.shards,
            self.population,
            self.stamp_paths,
            self.experiment.storage,
            hosts_per_class=self.profile.gate_hosts_per_class,
            seed=self.experiment.seed,
            limits=self.limits,
        )
        return [storage.judge_storage(measured, self.limits)]

    def sky(self) -> list[Verdict]:
        """L1: cells and guard band."""
        table = self.shards.metadata(["ra", "dec"])
        ra, dec = floats(table["ra"]), floats(table["dec"])
        measured = leakage.measure_sky(
            self.shards, self.population, self.experiment.split, self.splits.of(ra, dec)
        )
        name = figures.draw_sky(self.folder / "L1.png", ra, dec, self.population.split)
        return [replace(leakage.judge_sky(measured, self.limits), figure=name)]

    def galaxies(self) -> list[Verdict]:
        """L2: hosts in two splits."""
        measured = leakage.measure_shared_hosts(self.shards, self.population)
        return [leakage.judge_hosts(measured, self.limits)]

    def sources(self) -> list[Verdict]:
        """L3: sources in two splits."""
        return [leakage.judge_sources(leakage.measure_sources(self.shards, self.population), self.limits)]

    def proportions(self) -> list[Verdict]:
        """L4: shares of galaxies and area."""
        usable = self.bricks.filter(pc.equal(self.bricks["status"], "ok"))
        cell = cell_ids(floats(usable["ra"]), floats(usable["dec"]), self.splits.nside)
        measured = leakage.measure_proportions(
            cell=cell,
            split=np.array([self.splits.cells.get(int(c), "none") for c in cell]),
            galaxies=floats(usable["n_galaxies"]),
            area_deg2=floats(usable["area_deg2"]),
            fractions=self.experiment.split.fractions,
            available=_hosts_per_split(Population.of(read_table(self.manifest_paths, _POPULATION))),
            kept=_hosts_per_split(self.population),
        )
        return [leakage.judge_proportions(measured, self.limits)]

    def flux(self) -> list[Verdict]:
        """P1: added flux against the oracle, in stamps as they were made."""
        sample = self.sample
        if self.experiment.storage.form == "quantised":
            sums = storage.archived_sums(self.stamp_paths, sample.table["task_id"])
            sample = replace(sample, total_nmgy=sums)
        with open_sources(self.experiment.sources.kind, self.bank_path) as library:
            measured = physics.measure_flux(
                sample,
                self.hosts,
                library,
                experiment=self.experiment,
                size_px=self.profile.stamp_px,
                oracle_rows=self.profile.oracle_rows,
                limits=self.limits,
            )
        name = figures.draw_flux(
            self.folder / "P1.png", measured, self.limits.value("P1", "max_median_error")
        )
        return [replace(physics.judge_flux(measured, self.limits), figure=name)]

    def arc_colours(self) -> list[Verdict]:
        """P3: colours of the arcs."""
        measured = arc_colours.measure_arc_colours(
            self.sample,
            self.hosts,
            experiment=self.experiment,
            limits=self.limits,
        )
        name = figures.draw_arc_colours(self.folder / "P3.png", measured)
        return [replace(arc_colours.judge_arc_colours(measured, self.limits), figure=name)]

    def normalisation(self) -> list[Verdict]:
        """S1: normalisation statistics."""
        measured = shortcut.measure_normalisation(self.sample)
        limit = self.limits.value("S1", "max_abs_d_matched_light")
        name = figures.draw_effects(self.folder / "S1.png", measured["effects"], limit, "normalisation")
        return [replace(shortcut.judge_normalisation(measured, self.limits), view="model", figure=name)]

    def aperture_light(self) -> list[Verdict]:
        """S2: aperture light."""
        return self._probed(
            "S2", "aperture light", shortcut.measure_aperture_light, shortcut.judge_aperture_light
        )

    def core(self) -> list[Verdict]:
        """S2p: statistics of the core."""
        return self._probed("S2p", "core statistics", shortcut.measure_core, shortcut.judge_core)

    def brightness(self) -> list[Verdict]:
        """S3: brightness of the cores."""
        measured = {
            view: shortcut.measure_brightness(self.sample, seen, self.hosts)
            for view, seen in self.views.items()
        }
        low, high = (self.limits.value("S3", f"{side}_ratio_matched_light") for side in ("min", "max"))
        name = figures.draw_brightness(self.folder / "S3.png", measured, low, high)
        return self._in_views(measured, shortcut.judge_brightness, name)

    def signal(self) -> list[Verdict]:
        """S6: what a convolutional probe still sees."""
        measured = shortcut.measure_signal(
            self.sample,
            epochs=self.profile.gate_probe_epochs,
            seed=self.experiment.seed,
            n_boot=self.profile.bootstrap,
            limits=self.limits,
        )
        name = figures.draw_signal(self.folder / "S6.png", measured)
        return [replace(shortcut.judge_signal(measured, self.limits), view="model", figure=name)]

    def _probed(
        self,
        gate: str,
        title: str,
        measure: Callable[..., Measured],
        judge: Callable[[Measured, Thresholds], Verdict],
    ) -> list[Verdict]:
        measured = {
            view: measure(self.sample, seen, seed=self.experiment.seed, n_boot=self.profile.bootstrap)
            for view, seen in self.views.items()
        }
        return self._in_views(measured, judge, figures.draw_roc(self.folder / f"{gate}.png", measured, title))

    def _in_views(
        self, measured: Mapping[str, Measured], judge: Callable[[Measured, Thresholds], Verdict], figure: str
    ) -> list[Verdict]:
        """Judge each view; the raw one informs, the model one blocks."""
        return [
            replace(judge(values, self.limits), view=view, blocking=view == "model", figure=figure)
            for view, values in measured.items()
        ]


def _hosts_per_split(population: Population) -> dict[str, int]:
    return {split: population.galaxies(population.where(split=split)) for split in SPLITS}
