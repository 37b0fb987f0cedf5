"""The training loop, to be read from top to bottom.

A request goes in, ``checkpoint.pt`` and ``record.json`` come out. Every step is
a pure function of the state before it and of (seed, epoch, step): order,
augmentation, dropout and learning rate are derived, never carried along. So a
run that was killed goes on after its last saved step and ends in the same bytes.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from darkhaloscope.artifacts import SIDECAR_SUFFIX, write_json
from darkhaloscope.errors import DataError, describe
from darkhaloscope.hashing import sha256_file
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.progress import track
from darkhaloscope.training.batches import Batch, inference_images, training_batches
from darkhaloscope.training.cache import cache_split
from darkhaloscope.training.checkpoint import CHECKPOINT_NAME, RECORD_NAME, Checkpoint, save_checkpoint
from darkhaloscope.training.distributed import Ranks, ranks
from darkhaloscope.training.metrics import declared_metric, validation_metrics
from darkhaloscope.training.models import ModelSpec, build_model, torch_seed
from darkhaloscope.training.optimise import (
    LOSSES,
    Machine,
    autocast,
    build_optimiser,
    choose_machine,
    cpu_threads,
    learning_rate,
)
from darkhaloscope.training.order import epoch_batches, of_rank
from darkhaloscope.training.predict import BATCH_ROWS, forward_logits
from darkhaloscope.training.request import SPLITS, TrainRequest
from darkhaloscope.training.rows import SplitData, positive_share, read_rows
from darkhaloscope.training.state import Learner, Progress, load_state, save_state

RECORD_VERSION = 2
"""Version of ``record.json``."""

_LOG = logging.getLogger(__name__)
_SCRATCH = "_scratch"
_STATE = "state.pt"
_CACHE = "cache"
_SIDECAR = CHECKPOINT_NAME + SIDECAR_SUFFIX

OnEpoch = Callable[[dict[str, Any]], None]


def train(request: TrainRequest, on_epoch: OnEpoch | None = None) -> dict[str, Any]:
    """Train a network and write its checkpoint and record.

    Started by torchrun, every process trains on its part of each batch; the
    first one writes and reports.

    Parameters
    ----------
    request : TrainRequest
        What to train on, how, and where to write.
    on_epoch : callable, optional
        Called after every epoch with its record and seconds.

    Returns
    -------
    dict
        The record and what is not reproducible: ``seconds``, ``epoch_seconds``,
        ``images_per_second`` and ``resumed_from_epoch`` (None if it began at the
        first; the number of epochs if the run was already complete).

    Raises
    ------
    DataError
        If a split has no rows, one class, or unusable rows, or if the loss
        stops being finite.
    ConfigError
        If the experiment, the profile or the encoder is not valid.
    """
    started = time.perf_counter()
    output = Path(request.output_dir)
    content_sha256 = request.content_sha256()
    key = request.key(content_sha256)
    finished = _finished(output, key)
    if finished is not None:
        return finished
    scratch = output / _SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)

    experiment, profile = request.parsed_experiment(), request.parsed_profile()
    training, seed = experiment.training, experiment.seed
    machine = choose_machine(request.device, training.precision)
    with cpu_threads(request.threads), ranks(machine.device) as (among, device):
        machine = Machine(device, machine.bf16)
        data, preprocess = _load(request, Path(request.cache_dir or scratch / _CACHE), content_sha256)
        model_spec = ModelSpec.from_config(experiment.model, profile, preprocess)
        network = build_model(model_spec, seed).to(device).to(memory_format=torch.channels_last)
        learner = Learner.of(network, build_optimiser(network, training), training.ema_decay)
        progress = load_state(scratch / _STATE, key, learner)
        resumed_from = progress.epoch or None
        # shares its weights with the network, which is judged as it will be used: not compiled
        taught = among.wrap(network, device)
        if training.compile:
            taught = torch.compile(taught)  # type: ignore[assignment]  # torch types a callable
        epoch_seconds: list[float] = []

        while progress.epoch < profile.epochs and not _gave_up(progress, training.patience):
            epoch_started = time.perf_counter()
            epoch = progress.epoch + 1
            plan = epoch_batches(
                len(data["train"]),
                profile.batch_size,
                seed=seed,
                epoch=epoch,
                hard=data["train"].hard_negatives(),
                hard_share=training.hard_negative_share,
            )
            own = [of_rank(rows, among.rank, among.world) for rows in plan]
            steps = -(-len(plan) // training.accumulate)
            batches = training_batches(
                data["train"],
                own[progress.step * training.accumulate :],
                preprocess=preprocess,
                augmentation=training.augmentation,
                seed=seed,
                epoch=epoch,
                device=device,
            )
            label = f"train epoch {epoch} of {profile.epochs} [steps]"
            saved = time.monotonic()
            taught.train()
            for step in track(range(progress.step, steps), total=steps - progress.step, label=label):
                learner.at_rate(learning_rate((epoch - 1) * steps + step, profile.epochs * steps, training))
                micro = min(training.accumulate, len(plan) - step * training.accumulate)
                with torch.random.fork_rng():
                    torch.manual_seed(torch_seed(seed, "train_dropout", f"{epoch}-{step}-{among.rank}"))
                    for _ in range(micro):
                        batch = next(batches)
                        with autocast(machine):
                            logits = taught(batch.images, batch.metadata)
                        loss = LOSSES[training.loss](logits, batch.labels)
                        _require_finite(loss, data["train"], batch, epoch)
                        (loss / micro).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                        progress.loss_sum += float(loss.detach()) * len(batch.rows)
                learner.step(training.gradient_clip)
                progress.step = step + 1
                if among.first and time.monotonic() - saved > request.save_seconds:
                    save_state(scratch / _STATE, key, learner, progress)
                    saved = time.monotonic()

            metrics = validation_metrics(
                predict_split(learner.judged, data["val"], preprocess, device, among),
                data["val"].labels,
                data["val"].host_ids,
                data["val"].control_kinds,
                bootstrap=profile.bootstrap,
                seed=seed,
            )
            train_loss = among.total(progress.loss_sum) / sum(map(len, plan))
            progress.history.append({"epoch": epoch, "train_loss": train_loss, "val": metrics})
            progress.epoch, progress.step, progress.loss_sum = epoch, 0, 0.0
            score = declared_metric(metrics, training.best_by)
            if not progress.best or score > progress.best["score"]:
                progress.best = {"epoch": epoch, "score": score, "weights": learner.weights()}
            epoch_seconds.append(time.perf_counter() - epoch_started)
            if among.first:
                save_state(scratch / _STATE, key, learner, progress)
                _tell(progress.history[-1], profile.epochs, epoch_seconds[-1], on_epoch)

        best, history = progress.best, progress.history
        checkpoint = Checkpoint(
            model=model_spec,
            preprocess=preprocess,
            weights=best["weights"],
            experiment=experiment.name,
            config_hash=experiment.config_hash(profile),
            inputs={"training_shards": request.shards_hash},
            epoch=best["epoch"],
            prior=positive_share(data["train"].kind_counts()),
            metrics=history[best["epoch"] - 1]["val"],
            config=request.experiment,
            git_commit=request.git_commit,
        )
        record = {
            "version": RECORD_VERSION,
            "experiment": checkpoint.experiment,
            "config_hash": checkpoint.config_hash,
            "inputs": checkpoint.inputs,
            "rows_read_sha256": content_sha256,
            "preprocess": preprocess.to_dict(),
            "preprocess_sha256": preprocess.sha256,
            "model": model_spec.to_dict(),
            "parameters": sum(p.numel() for p in network.parameters()),
            "rows": {split: rows.kind_counts() for split, rows in data.items()},
            "hard_negatives_per_epoch": _hard_rows(data["train"], plan),
            "val_rows_sha256": data["val"].rows_sha256(),
            "prior": checkpoint.prior,
            "best_by": training.best_by,
            "best_epoch": checkpoint.epoch,
            "metrics": checkpoint.metrics,
            "history": history,
            "precision": machine.precision,
            "device": device.type,
            "processes": among.world,
            "threads": request.threads,
            "torch": torch.__version__,
            "git_commit": request.git_commit,
        }
        result = {
            **record,
            "seconds": time.perf_counter() - started,
            "epoch_seconds": epoch_seconds,
            "images_per_second": len(epoch_seconds) * len(data["train"]) / max(sum(epoch_seconds), 1e-9),
            "resumed_from_epoch": resumed_from,
        }
        if among.first:
            _write(output, checkpoint, record, result, key)
            shutil.rmtree(scratch)
    return result


def predict_split(
    network: nn.Module,
    data: SplitData,
    preprocess: PreprocessSpec,
    device: torch.device,
    among: Ranks = Ranks(),  # noqa: B008  (frozen)
) -> NDArray[np.float64]:
    """Return the logit of every row of a split, in float32 as at inference, shape (n,)."""
    network.eval()
    rows = np.arange(len(data))[among.rank :: among.world]
    parts = [np.empty(0)]
    for start in range(0, len(rows), BATCH_ROWS):
        few = rows[start : start + BATCH_ROWS]
        images = inference_images(data, few, preprocess, device)
        parts.append(forward_logits(network, images, data.metadata[few], BATCH_ROWS, device))
    return among.gathered(np.concatenate(parts))


def _load(request: TrainRequest, cache: Path, content: str) -> tuple[dict[str, SplitData], PreprocessSpec]:
    """Read both splits; the metadata scaling is fitted on training rows alone."""
    experiment, profile = request.parsed_experiment(), request.parsed_profile()
    spec = PreprocessSpec.from_config(experiment.preprocess, crop_px=profile.stamp_px)
    rows = {split: read_rows(request.shards(split), split, spec.metadata_columns) for split in SPLITS}
    spec = spec.fit_metadata(rows["train"])
    data = {
        split: cache_split(request.shards(split), table, spec, cache, content=content)
        for split, table in rows.items()
    }
    return data, spec


def _gave_up(progress: Progress, patience: int) -> bool:
    return patience > 0 and progress.epochs_since_best >= patience and progress.epoch > 0


def _hard_rows(data: SplitData, plan: list[NDArray[np.intp]]) -> int:
    """Return how many rows of an epoch are hard negatives, repeats counted."""
    return int(np.isin(np.concatenate(plan), data.hard_negatives()).sum())


def _tell(entry: dict[str, Any], epochs: int, seconds: float, on_epoch: OnEpoch | None) -> None:
    auc = entry["val"]["auc"]
    _LOG.info(
        "epoch %d of %d: train loss %.4f, val loss %.4f, val AUC %.4f [%.4f, %.4f], %.1f s",
        entry["epoch"],
        epochs,
        entry["train_loss"],
        entry["val"]["loss"],
        auc["value"],
        auc["lower"],
        auc["upper"],
        seconds,
    )
    if on_epoch is not None:
        on_epoch({**entry, "epochs": epochs, "seconds": seconds})


def _require_finite(loss: Tensor, data: SplitData, batch: Batch, epoch: int) -> None:
    if not bool(torch.isfinite(loss)):
        tasks = data.task_ids[batch.rows].tolist()
        raise DataError(
            describe(
                "Loss is not finite",
                field=f"epoch {epoch}",
                row=", ".join(tasks[:8]) + (f" and {len(tasks) - 8} more" if len(tasks) > 8 else ""),
                got=float(loss.detach()),
                hint="lower training.learning_rate; if it stays, look at these stamps",
            )
        )


def _write(
    output: Path, checkpoint: Checkpoint, record: dict[str, Any], result: dict[str, Any], key: str
) -> None:
    """Write checkpoint, record and, last, what says that they are whole."""
    save_checkpoint(output / CHECKPOINT_NAME, checkpoint)
    sha256 = {"checkpoint_sha256": sha256_file(output / CHECKPOINT_NAME)}
    write_json(output / RECORD_NAME, record | sha256)
    result |= sha256
    write_json(output / _SIDECAR, {"key": key, "result": result})


def _finished(output: Path, key: str) -> dict[str, Any] | None:
    """Return the result of an equal run whose files are whole."""
    sidecar, checkpoint = output / _SIDECAR, output / CHECKPOINT_NAME
    if not (sidecar.is_file() and checkpoint.is_file() and (output / RECORD_NAME).is_file()):
        return None
    previous = json.loads(sidecar.read_text())
    result: dict[str, Any] = previous["result"]
    if previous["key"] != key or sha256_file(checkpoint) != result["checkpoint_sha256"]:
        return None
    return {**result, "resumed_from_epoch": len(result["history"])}
