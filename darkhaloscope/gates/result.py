"""What a gate says: a verdict, a result bound to one artefact, a report of results.

A result is data. It can be stored, read back, and asked for by the hash of the
artefact it judged; nothing here measures or decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Any, Self

from darkhaloscope.config import Gates
from darkhaloscope.errors import ArtifactError, ConfigError, describe
from darkhaloscope.gates.registry import GATES, get_gate
from darkhaloscope.hashing import code_version, hash_json
from darkhaloscope.statistics import Interval

REPORT_VERSION = 2
"""Raised when the layout of the stored JSON changes; ``report.schema.json`` describes it."""

_JUDGING = ("darkhaloscope.gates", "darkhaloscope.statistics", "darkhaloscope.preprocess")


class GateStatus(StrEnum):
    """The only words a gate may say."""

    PASS = "pass"  # noqa: S105  (a verdict, not a password)
    FAIL = "fail"
    WAIVED = "waived"
    DEFERRED = "deferred"
    NOT_APPLICABLE = "not_applicable"


OPEN = frozenset({GateStatus.PASS, GateStatus.WAIVED, GateStatus.NOT_APPLICABLE})
"""Statuses that let a consumer go on; a deferred gate stays shut."""


@dataclass(frozen=True)
class Verdict:
    """What a judge concludes from a measurement.

    Parameters
    ----------
    status : GateStatus
        Pass, fail, deferred or not applicable; waiving is not a judge's right.
    reason : str
        One sentence: what decided, with the numbers.
    value, lower, upper : float or None
        The deciding measure and its 95 % interval.
    n_effective : int
        Galaxies behind it.
    threshold : float or None
        The limit it was held against.
    threshold_source : str
        Where the limit comes from.
    view : str
        ``raw`` or ``model`` for pixel gates, empty otherwise.
    blocking : bool
        Whether a failure stops consumers; otherwise it informs.
    values : dict
        Every measure, JSON-serialisable.
    figure : str or None
        File name of the figure in the report's directory.
    """

    status: GateStatus
    reason: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    n_effective: int = 0
    threshold: float | None = None
    threshold_source: str = ""
    view: str = ""
    blocking: bool = True
    values: dict[str, Any] = field(default_factory=dict)
    figure: str | None = None

    def measured(self, interval: Interval) -> Self:
        """Return this verdict with an interval as its deciding measure."""
        return replace(
            self, value=interval.value, lower=interval.lower, upper=interval.upper, n_effective=interval.n
        )


@dataclass(frozen=True)
class GateResult:
    """A verdict bound to the artefact it judged.

    Parameters
    ----------
    gate : str
        Gate id.
    title, artefact : str
        From the registry.
    artefact_hash : str
        Content hash of the judged artefact.
    seconds : float
        Wall time of measuring and judging.
    status, value, lower, upper, n_effective, threshold, threshold_source,
    reason, blocking, view, values, figure
        See :class:`Verdict`.
    """

    gate: str
    title: str
    artefact: str
    artefact_hash: str
    status: GateStatus
    value: float | None
    lower: float | None
    upper: float | None
    n_effective: int
    threshold: float | None
    threshold_source: str
    reason: str
    seconds: float
    blocking: bool
    view: str
    values: dict[str, Any]
    figure: str | None

    @classmethod
    def bind(cls, gate: str, verdict: Verdict, *, artefact_hash: str, seconds: float) -> Self:
        """Bind a verdict to an artefact."""
        spec = get_gate(gate)
        return cls(
            gate=gate,
            title=spec.title,
            artefact=spec.artefact,
            artefact_hash=artefact_hash,
            seconds=seconds,
            status=verdict.status,
            value=verdict.value,
            lower=verdict.lower,
            upper=verdict.upper,
            n_effective=verdict.n_effective,
            threshold=verdict.threshold,
            threshold_source=verdict.threshold_source,
            reason=verdict.reason,
            blocking=verdict.blocking,
            view=verdict.view,
            values=verdict.values,
            figure=verdict.figure,
        )

    @property
    def key(self) -> str:
        """Gate id and view, unique within a report: ``S2:model``."""
        return f"{self.gate}:{self.view}" if self.view else self.gate

    @property
    def is_open(self) -> bool:
        """Whether a consumer may go on."""
        return self.status in OPEN or not self.blocking

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return {**asdict(self), "status": self.status.value}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Self:
        """Rebuild a result from :meth:`to_dict`.

        Raises
        ------
        ArtifactError
            If a field is missing or unknown, or the status is none of the five.
        """
        try:
            return cls(**{**raw, "status": GateStatus(raw["status"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                describe("Not a gate result", got=str(error), hint="materialise the gate report again")
            ) from error


@cache
def judging_code() -> str:
    """Return the version of the code that measures and judges."""
    return code_version(*_JUDGING)


@dataclass(frozen=True)
class GateReport:
    """The results of one run of gates over one artefact of one experiment.

    Parameters
    ----------
    experiment : str
        Experiment name.
    config_hash : str
        Hash of the whole experiment configuration.
    artefact : str
        Judged artefact: ``training_shards`` or ``checkpoint``.
    artefact_hash : str
        Its content hash.
    results : tuple of GateResult
        In registry order; one per gate and view.
    code_version : str
        Of the code that measured and judged.
    about : dict
        How the artefact was read where it was found on disk: path, form,
        columns without meaning here, columns and inputs that are absent.
    """

    experiment: str
    config_hash: str
    artefact: str
    artefact_hash: str
    results: tuple[GateResult, ...]
    code_version: str = field(default_factory=judging_code)
    about: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[GateResult]:
        return iter(self.results)

    def of(self, gate: str) -> list[GateResult]:
        """Return the results of one gate, every view."""
        return [result for result in self.results if result.gate == gate]

    def failed(self) -> list[GateResult]:
        """Return the blocking results that keep consumers out, deferred ones included."""
        return [result for result in self.results if not result.is_open]

    def gates(self) -> list[str]:
        """Return the ids of the gates that were run, in order."""
        return list(dict.fromkeys(result.gate for result in self.results))

    def with_waivers(self, gates: Gates, today: date) -> GateReport:
        """Return the report with failures that the experiment waives marked ``waived``.

        An expired waiver changes nothing but the reason. A waiver never touches
        a gate that passed.

        Parameters
        ----------
        gates : config.Gates
            The experiment's waivers.
        today : datetime.date
            Date against which expiry is judged.

        Raises
        ------
        ConfigError
            If a waiver names an unknown gate or its date is not ISO.
        """
        results = self.results
        for waiver in gates.waivers:
            if waiver.gate not in GATES:
                raise ConfigError(
                    describe(
                        "Waiver for an unknown gate",
                        field="gates.waivers.gate",
                        expected=f"one of {sorted(GATES)}",
                        got=waiver.gate,
                    )
                )
            expired = is_expired(waiver.expires, today)
            results = tuple(
                _waived(result, waiver.reason, waiver.expires, expired=expired)
                if result.gate == waiver.gate and not result.is_open
                else result
                for result in results
            )
        return replace(self, results=results)

    def waivers(self) -> list[dict[str, Any]]:
        """Return what stands waived: gate, artefact, reason, expiry, and the status before."""
        return [
            {"gate": result.key, "artefact": result.artefact, **(result.values.get("waiver") or {})}
            for result in self.results
            if result.status is GateStatus.WAIVED
        ]

    def verdict_hash(self) -> str:
        """Return a hash of everything but the wall times."""
        raw = self.to_dict()
        for result in raw["results"]:
            del result["seconds"]
        return hash_json(raw)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "version": REPORT_VERSION,
            "experiment": self.experiment,
            "config_hash": self.config_hash,
            "artefact": self.artefact,
            "artefact_hash": self.artefact_hash,
            "code_version": self.code_version,
            "about": self.about,
            "results": [result.to_dict() for result in self.results],
        }

    def to_json(self) -> str:
        """Return the report as indented JSON; the machine's record."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a report written by :meth:`to_json`.

        Raises
        ------
        ArtifactError
            If the text is not a report of this version.
        """
        try:
            raw = json.loads(text)
            version = raw["version"]
            if version != REPORT_VERSION:
                raise ArtifactError(
                    describe(
                        "Gate report of another version",
                        expected=REPORT_VERSION,
                        got=version,
                        hint="materialise the gate report again",
                    )
                )
            results = tuple(GateResult.from_dict(item) for item in raw["results"])
            report = cls(
                raw["experiment"],
                raw["config_hash"],
                raw["artefact"],
                raw["artefact_hash"],
                results,
                raw["code_version"],
                raw["about"],
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ArtifactError(
                describe("Not a gate report", got=repr(error), hint="materialise the gate report again")
            ) from error
        return report


def is_expired(expires: str | None, today: date) -> bool:
    """Say whether a waiver that is valid up to and including ``expires`` is void.

    Raises
    ------
    ConfigError
        If the date is not ISO (YYYY-MM-DD).
    """
    if expires is None:
        return False
    try:
        return today > date.fromisoformat(expires)
    except ValueError as error:
        raise ConfigError(
            describe("Waiver date", field="gates.waivers.expires", expected="YYYY-MM-DD", got=expires)
        ) from error


def _waived(result: GateResult, reason: str, expires: str | None, *, expired: bool) -> GateResult:
    if expired:
        return replace(result, reason=f"{result.reason} (waiver expired on {expires})")
    waiver = {"reason": reason, "expires": expires, "status_before": result.status.value}
    return replace(result, status=GateStatus.WAIVED, values={**result.values, "waiver": waiver})
