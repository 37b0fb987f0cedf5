"""B6: would the model see more in units of the noise.

The model is shown stamps over their sky's scatter; the noise itself varies from
pixel to pixel. A small probe is trained on the same galaxies twice: on the view
of the model and on image times the square root of the inverse variance. A
difference says that the choice of representation matters to the verdict; it
informs, for neither choice is wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from darkhaloscope.gates.behaviour.scored import FloatArray, Images
from darkhaloscope.gates.inputs import MissingInputError
from darkhaloscope.gates.judging import Measured, failed, passed
from darkhaloscope.gates.population import POSITIVE
from darkhaloscope.gates.result import Verdict
from darkhaloscope.gates.shortcut.probe import convolutional_scores
from darkhaloscope.gates.thresholds import Thresholds
from darkhaloscope.lensing.geometry import outer_pixels
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.stamps.shardset import ShardSet
from darkhaloscope.statistics import Interval, grouped_auc_interval, grouped_auc_loss
from darkhaloscope.tabular import pixels

SIDE_PX = 40
"""Side of what the probe sees: arcs of theta_E <= 2.5 arcsec and their wings."""

_COLUMNS = ["host_id", "control_kind", "image", "invvar"]


def measure_representation(
    shards: ShardSet, spec: PreprocessSpec, *, n_hosts: int, epochs: int, n_boot: int, seed: int
) -> Measured:
    """Train a probe on each view of training galaxies and compare them on galaxies held out (B6).

    Positives stand against matched light, where there is any, else against
    controls with nothing added.

    Raises
    ------
    MissingInputError
        If the shards hold no inverse variance.
    """
    kinds = set(shards.metadata(["control_kind"], "train")["control_kind"].to_pylist())
    against = next((k for k in ("matched_light", "unpaired", "paired") if k in kinds), None)
    measured: Measured = {"galaxies": 0, "against": against}
    if against is None or POSITIVE not in kinds:
        return measured
    rows = shards.sample(n_hosts, seed=seed, split="train", kinds=(POSITIVE, against), columns=_COLUMNS)
    mad, noise = _views(rows, spec)
    positive = np.asarray(rows["control_kind"].to_pylist()) == POSITIVE
    galaxies = np.asarray(rows["host_id"].to_pylist(), dtype=str)
    measured["galaxies"] = min(int(np.unique(galaxies[positive == c]).size) for c in (True, False))
    held = _hold_out(positive, galaxies, seed, epochs, mad, noise)
    if held is None:
        return measured
    labels, groups, by_mad, by_noise = held
    return {
        **measured,
        "mad": grouped_auc_interval(labels, by_mad, groups, n_boot, seed).to_dict(),
        "noise": grouped_auc_interval(labels, by_noise, groups, n_boot, seed).to_dict(),
        "gain": grouped_auc_loss(labels, by_noise, by_mad, groups, n_boot, seed).to_dict(),
    }


def judge_representation(measured: Measured, limits: Thresholds) -> Verdict:
    """Say whether units of the noise would change the verdict; this informs (B6)."""
    least = limits.get("B", "min_galaxies")
    n = measured["galaxies"]
    if n < least.value or "gain" not in measured:
        return failed(least, f"{n} galaxies of a class to train on; {least.value:g} needed", measured, n=n)
    gain, limit = Interval(**measured["gain"]), limits.get("B6", "max_auc_change")
    noise, mad = (f"{measured[view]['value']:.3f}" for view in ("noise", "mad"))
    reason = f"a probe reaches AUC {noise} in units of the noise, {mad} over the scatter: difference {gain}"
    return (failed if gain.magnitude().above(limit.value) else passed)(limit, reason, measured).measured(gain)


def _views(rows: pa.Table, spec: PreprocessSpec) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    image, invvar = pixels(rows, "image"), pixels(rows, "invvar")
    if not invvar.any():
        raise MissingInputError("invvar: the inverse variance of every pixel")
    plain = replace(spec, centre="none", metadata_columns=(), metadata_mean=(), metadata_scale=())
    return _centre(plain.images(image)), _centre(np.clip(_over_noise(image, invvar), -spec.clip, spec.clip))


def _over_noise(image: Images, invvar: Images) -> Images:
    """Return image * sqrt(invvar) about the median of the outer pixels of each band."""
    n, bands, size, _ = image.shape
    outer = image.reshape(n, bands, -1)[:, :, outer_pixels(size)]
    return np.asarray(
        (image - np.median(outer, axis=2)[:, :, None, None]) * np.sqrt(invvar), dtype=np.float32
    )


def _centre(images: Images) -> NDArray[np.float16]:
    side = min(SIDE_PX, images.shape[-1])
    start = (images.shape[-1] - side) // 2
    window = slice(start, start + side)
    return np.ascontiguousarray(images[:, :, window, window], dtype=np.float16)


def _hold_out(
    positive: NDArray[np.bool_],
    galaxies: NDArray[np.str_],
    seed: int,
    epochs: int,
    *views: NDArray[np.float16],
) -> tuple[NDArray[np.bool_], NDArray[np.str_], FloatArray, FloatArray] | None:
    """Return labels, galaxies and both scores of the held-out rows; None where a class is missing."""
    if positive.all() or not positive.any():
        return None
    scores = []
    held = np.zeros(0, dtype=bool)
    for view in views:
        score, held = convolutional_scores(view, positive, galaxies, epochs=epochs, seed=seed)
        scores.append(score)
    labels = positive[held]
    if labels.all() or not labels.any():
        return None
    return labels, galaxies[held], scores[0], scores[1]
