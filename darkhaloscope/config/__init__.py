"""An experiment: one YAML file, typed, frozen, hashed.

``sections`` says what an experiment is, ``loading`` reads one.
"""

from darkhaloscope.config.loading import load_experiment, load_experiments
from darkhaloscope.config.sections import (
    DATASET_SECTIONS,
    Controls,
    Evaluation,
    Experiment,
    Gates,
    Hosts,
    Lens,
    Model,
    Noise,
    Preprocess,
    Rendering,
    Sources,
    Split,
    Storage,
    Survey,
    ThresholdOverride,
    Training,
    Waiver,
)
from darkhaloscope.config.targeting import SnrTargeting

__all__ = [
    "DATASET_SECTIONS",
    "Controls",
    "Evaluation",
    "Experiment",
    "Gates",
    "Hosts",
    "Lens",
    "Model",
    "Noise",
    "Preprocess",
    "Rendering",
    "SnrTargeting",
    "Sources",
    "Split",
    "Storage",
    "Survey",
    "ThresholdOverride",
    "Training",
    "Waiver",
    "load_experiment",
    "load_experiments",
]
