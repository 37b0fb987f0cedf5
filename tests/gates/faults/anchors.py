"""Faults of real objects and of the grade on them: wrong places, wrong kinds, claims beyond the sample."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anchor_world as world
import gate_world
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sky_tree
import tiny_model
from gate_world import GateWorld
from gates.faults import Fault

from darkhaloscope import tabular
from darkhaloscope.config import Experiment
from darkhaloscope.evaluation.anchor_evaluation import evaluate_anchors
from darkhaloscope.evaluation.anchor_stamps import tier_of
from darkhaloscope.evaluation.visibility import arc_visibility
from darkhaloscope.gates.anchors.pointing import run_anchor_gates
from darkhaloscope.gates.anchors.runs import Grade
from darkhaloscope.gates.result import GateReport
from darkhaloscope.gates.run import run_evaluation_gates
from darkhaloscope.schema import ANCHOR_STAMPS, BANDS
from darkhaloscope.stamps.shards import ShardSet
from darkhaloscope.statistics.rates import Rate
from darkhaloscope.training.predict import load_model

HASH = "planted"
LENSES, LOOKALIKES = 40, 40


@dataclass(frozen=True)
class AnchorsCase:
    """Stamps of real objects, cut from a small survey tree.

    Parameters
    ----------
    root : Path
        The tree.
    rows : tuple of dict
        The catalogue the stamps were cut by.
    stamps : pyarrow.Table
        ANCHOR_STAMPS.
    """

    root: Path
    rows: tuple[dict[str, Any], ...]
    stamps: pa.Table

    def judge(self, folder: Path) -> GateReport:
        """Run every gate of the anchor stamps."""
        return run_anchor_gates(self.stamps, artefact_hash=HASH, release=world.RELEASE, figures_dir=folder)

    def of(self, rows: list[dict[str, Any]]) -> AnchorsCase:
        """Return the case whose catalogue has these rows, cut again."""
        return replace(self, rows=tuple(rows), stamps=world.stamps(self.root, rows, self.root.parent))

    def with_columns(self, **columns: Callable[[Any], Any]) -> AnchorsCase:
        """Return the case with columns of every scored lens changed."""
        lenses = pc.and_(pc.equal(self.stamps["status"], "ok"), pc.equal(self.stamps["kind"], "lens"))
        chosen = lenses.to_pylist()
        data = {name: self.stamps[name].combine_chunks() for name in self.stamps.column_names}
        for name, change in columns.items():
            values = self.stamps[name].to_pylist()
            values = [change(v) if take else v for v, take in zip(values, chosen, strict=True)]
            data[name] = pa.array(values, self.stamps.schema.field(name).type)
        return replace(self, stamps=pa.table(list(data.values()), schema=self.stamps.schema))

    def with_pixels(self, name: str, change: Callable[[Any], None]) -> AnchorsCase:
        """Return the scored stamps with one plane changed."""
        ok = self.stamps.filter(pc.equal(self.stamps["status"], "ok"))
        planes = tabular.pixels(ok, name).copy()
        change(planes)
        data = {column: ok[column].combine_chunks() for column in ok.column_names}
        return replace(self, stamps=ANCHOR_STAMPS.table({**data, name: planes}, world.SIZE_PX))


@dataclass(frozen=True)
class GradeCase:
    """A grade on real objects that are like the injections, by an untrained model.

    Parameters
    ----------
    grade : Grade
        What the gates are asked of.
    """

    grade: Grade

    def judge(self, folder: Path) -> GateReport:
        """Run every gate of the grade."""
        return run_evaluation_gates(
            self._sharing(replace(self.grade, folder=folder), "training", "real"), artefact_hash=HASH
        )

    def of(self, change: Callable[[dict[str, Any]], None]) -> GradeCase:
        """Return the case whose record was changed."""
        record = copy.deepcopy(self.grade.record)
        change(record)
        return GradeCase(self._sharing(replace(self.grade, record=record), "training", "real"))

    def with_lenses(self, change: Callable[[Any, Any], tuple[Any, Any]]) -> GradeCase:
        """Return the case whose lenses have other images and inverse variances."""
        table = self.grade.anchor_stamps
        planes = {name: tabular.pixels(table, name).copy() for name in ("image", "invvar")}
        lens = np.array(table["kind"].to_pylist()) == "lens"
        planes["image"][lens], planes["invvar"][lens] = change(planes["image"][lens], planes["invvar"][lens])
        data = {name: table[name].combine_chunks() for name in table.column_names}
        stamps = ANCHOR_STAMPS.table({**data, **planes}, gate_world.SIZE_PX)
        return GradeCase(self._sharing(replace(self.grade, anchor_stamps=stamps), "training"))

    def _sharing(self, grade: Grade, *measures: str) -> Grade:
        """Hand over what is measured slowly and is the same in both."""
        grade.__dict__.update({name: getattr(self.grade, name) for name in measures})
        return grade


def sound_anchors(folder: Path) -> AnchorsCase:
    """Return two lenses and a ring on galaxies of the tree, and a row that points at nothing."""
    root = sky_tree.write_tree(folder / "sky", sky_tree.pair())
    rows = [world.at(world.galaxy(brick, 1), 0.3) for brick in (0, 1)]
    rows.append(world.at(world.galaxy(0, 0), type="ring", ref=world.RINGS))
    rows.append(world.at(world.galaxy(0, 2), 30.0))
    return AnchorsCase(root, (), pa.table({})).of(rows)


def sound_grade(good: GateWorld, folder: Path) -> GradeCase:
    """Return a grade whose real lenses are validation positives, and whose look-alikes are bare hosts."""
    shards, model = (
        ShardSet(good.world.paths("shards")),
        load_model(tiny_model.write_checkpoint(folder / "c.pt")),
    )
    chosen: Experiment = good.world.experiment
    stamps = _as_anchors(shards)
    record = evaluate_anchors(folder / "c.pt", shards, stamps, experiment=chosen, profile=gate_world.PROFILE)
    return GradeCase(Grade(record, model, shards, stamps, chosen, gate_world.PROFILE, folder))


def _as_anchors(shards: ShardSet) -> pa.Table:
    """Return positives and bare hosts of the validation split as stamps of real objects."""
    table = pa.concat_tables(
        [
            shards.sample(LENSES, seed=5, split="val", kinds=["positive"]),
            shards.sample(LOOKALIKES, seed=5, split="val", kinds=["unpaired"]),
        ]
    ).combine_chunks()
    n = table.num_rows
    lens = np.array(table["control_kind"].to_pylist()) == "positive"
    image, invvar = tabular.pixels(table, "image"), tabular.pixels(table, "invvar")
    columns = {c.name: table[c.name] for c in ANCHOR_STAMPS if c.name in table.column_names}
    snr = [_arc_snr(table, image, invvar, row) if lens[row] else None for row in range(n)]
    names = [f"real{row}" for row in range(n)]
    looks = ("ring", "spiral")
    columns |= {
        "anchor_id": names,
        "name": names,
        "kind": np.where(lens, "lens", "lookalike").tolist(),
        "object_class": ["galaxy lens" if lens[row] else looks[row % 2] for row in range(n)],
        "discovery": ["imaging"] * n,
        "separation_arcsec": np.full(n, 0.1),
        "tier": [
            tier_of("lens" if lens[row] else "lookalike", "grade", "imaging", snr[row]) for row in range(n)
        ],
        "arc_snr_r": pa.array(snr, pa.float64()),
        "status": ["ok"] * n,
        "image": image,
        "invvar": invvar,
        "maskbits": tabular.pixels(table, "maskbits"),
    }
    return ANCHOR_STAMPS.table(columns, image.shape[-1])


def _arc_snr(table: pa.Table, image: Any, invvar: Any, row: int) -> float | None:
    band = BANDS.index("r")
    arc = arc_visibility(
        image[row][band],
        invvar[row][band],
        x_offset_px=table["x_offset_px"][row].as_py(),
        y_offset_px=table["y_offset_px"][row].as_py(),
        psf_fwhm_arcsec=table["psf_fwhm_r_arcsec"][row].as_py(),
        pixel_scale_arcsec=world.RELEASE.pixel_scale_arcsec,
    )
    return None if arc is None else arc.snr


def _far_off(case: AnchorsCase) -> AnchorsCase:
    """Coordinates invented below the minute: every position 200 arcsec from its galaxy."""
    return case.of([{**row, "dec": row["dec"] + 200.0 / 3600.0} for row in case.rows])


def _far_off_but_scored(case: AnchorsCase) -> AnchorsCase:
    """The same from a builder that cuts whatever lies there and calls it ok."""

    def sky(image: Any) -> None:
        rng = np.random.Generator(np.random.Philox(key=5))
        image[...] = rng.normal(0.0, 0.003, image.shape)

    blank = case.with_pixels("image", sky)
    return blank.with_columns(separation_arcsec=lambda _: 200.0, host_id=lambda name: name)


def _quasar_list(case: AnchorsCase) -> AnchorsCase:
    """Every row of a catalogue of lensed quasars: none is an anchor."""
    return case.of([{**row, "ref": world.QUASARS, "type": "quasar"} for row in case.rows])


def _unobserved(invvar: Any) -> None:
    invvar[:, BANDS.index("z"), 30:34, 30:34] = 0.0


def _brighter(image: Any, invvar: Any) -> tuple[Any, Any]:
    return image * np.float32(40.0), invvar / np.float32(1600.0)


def _bands_reversed(image: Any, invvar: Any) -> tuple[Any, Any]:
    return image[:, ::-1], invvar[:, ::-1]


def _claim_1e4(record: dict[str, Any]) -> None:
    record["threshold"] |= {
        "target_fpr": 1e-4,
        "achieved": Rate.exact(0, 300).to_dict(),
        "certifiable": True,
        "statement": "FPR 0.0001 on 300 test controls",
    }


def _pooled(record: dict[str, Any]) -> None:
    lenses = [item for item in record["objects"] if item["kind"] == "lens"]
    found = sum(item["above"] for item in lenses)
    record["recall"] = {"all": Rate.exact(found, len(lenses)).to_dict()}


def _promoted(record: dict[str, Any]) -> None:
    """A spectroscopic survey's lens, called Tier A because a catalogue grades it confident."""
    lens = next(item for item in record["objects"] if item["tier"] == "A")
    lens["discovery"] = "spectroscopic"


def _bare_percentage(record: dict[str, Any]) -> None:
    record["recall"]["A"] = {"value": 0.044, "k": 3}
    record["headline"] = {"recall": 0.893}


def _normal_interval(record: dict[str, Any]) -> None:
    """3 of 68 with the normal approximation, which reaches below zero."""
    rate = record["contamination_all"]
    rate["lower"], rate["upper"] = rate["value"] - 0.02, rate["value"] + 0.02


def _counted_twice(record: dict[str, Any]) -> None:
    """One object under two names of one list, both in the recall."""
    twice = next(item for item in record["objects"] if item["tier"] == "A")
    record["objects"].append(dict(twice))
    called = [item["above"] for item in record["objects"] if item["tier"] == "A"]
    record["recall"]["A"] = Rate.exact(sum(called), len(called)).to_dict()


def _rings(record: dict[str, Any]) -> None:
    n = record["contamination"]["ring"]["n"]
    record["contamination"]["ring"] |= Rate.exact(n, n).to_dict()


def _stamps(name: str, says: str, plant: Callable[[Any], Any], *lessons: str) -> Fault:
    return Fault(name, "anchor_stamps", ("A1",), says, plant, lessons)


def _grade(name: str, gate: str, says: str, plant: Callable[[Any], Any], *lessons: str) -> Fault:
    return Fault(name, "anchor_evaluation", (gate,), says, plant, lessons)


FAULTS: tuple[Fault, ...] = (
    _stamps("anchors_200_arcsec_off", "no object can be scored; .*no_source", _far_off, "L01", "L03"),
    _stamps(
        "anchors_200_arcsec_off_and_scored", "are not pointed: .*aperture flux", _far_off_but_scored, "L01"
    ),
    _stamps("anchors_from_a_quasar_list", "no object can be scored", _quasar_list, "L05"),
    _stamps(
        "quasars_called_anchors",
        "is a quasar",
        lambda case: case.with_columns(object_class=lambda _: "quasar"),
        "L05",
    ),
    _stamps(
        "cluster_catalogue",
        "is a cluster",
        lambda case: case.with_columns(object_class=lambda _: "cluster"),
        "L09",
    ),
    _stamps(
        "anchors_of_another_release",
        "not of dr10-south",
        lambda case: case.with_columns(host_id=lambda name: "9011" + name[name.index("-") :]),
        "L06",
    ),
    _stamps(
        "anchors_on_another_cameras_sky",
        "outside dr10-south",
        lambda case: case.with_columns(ra=lambda _: 150.0, dec=lambda _: 40.0),
        "L06",
        "L07",
    ),
    _stamps(
        "anchors_without_inverse_variance", "zero_invvar_z", lambda c: c.with_pixels("invvar", _unobserved)
    ),
    _grade(
        "anchors_of_another_regime",
        "A2",
        "of Tier A outside the range of training .*flux in r",
        lambda case: case.with_lenses(_brighter),
        "L12",
    ),
    _grade(
        "bands_reversed_in_real_stamps",
        "A3",
        "a linear probe tells .* with AUC (0.9|1.0)",
        lambda case: case.with_lenses(_bands_reversed),
    ),
    _grade(
        "claim_of_1e-4_on_300_negatives",
        "A4",
        "FPR 0.0001 is not certifiable at N = 300 .30000 independent",
        lambda case: case.of(_claim_1e4),
        "L19",
    ),
    _grade("pooled_tiers", "A4", "recall of 'all' pools tiers", lambda case: case.of(_pooled), "L12"),
    _grade(
        "spectroscopic_lens_in_tier_a",
        "A4",
        r"\(spectroscopic\) is in tier A, not B",
        lambda case: case.of(_promoted),
        "L10",
    ),
    _grade(
        "bare_percentage",
        "A4",
        "recall.A lacks n, lower, upper; headline.recall = 0.893 has no counts",
        lambda case: case.of(_bare_percentage),
        "L19",
    ),
    _grade(
        "interval_that_is_not_exact",
        "A4",
        "contamination_all .* exact is",
        lambda case: case.of(_normal_interval),
        "L19",
    ),
    _grade("object_counted_twice", "A4", "counts 2 times", lambda case: case.of(_counted_twice), "L08"),
    _grade("rings_called_lenses", "A5", "ring called a lens in 1 ", lambda case: case.of(_rings), "L04"),
)
