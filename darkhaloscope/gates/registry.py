"""The gates by id: the question each asks and the artefact it asks it of.

Titles and questions shown on dashboards and in reports come from here; how a
gate measures and what it tolerates does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from darkhaloscope.errors import ConfigError, describe

SHARDS = "training_shards"
CHECKPOINT = "checkpoint"
ANCHOR_STAMPS = "anchor_stamps"
ANCHOR_EVALUATION = "anchor_evaluation"
COSMOS_BANK = "cosmos_bank"


@dataclass(frozen=True)
class GateSpec:
    """One gate.

    Parameters
    ----------
    gate : str
        Id; its letter is the family.
    title : str
        Short name.
    question : str
        What it asks.
    artefact : str
        What it asks it of.
    """

    gate: str
    title: str
    question: str
    artefact: str

    @property
    def family(self) -> str:
        """Name of the family."""
        return FAMILIES[self.gate[0]]


FAMILIES = {
    "Q": "quality",
    "L": "leakage",
    "P": "physics",
    "S": "shortcut",
    "B": "behaviour",
    "A": "anchors",
}

GATES: dict[str, GateSpec] = {
    spec.gate: spec
    for spec in (
        GateSpec("Q1", "Matched conditions", "Are the classes matched in data quality?", SHARDS),
        GateSpec("Q2", "Complete bands", "Has every stamp the same bands?", SHARDS),
        GateSpec("Q3", "Finite pixels", "Is every pixel of an ok row finite?", SHARDS),
        GateSpec("Q4", "Even losses", "Was anything lost, and evenly between the classes?", SHARDS),
        GateSpec("Q5", "Both classes", "Are both classes in every split, in the promised share?", SHARDS),
        GateSpec("Q6", "Counted once", "Is a galaxy, or a task, counted many times?", SHARDS),
        GateSpec("Q7", "S/N mix", "Is the mix of signal-to-noise the declared one?", SHARDS),
        GateSpec("Q8", "Faithful storage", "Do quantised stamps say what the archive says?", SHARDS),
        GateSpec("L1", "Sky-disjoint splits", "Do splits share sky or touch across the guard band?", SHARDS),
        GateSpec("L2", "Host-disjoint splits", "Is a host galaxy in two splits?", SHARDS),
        GateSpec("L3", "Source-disjoint splits", "Is a source galaxy in two splits?", SHARDS),
        GateSpec("L4", "Promised proportions", "Have the splits the promised share of the sky?", SHARDS),
        GateSpec("L5", "Silent metadata", "Do conditions, or how they are written, tell the class?", SHARDS),
        GateSpec("L6", "Known objects left out", "Are known lenses or anchors among the rows?", SHARDS),
        GateSpec("P1", "Right flux", "Is the added flux what an independent renderer adds?", SHARDS),
        GateSpec("P2", "Arcs in place", "Is the arc where the lens puts it, as sharp as the seeing?", SHARDS),
        GateSpec("P3", "Arc colours", "Have arcs colours like galaxies, and those recorded?", SHARDS),
        GateSpec("P4", "Galaxies, not noise", "Is the source bank galaxies, not noise?", COSMOS_BANK),
        GateSpec("P5", "Honest S/N", "Does a recorded signal-to-noise mean what it says?", SHARDS),
        GateSpec("P6", "Applied parameters", "Were the recorded parameters applied?", SHARDS),
        GateSpec("P7", "Clean path", "Does the path of injection itself leave a mark?", SHARDS),
        GateSpec("P8", "Same noise", "Is the noise the same in both classes?", SHARDS),
        GateSpec("S1", "Normalisation statistics", "Do median, MAD or clipping tell the class?", SHARDS),
        GateSpec("S2", "Aperture light", "Is aperture light enough to tell the class?", SHARDS),
        GateSpec("S2p", "Core statistics", "Are statistics of the core enough to tell the class?", SHARDS),
        GateSpec("S3", "Core brightness", "Are the cores of both classes equally bright?", SHARDS),
        GateSpec("S4", "Colour", "Is colour enough to tell the class?", SHARDS),
        GateSpec("S5", "Radial profile", "Is the radial profile enough to tell the class?", SHARDS),
        GateSpec("S6", "Signal still there", "Does the model still see what tells an arc apart?", SHARDS),
        GateSpec("B1", "Null injection", "Does an injection of nothing score like a control?", CHECKPOINT),
        GateSpec("B2", "Arc removed", "Does the score fall when the arc is taken away?", CHECKPOINT),
        GateSpec("B3", "Centre levelled", "Is the score carried by the centre inside the arc?", CHECKPOINT),
        GateSpec("B4", "Rings", "Does a ring or light without an arc's shape fool it?", CHECKPOINT),
        GateSpec("B5", "Photometric calm", "Is it calm under changes a lens does not notice?", CHECKPOINT),
        GateSpec("B6", "Units of noise", "Would units of the noise change the verdict?", CHECKPOINT),
        GateSpec("B7", "Split gap", "Is a gap between the splits difficulty or leakage?", CHECKPOINT),
        GateSpec("B8", "Grows with the arc", "Does the score grow with the signal?", CHECKPOINT),
        GateSpec("B9", "Calibration", "Is a score a probability at the prior of training?", CHECKPOINT),
        GateSpec("B10", "Unlensed light", "Does it fire on light that is not lensed?", CHECKPOINT),
        GateSpec("A1", "Pointing", "Does every real object point at its own survey galaxy?", ANCHOR_STAMPS),
        GateSpec("A2", "Same regime", "Are real lenses like those of training?", ANCHOR_EVALUATION),
        GateSpec("A3", "Real or injected", "Can a linear probe tell injected from real?", ANCHOR_EVALUATION),
        GateSpec("A4", "Honest claims", "Is a claim larger than the sample behind it?", ANCHOR_EVALUATION),
        GateSpec("A5", "Look-alikes", "Are look-alikes called lenses?", ANCHOR_EVALUATION),
    )
}

DATA_GATES = tuple(spec.gate for spec in GATES.values() if spec.artefact == SHARDS)
"""Gates of the training shards, in the order they run."""

MODEL_GATES = tuple(spec.gate for spec in GATES.values() if spec.artefact == CHECKPOINT)
"""Gates of a checkpoint, in the order they run."""

EVALUATION_GATES = tuple(spec.gate for spec in GATES.values() if spec.artefact == ANCHOR_EVALUATION)
"""Gates of the grade on real objects, in the order they run."""

BANK_GATES = tuple(spec.gate for spec in GATES.values() if spec.artefact == COSMOS_BANK)
"""Gates of the source bank."""


def get_gate(gate: str) -> GateSpec:
    """Return a gate by id.

    Raises
    ------
    ConfigError
        If there is none of that id.
    """
    if gate not in GATES:
        raise ConfigError(describe("Unknown gate", expected=f"one of {sorted(GATES)}", got=gate))
    return GATES[gate]
