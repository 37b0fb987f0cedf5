"""The registry of planted faults: what reality did to data, and the gate that must say so.

One module per family of gates lists its faults in ``FAULTS``; ``plants`` holds
the changes themselves, functions of rows. A fault takes a sound case and
returns a broken one; ``test_faults`` runs every gate of the artefact over it and
asserts that the named gates fail, that a reason names the cause, and that no
other gate fails. ``cases`` holds the sound shards and bank; the sound model is
``models.sound_model(good, folder)`` and the sound anchors and their
grade ``anchors.sound_anchors`` and ``anchors.sound_grade``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an artefact that was sound.

    Parameters
    ----------
    name : str
        What is wrong, as a person would say it: ``flux_in_ph_per_s``.
    artefact : str
        Registry name of what is broken: ``training_shards``, ``cosmos_bank``,
        ``checkpoint`` or ``anchor_stamps``.
    gates : tuple of str
        Gates that must fail.
    says : str
        Regular expression that the reason of the first of them must match.
    plant : callable
        Sound case (``cases.ShardsCase``, ``BankCase``, ...) to broken case.
    lessons : tuple of str
        Lessons of the ledger it stands for: ``L21``.
    also : tuple of str
        Other gates this fault honestly trips, because it changes what they ask about.
    """

    name: str
    artefact: str
    gates: tuple[str, ...]
    says: str
    plant: Callable[[Any], Any]
    lessons: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
