"""The quality gates: what each reads, and which figure it draws."""

from __future__ import annotations

from dataclasses import replace

from darkhaloscope.gates import figures
from darkhaloscope.gates.context import Ask, DataSet
from darkhaloscope.gates.features import sample_columns
from darkhaloscope.gates.inputs import MissingInputError
from darkhaloscope.gates.quality import completeness, conditions, losses, multiplicity, snr_mix, storage
from darkhaloscope.gates.quality import figures as drawings
from darkhaloscope.gates.result import Verdict


def ask_conditions(data: DataSet) -> list[Verdict]:
    """Q1: conditions compared between the classes."""
    sample = data.sample
    absent: dict[str, str] = {}
    try:
        sampled = sample_columns(sample)
    except MissingInputError as error:
        sampled, absent = {}, {"invvar": str(error)}
    measured = conditions.measure_conditions(data.columns, sampled, sample.population)
    measured["absent"] |= absent
    name = drawings.draw_conditions(data.folder / "Q1.png", measured, data.limits)
    return [replace(conditions.judge_conditions(measured, data.limits), figure=name)]


def ask_bands(data: DataSet) -> list[Verdict]:
    """Q2: band sets."""
    measured = completeness.measure_bands(data.columns, data.sample.empty_planes)
    return [completeness.judge_bands(measured, data.limits)]


def ask_finite(data: DataSet) -> list[Verdict]:
    """Q3: NaN and infinite pixels."""
    not_finite = data.sample.not_finite
    places = getattr(data.shards, "not_finite", ())
    measured = completeness.measure_finite(data.columns, not_finite, places)
    return [completeness.judge_finite(measured, data.limits)]


def ask_losses(data: DataSet) -> list[Verdict]:
    """Q4: tasks without a stamp."""
    measured = losses.measure_losses(*data.task_files)
    return [losses.judge_losses(measured, data.limits)]


def ask_classes(data: DataSet) -> list[Verdict]:
    """Q5: class shares."""
    measured = completeness.measure_classes(
        data.columns, data.experiment.controls, data.experiment.split.fractions
    )
    name = figures.draw_classes(data.folder / "Q5.png", measured)
    return [replace(completeness.judge_classes(measured, data.limits), figure=name)]


def ask_multiplicity(data: DataSet) -> list[Verdict]:
    """Q6: rows per galaxy and repeated tasks."""
    measured = multiplicity.measure_multiplicity(data.columns, data.shards, data.limits)
    name = drawings.draw_multiplicity(data.folder / "Q6.png", measured, data.limits)
    return [replace(multiplicity.judge_multiplicity(measured, data.limits), figure=name)]


def ask_snr_mix(data: DataSet) -> list[Verdict]:
    """Q7: achieved S/N against the declared target."""
    measured = snr_mix.measure_snr_mix(data.columns, data.experiment.snr_targeting, seed=data.experiment.seed)
    name = figures.draw_snr_mix(data.folder / "Q7.png", measured)
    return [replace(snr_mix.judge_snr_mix(measured, data.limits), figure=name)]


def ask_storage(data: DataSet) -> list[Verdict]:
    """Q8: stored pixels against the archive."""
    measured = storage.measure_storage(
        data.shards,
        data.population,
        data.stamp_paths,
        data.experiment.storage,
        hosts_per_class=data.profile.gate_hosts_per_class,
        seed=data.experiment.seed,
        limits=data.limits,
    )
    return [storage.judge_storage(measured, data.limits)]


GATES: dict[str, Ask] = {
    "Q1": ask_conditions,
    "Q2": ask_bands,
    "Q3": ask_finite,
    "Q4": ask_losses,
    "Q5": ask_classes,
    "Q6": ask_multiplicity,
    "Q7": ask_snr_mix,
    "Q8": ask_storage,
}
"""The gates of this family, in the order they run."""
