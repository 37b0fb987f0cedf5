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
        GateSpec("Q7", "S/N mix", "Is the mix of signal-to-noise the declared one?", SHARDS),
        GateSpec("Q8", "Faithful storage", "Do quantised stamps say what the archive says?", SHARDS),
        GateSpec("L1", "Sky-disjoint splits", "Do splits share sky or touch across the guard band?", SHARDS),
        GateSpec("L2", "Host-disjoint splits", "Is a host galaxy in two splits?", SHARDS),
        GateSpec("L3", "Source-disjoint splits", "Is a source galaxy in two splits?", SHARDS),
        GateSpec("L4", "Promised proportions", "Have the splits the promised share of the sky?", SHARDS),
        GateSpec("P1", "Right flux", "Is the added flux what an independent renderer adds?", SHARDS),
        GateSpec("P3", "Arc colours", "Have arcs colours like galaxies, and those recorded?", SHARDS),
        GateSpec("P4", "Galaxies, not noise", "Is the source bank galaxies, not noise?", COSMOS_BANK),
        GateSpec("S1", "Normalisation statistics", "Do median, MAD or clipping tell the class?", SHARDS),
        GateSpec("S2", "Aperture light", "Is aperture light enough to tell the class?", SHARDS),
        GateSpec("S2p", "Core statistics", "Are statistics of the core enough to tell the class?", SHARDS),
        GateSpec("S3", "Core brightness", "Are the cores of both classes equally bright?", SHARDS),
        GateSpec("S6", "Signal still there", "Does the model still see what tells an arc apart?", SHARDS),
        GateSpec("B1", "Null injection", "Does an injection of nothing score like a control?", CHECKPOINT),
        GateSpec("B2", "Arc removed", "Does the score fall when the arc is taken away?", CHECKPOINT),
        GateSpec("A1", "Pointing", "Does every real object point at its own survey galaxy?", ANCHOR_STAMPS),
    )
}

DATA_GATES = tuple(spec.gate for spec in GATES.values() if spec.artefact == SHARDS)
"""Gates of the training shards, in the order they run."""

MODEL_GATES = tuple(spec.gate for spec in GATES.values() if spec.artefact == CHECKPOINT)
"""Gates of a checkpoint, in the order they run."""

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
