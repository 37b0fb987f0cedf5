"""B1, B2: does a checkpoint answer to the arc, and to nothing else that injection does.

Stamps are scored through the checkpoint's own PreprocessSpec, on galaxies of
the validation split, so that the test split is not looked at before grading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.config import Experiment
from darkhaloscope.gates.behaviour.scored import FloatArray, Images, Score
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.population import POSITIVE, floats
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.geometry import StampGeometry
from darkhaloscope.schema import BANDS
from darkhaloscope.stamps.hostpixels import HostStamps, locate_hosts
from darkhaloscope.stamps.inject import load_hosts_for
from darkhaloscope.stamps.nulls import MARK_NMGY, null_injections
from darkhaloscope.statistics import Interval, clopper_pearson, grouped_auc_interval, mean_interval
from darkhaloscope.streams import generator
from darkhaloscope.survey.release import get_release
from darkhaloscope.tabular import pixels

SKY_RADIUS_PX = 16.0
"""Sky is resampled from beyond this radius, outside every arc."""

DETECTED = 0.5
"""A score above which a stamp is called a lens where no operating point is asked for."""


class RowReader(Protocol):
    """The part of ``stamps.shards.ShardSet`` that reads a sample of one class of one split."""

    def sample(
        self,
        n_hosts_per_class: int,
        *,
        seed: int,
        split: str | None = None,
        kinds: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return rows with pixels of up to so many hosts per class, chosen by id hash."""
        ...


@dataclass(frozen=True)
class Trial:
    """Positives of one split beside their hosts.

    Parameters
    ----------
    rows : pyarrow.Table
        STAMPS rows of n positives.
    image : ndarray of float32, shape (n, 3, size, size)
        As injected.
    bare : ndarray of float32, shape (n, 3, size, size)
        The host, nothing added.
    hosts : HostStamps
        The hosts, for injection.
    """

    rows: pa.Table
    image: Images
    bare: Images
    hosts: HostStamps

    @property
    def galaxies(self) -> NDArray[Any]:
        """Host of each row."""
        return np.asarray(self.rows["host_id"].to_pylist(), dtype=str)

    def where(self, chosen: NDArray[np.bool_]) -> Trial:
        """Return the chosen rows."""
        return Trial(self.rows.filter(pa.array(chosen)), self.image[chosen], self.bare[chosen], self.hosts)


def read_trial(
    reader: RowReader,
    hosts_paths: Sequence[str | Path],
    *,
    experiment: Experiment,
    n_hosts: int,
    size_px: int,
    split: str = "val",
) -> Trial:
    """Read positives of a split and their hosts; positives without a host are left out."""
    table = reader.sample(n_hosts, seed=experiment.seed, split=split, kinds=(POSITIVE,))
    ids = table["host_id"].to_pylist()
    hosts = load_hosts_for(experiment, locate_hosts(hosts_paths, ids), size_px=size_px)
    found = np.array([i in hosts.row_of and hosts.status[hosts.row_of[i]] == "ok" for i in ids], dtype=bool)
    table = table.filter(pa.array(found))
    at = [hosts.row_of[i] for i in table["host_id"].to_pylist()]
    return Trial(table, pixels(table, "image"), hosts.image[at], hosts)


def measure_null_injection(trial: Trial, score: Score, *, experiment: Experiment, n_boot: int) -> Measured:
    """Inject sources of no flux through the whole path and score them beside their hosts (B1)."""
    n = trial.rows.num_rows
    measured: Measured = {"galaxies": int(np.unique(trial.galaxies).size)}
    if n < 2:
        return measured
    null = null_injections(trial.rows, trial.hosts, experiment)
    refused = [status for status in null["status"].to_pylist() if status != "ok"]
    measured["refused"] = len(refused)
    if refused:
        return measured
    image = pixels(null, "image")
    p_null, p_bare = score(image, trial.rows), score(trial.bare, trial.rows)
    labels = np.repeat([True, False], n)
    galaxies = np.tile(trial.galaxies, 2)
    p = np.concatenate([p_null, p_bare])
    above = int((p_null > DETECTED).sum())
    return {
        **measured,
        "changed_rows": int((np.abs(image - trial.bare) > MARK_NMGY).any(axis=(1, 2, 3)).sum()),
        "auc": grouped_auc_interval(labels, p, galaxies, n_boot, experiment.seed).to_dict(),
        "mean_p": mean_interval(p_null, trial.galaxies).to_dict(),
        "share": clopper_pearson(above, n).to_dict(),
        "histogram": {"null": histogram(p_null), "host": histogram(p_bare)},
    }


def judge_null_injection(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when an injection of nothing is told from its host, or called a lens (B1)."""
    short = starved(measured, limits)
    if short is not None:
        return short
    if measured["refused"]:
        return failed(None, f"{measured['refused']} null injections were refused by the path", measured)
    auc, mean_p, share = (Interval(**measured[name]) for name in ("auc", "mean_p", "share"))
    low, high = limits.get("B1", "min_auc"), limits.get("B1", "max_auc")
    if auc.above(high.value) or auc.below(low.value):
        limit = high if auc.above(high.value) else low
        return failed(
            limit, f"the model tells null injections from their hosts: AUC {auc}", measured
        ).measured(auc)
    limit = limits.get("B1", "max_mean_p")
    if mean_p.above(limit.value):
        return failed(limit, f"null injections score {mean_p} in the mean", measured).measured(mean_p)
    ceiling = limits.get("B1", "max_share")
    if share.above(ceiling.value):
        return failed(ceiling, f"share {share} of null injections scores above 0.5", measured).measured(share)
    reason = f"null injections score like their hosts: AUC {auc}, mean {mean_p}"
    return passed(limit, reason, measured).measured(mean_p)


def measure_arc_removed(trial: Trial, score: Score, *, experiment: Experiment) -> Measured:
    """Score positives with their arc taken away, exactly and by sky in its annulus (B2)."""
    measured: Measured = {"galaxies": int(np.unique(trial.galaxies).size)}
    if trial.rows.num_rows < 2:
        return measured
    annulus = arc_annulus(
        trial.rows, get_release(experiment.survey.release).pixel_scale_arcsec, trial.image.shape[-1]
    )
    arc = np.maximum(trial.image - trial.bare, 0.0)[:, BANDS.index("r")].astype(np.float64)
    inside = (arc * annulus).sum(axis=(1, 2)) / np.maximum(arc.sum(axis=(1, 2)), 1e-30)
    covered = with_sky(trial.image, annulus, trial.rows["task_id"].to_pylist(), experiment.seed)
    p_arc, p_bare = score(trial.image, trial.rows), score(trial.bare, trial.rows)
    p_covered = score(covered, trial.rows)
    return {
        **measured,
        "with_arc": mean_interval(p_arc, trial.galaxies).to_dict(),
        "bare_host": mean_interval(p_bare, trial.galaxies).to_dict(),
        "annulus": mean_interval(p_covered, trial.galaxies).to_dict(),
        "arc_share": float(np.median(inside)),
        "histogram": {
            "with arc": histogram(p_arc),
            "host alone": histogram(p_bare),
            "arc under sky": histogram(p_covered),
        },
    }


def judge_arc_removed(measured: Measured, limits: Thresholds) -> Verdict:
    """Fail when the score stays high without the arc (B2)."""
    short = starved(measured, limits)
    if short is not None:
        return short
    share = limits.get("B2", "min_arc_share")
    if measured["arc_share"] < share.value:
        reason = f"the annulus holds {measured['arc_share']:.2f} of the arc light: it proves nothing"
        return failed(share, reason, measured, value=measured["arc_share"], n=measured["galaxies"])
    limit = limits.get("B2", "max_mean_p")
    for name, label in (("bare_host", "hosts alone"), ("annulus", "stamps with sky over the arc")):
        mean_p = Interval(**measured[name])
        if mean_p.above(limit.value):
            reason = f"{label} score {mean_p} in the mean, with the arc {measured['with_arc']['value']:.3f}"
            return failed(limit, reason, measured).measured(mean_p)
    bare = Interval(**measured["bare_host"])
    reason = f"the mean score falls from {measured['with_arc']['value']:.3f} with the arc to {bare} without"
    return passed(limit, reason, measured).measured(bare)


def arc_annulus(rows: pa.Table, pixel_scale_arcsec: float, size_px: int) -> NDArray[np.bool_]:
    """Return the pixels where a lensed image can be, from the lens and the seeing.

    Images of a source at offset b from an isothermal deflector lie between
    theta_E - b and theta_E + b (one image only beyond theta_E); the PSF and the
    source widen that by one FWHM on each side.

    Returns
    -------
    ndarray of bool, shape (n, size_px, size_px)
    """
    geometry = StampGeometry(size_px, pixel_scale_arcsec)
    offset = np.hypot(floats(rows["src_x_arcsec"]), floats(rows["src_y_arcsec"]))
    theta_e, fwhm = floats(rows["theta_e_arcsec"]), floats(rows["psf_fwhm_r_arcsec"])
    x = floats(rows["x_offset_px"]) + floats(rows["lens_x_arcsec"]) / pixel_scale_arcsec
    y = floats(rows["y_offset_px"]) + floats(rows["lens_y_arcsec"]) / pixel_scale_arcsec
    radius = np.stack([geometry.radius_px(*centre) for centre in zip(x, y, strict=True)]) * pixel_scale_arcsec
    low, high = theta_e - offset - fwhm, theta_e + offset + fwhm
    return np.asarray((radius >= low[:, None, None]) & (radius <= high[:, None, None]))


def with_sky(images: Images, where: NDArray[np.bool_], task_ids: Sequence[str], seed: int) -> Images:
    """Return stamps whose marked pixels are replaced by sky pixels of the same stamp and band.

    All bands take the same pixels, so their noise keeps its correlation between bands.
    """
    size = images.shape[-1]
    sky = np.flatnonzero(StampGeometry(size, 1.0).radius_px().ravel() > SKY_RADIUS_PX)
    out = images.copy()
    for image, mask, task_id in zip(out, where, task_ids, strict=True):
        drawn = generator(seed, "sky_resample", task_id).choice(sky, size=int(mask.sum()))
        image[:, mask] = image.reshape(len(image), -1)[:, drawn]
    return out


def histogram(p: FloatArray, bins: int = 20) -> list[int]:
    """Return the counts of probabilities in equal bins of [0, 1]."""
    counts, _ = np.histogram(p, bins=bins, range=(0.0, 1.0))
    return [int(k) for k in counts]


def starved(
    measured: Measured, limits: Thresholds, what: str = "positives with a host in the split"
) -> Verdict | None:
    """Return a failure when there are too few galaxies of the kind a gate asks about."""
    limit = limits.get("B", "min_galaxies")
    n = measured["galaxies"]
    if n < limit.value:
        return failed(limit, f"{n} {what}; {limit.value:g} needed", measured, n=n)
    return None
