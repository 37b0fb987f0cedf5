"""An experiment: one YAML file, typed, frozen, hashed.

``sections``, ``populations``, ``targeting`` and ``training`` say what may be chosen, ``experiment`` puts them
together, ``loading`` reads one.
"""

from darkhaloscope.config.experiment import DATASET_SECTIONS, Experiment
from darkhaloscope.config.loading import load_experiment, load_experiments
from darkhaloscope.config.populations import Cosmology, Deflectors
from darkhaloscope.config.sections import (
    Controls,
    Evaluation,
    Gates,
    Hosts,
    Lens,
    Noise,
    Rendering,
    Sources,
    Split,
    Storage,
    Survey,
    ThresholdOverride,
    Waiver,
)
from darkhaloscope.config.targeting import SnrTargeting
from darkhaloscope.config.training import Augmentation, Model, Preprocess, Training

__all__ = [
    "DATASET_SECTIONS",
    "Augmentation",
    "Controls",
    "Cosmology",
    "Deflectors",
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
