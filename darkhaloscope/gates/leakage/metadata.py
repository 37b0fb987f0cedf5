"""L5: do the conditions of an observation tell the class, by their values or by how they are written.

A condition may be given to a model, so it must be silent: as often null in one
class as in the other, and of no use to gradient-boosted trees that may combine
all of them. The trees see each number and also how it is written (decimals,
single precision), because a column that came another way in one class gives it
away long before its distribution does. Roles dealt out evenly within blocks of
like galaxies put the AUC somewhat below one half: to take a galaxy out of the
training rows leaves its block with more of the other class. One column at a time
is the business of Q1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkhaloscope.gates.columns import Columns, HostRows
from darkhaloscope.gates.columns.scan import class_cells
from darkhaloscope.gates.judging import Measured, deferred, failed, passed, simultaneous
from darkhaloscope.gates.population import COMPARED_KINDS, KINDS, POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.schema import STAMPS, Role
from darkhaloscope.statistics import Interval, auc, clopper_pearson, grouped_auc_interval
from darkhaloscope.streams import generator

FloatArray = NDArray[np.float64]

_FOLDS = 5
_TREES = 40
_LEAVES = 8
_LEAST_IN_LEAF = 20
_DECIMALS = 6
_WRITTEN_TO = 1e-8
_SINGLE = _DECIMALS + 2
"""Added to the code of a number that single precision holds."""


def measure_metadata(
    columns: Columns, inputs: Sequence[str], *, seed: int, n_boot: int, limits: Thresholds
) -> Measured:
    """Count nulls by class and let trees guess the class from conditions, out of fold by galaxy (L5).

    Parameters
    ----------
    columns : Columns
        All rows, and the sampled galaxies that trees are grown on.
    inputs : sequence of str
        Columns the model is given beside the image.
    seed, n_boot : int
        Key of the resamples, and their number.
    limits : Thresholds
        Size of the sample.

    Returns
    -------
    dict
        ``roles`` of the inputs, ``nulls`` (column and class to null rows and
        rows), ``auc`` by columns (``conditions``, ``inputs``) and control kind,
        ``importance`` (loss of AUC by column shuffled, conditions only), ``roc``,
        ``galaxies`` and ``absent``.
    """
    known = STAMPS.names(Role.CONDITION)
    names = [name for name in known if name not in columns.absent]
    kinds = columns.present(COMPARED_KINDS)
    measured: Measured = {
        "roles": {name: str(STAMPS[name].role) if name in STAMPS.names() else "unknown" for name in inputs},
        "nulls": {name: _nulls(columns, name) for name in names},
        "auc": {"conditions": {}, "inputs": {}},
        "importance": {},
        "roc": {},
        "galaxies": {kind: columns.hosts(kind) for kind in [POSITIVE, *kinds]},
        "absent": {name: columns.absent[name] for name in known if name in columns.absent},
        "classes": columns.present(KINDS),
    }
    sample = columns.sample.first(int(limits.value("L5", "max_galaxies")))
    place = {name: i for i, name in enumerate(columns.values)}
    given = [name for name in inputs if name in names]
    confidence = simultaneous(2 * max(1, len(kinds)))
    for kind in kinds:
        rows = np.flatnonzero(np.isin(sample.cell, class_cells(POSITIVE) + class_cells(kind)))
        guess = _Guess(sample, rows, seed)
        if guess.galaxies < limits.value("L5", "min_galaxies") or not 0 < guess.lens.sum() < len(rows):
            continue
        values = sample.values[rows][:, [place[name] for name in names]]
        scores, importance = guess.scores(np.hstack([values, written(values)]), len(names))
        interval = grouped_auc_interval(guess.lens, scores, guess.galaxy, n_boot, seed, confidence)
        measured["auc"]["conditions"][kind] = interval.to_dict()
        measured["importance"][kind] = dict(zip(names, importance.tolist(), strict=True))
        measured["roc"][kind] = _roc(guess.lens, scores)
        if given:
            few = sample.values[rows][:, [place[name] for name in given]]
            scores, _ = guess.scores(few, 0)
            interval = grouped_auc_interval(guess.lens, scores, guess.galaxy, n_boot, seed, confidence)
            measured["auc"]["inputs"][kind] = interval.to_dict()
    return measured


def judge_metadata(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when an input is no condition, nulls differ, or trees guess the class (L5)."""
    galaxies: dict[str, int] = measured["galaxies"]
    n = min(galaxies.values())
    foreign = {name: role for name, role in measured["roles"].items() if role != str(Role.CONDITION)}
    if foreign:
        told = ", ".join(f"{name} ({role})" for name, role in foreign.items())
        return failed(None, f"the model is given columns that are no conditions: {told}", measured, n=n)
    least = limits.get("L5", "min_galaxies")
    if len(galaxies) < 2 or n < least.value:
        reason = f"{n} galaxies in the smaller of {sorted(galaxies)}; {least.value:g} needed in each of two"
        return failed(least, reason, measured, value=n, n=n)
    uneven = _uneven(measured["nulls"])
    null_limit = limits.get("L5", "max_null_difference")
    for column, kind, difference in uneven:
        if difference.above(null_limit.value):
            reason = f"{column} is null in {measured['nulls'][column]}: nulls tell {kind} from positives"
            return failed(null_limit, reason, measured).measured(difference)
    limit = limits.get("L5", "max_auc")
    found = [
        (of, kind, Interval(**raw))
        for of, by_kind in measured["auc"].items()
        for kind, raw in by_kind.items()
    ]
    if not found:
        return failed(least, "no class has galaxies enough to grow trees on", measured, n=n)
    beyond = [item for item in found if item[2].above(limit.value)]
    of, kind, worst = max(beyond or found, key=lambda item: item[2].lower if beyond else item[2].value)
    of = "conditions" if of == "conditions" else "inputs of the model"
    told = f"AUC of trees on the {of}, {kind}: {worst}"
    if beyond:
        importance = measured["importance"][kind]
        best = sorted(importance, key=lambda name: -importance[name])[:3]
        return failed(limit, f"{told}; by {', '.join(best)}", measured).measured(worst)
    if measured["absent"]:
        return deferred("; ".join(dict.fromkeys(measured["absent"].values())))
    return passed(limit, told, measured).measured(worst)


def written(values: FloatArray) -> FloatArray:
    """Return how each number is written: decimals it needs (7 for more than 6), plus 8 if it is a float32.

    Parameters
    ----------
    values : ndarray, shape (n, k)
        Any numbers.

    Returns
    -------
    ndarray, shape (n, k)
        0 to 15; NaN where the number is.
    """
    code = np.full(values.shape, float(_DECIMALS + 1))
    for decimals in range(_DECIMALS, -1, -1):
        scaled = values * 10.0**decimals
        code[np.abs(scaled - np.rint(scaled)) < _WRITTEN_TO * np.maximum(1.0, np.abs(scaled) * 1e-7)] = (
            decimals
        )
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32).astype(np.float64) == values
    return np.where(np.isfinite(values), code + _SINGLE * single, np.nan)


class _Guess:
    """Rows of two classes, in folds by galaxy."""

    def __init__(self, sample: HostRows, rows: NDArray[np.intp], seed: int) -> None:
        self.lens = np.isin(sample.cell[rows], class_cells(POSITIVE))
        # hashes have no order that means anything, so neither has the fold
        self.galaxy = np.unique(sample.host[rows], return_inverse=True)[1].reshape(-1)
        self.galaxies = int(self.galaxy.max(initial=-1)) + 1
        self._seed = seed

    def scores(self, features: FloatArray, columns: int) -> tuple[FloatArray, FloatArray]:
        """Return the out-of-fold score of each row, and the AUC lost when a column is shuffled.

        Of ``columns`` columns, the features are the values and then the codes;
        with 0 no importance is measured.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

        scores = np.zeros(len(features))
        shuffled = np.zeros((columns, len(features)))
        fold = self.galaxy % _FOLDS
        rng = generator(self._seed, "metadata_trees", f"{self.galaxies}:{features.shape[1]}")
        with threadpool_limits(limits=1):
            for number in range(_FOLDS):
                held = np.flatnonzero(fold == number)
                trees = HistGradientBoostingClassifier(
                    max_iter=_TREES,
                    max_leaf_nodes=_LEAVES,
                    min_samples_leaf=_LEAST_IN_LEAF,
                    l2_regularization=1.0,
                    early_stopping=False,
                    random_state=self._seed,
                )
                trees.fit(features[fold != number], self.lens[fold != number])
                scores[held] = trees.decision_function(features[held])
                for column in range(columns):
                    other = features[held]
                    both = [column, column + columns]
                    other[:, both] = other[rng.permutation(len(held))][:, both]
                    shuffled[column, held] = trees.decision_function(other)
        whole = auc(self.lens, scores)
        return scores, np.array([whole - auc(self.lens, row) for row in shuffled])


def _nulls(columns: Columns, name: str) -> dict[str, list[int]]:
    values = columns.values[name]
    return {
        kind: [int(values.skipped[class_cells(kind)].sum()), columns.count(kind)]
        for kind in columns.present([POSITIVE, *COMPARED_KINDS])
    }


def _uneven(nulls: dict[str, dict[str, list[int]]]) -> list[tuple[str, str, Interval]]:
    """Return the difference in the share of nulls, where there are any, the surest first."""
    affected = [
        (column, kind, by_kind[POSITIVE], pair)
        for column, by_kind in nulls.items()
        for kind, pair in by_kind.items()
        if kind != POSITIVE and POSITIVE in by_kind and by_kind[POSITIVE][0] + pair[0]
    ]
    confidence = simultaneous(2 * len(affected))
    found = []
    for column, kind, lens, control in affected:
        a, b = (clopper_pearson(k, n, confidence) for k, n in (lens, control))
        difference = Interval(a.value - b.value, a.lower - b.upper, a.upper - b.lower, min(a.n, b.n))
        found.append((column, kind, difference.magnitude()))
    return sorted(found, key=lambda item: -item[2].lower)


def _roc(lens: NDArray[np.bool_], scores: FloatArray) -> dict[str, Any]:
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    tpr = np.cumsum(lens[order])[last] / max(1, lens.sum())
    fpr = np.cumsum(~lens[order])[last] / max(1, (~lens).sum())
    at = np.linspace(0.0, 1.0, 51)
    return {"fpr": at.tolist(), "tpr": np.interp(at, np.r_[0.0, fpr], np.r_[0.0, tpr]).tolist()}
