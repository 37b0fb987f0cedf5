"""The training loop, to be read from top to bottom.

A request goes in, ``checkpoint.pt`` and ``record.json`` come out. Every epoch is
a pure function of the state before it and of (seed, epoch): order, symmetries,
dropout and learning rate are derived, never carried along. So a run that was
killed goes on after its last whole epoch and ends in the same bytes.
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
from torch import Tensor

from darkhaloscope.artifacts import SIDECAR_SUFFIX, write_json
from darkhaloscope.config import Training
from darkhaloscope.errors import DataError, describe
from darkhaloscope.hashing import sha256_file
from darkhaloscope.preprocess import PreprocessSpec
from darkhaloscope.progress import track
from darkhaloscope.training.checkpoint import (
    CHECKPOINT_NAME,
    RECORD_NAME,
    Checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)
from darkhaloscope.training.data import (
    Batch,
    SplitData,
    batch_count,
    batches,
    cache_split,
    positive_share,
    read_rows,
)
from darkhaloscope.training.metrics import declared_metric, validation_metrics
from darkhaloscope.training.models import LensFinder, ModelSpec, build_model, torch_seed
from darkhaloscope.training.optimise import (
    LOSSES,
    Machine,
    autocast,
    build_optimiser,
    choose_machine,
    cpu_threads,
    learning_rate,
)
from darkhaloscope.training.predict import BATCH_ROWS, forward_logits
from darkhaloscope.training.request import SPLITS, TrainRequest

RECORD_VERSION = 1
"""Version of ``record.json``."""

_LOG = logging.getLogger(__name__)
_SCRATCH = "_scratch"
_STATE = "epoch.pt"
_SIDECAR = CHECKPOINT_NAME + SIDECAR_SUFFIX

OnEpoch = Callable[[dict[str, Any]], None]


def train(request: TrainRequest, on_epoch: OnEpoch | None = None) -> dict[str, Any]:
    """Train a network and write its checkpoint and record.

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

    experiment = request.parsed_experiment()
    profile = request.parsed_profile()
    with cpu_threads(request.threads):
        machine = choose_machine(request.device, experiment.training.precision)
        data, preprocess = _load(request, scratch)
        model_spec = ModelSpec.from_config(experiment.model, profile, preprocess)
        network = build_model(model_spec, experiment.seed).to(machine.device)
        network = network.to(memory_format=torch.channels_last)
        optimiser = build_optimiser(network, experiment.training)

        history: list[dict[str, Any]] = []
        best: dict[str, Any] = {}
        state = _read_state(scratch / _STATE, key)
        if state is not None:
            network.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
            history, best = state["history"], state["best"]
        resumed_from = len(history) or None
        epoch_seconds: list[float] = []

        for epoch in range(len(history) + 1, profile.epochs + 1):
            epoch_started = time.perf_counter()
            train_loss = train_epoch(
                network,
                optimiser,
                data["train"],
                experiment.training,
                machine,
                seed=experiment.seed,
                epoch=epoch,
                epochs=profile.epochs,
                batch_size=profile.batch_size,
            )
            metrics = validation_metrics(
                predict_split(network, data["val"], machine.device),
                data["val"].labels,
                data["val"].host_ids,
                data["val"].control_kinds,
                bootstrap=profile.bootstrap,
                seed=experiment.seed,
            )
            history.append({"epoch": epoch, "train_loss": train_loss, "val": metrics})
            score = declared_metric(metrics, experiment.training.best_by)
            if not best or score > best["score"]:
                weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
                best = {"epoch": epoch, "score": score, "weights": weights}
            save_tensors(
                scratch / _STATE,
                {
                    "key": key,
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "history": history,
                    "best": best,
                },
            )
            epoch_seconds.append(time.perf_counter() - epoch_started)
            _LOG.info(
                "epoch %d of %d: train loss %.4f, val loss %.4f, val AUC %.4f [%.4f, %.4f], %.1f s",
                epoch,
                profile.epochs,
                train_loss,
                metrics["loss"],
                metrics["auc"]["value"],
                metrics["auc"]["lower"],
                metrics["auc"]["upper"],
                epoch_seconds[-1],
            )
            if on_epoch is not None:
                on_epoch({**history[-1], "epochs": profile.epochs, "seconds": epoch_seconds[-1]})

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
        )
    save_checkpoint(output / CHECKPOINT_NAME, checkpoint)
    record = {
        "version": RECORD_VERSION,
        "experiment": checkpoint.experiment,
        "config_hash": checkpoint.config_hash,
        "inputs": checkpoint.inputs,
        "rows_read_sha256": content_sha256,
        "checkpoint_sha256": sha256_file(output / CHECKPOINT_NAME),
        "preprocess": preprocess.to_dict(),
        "preprocess_sha256": preprocess.sha256,
        "model": model_spec.to_dict(),
        "parameters": sum(p.numel() for p in network.parameters()),
        "rows": {split: rows.kind_counts() for split, rows in data.items()},
        "val_rows_sha256": data["val"].rows_sha256(),
        "prior": checkpoint.prior,
        "best_by": experiment.training.best_by,
        "best_epoch": checkpoint.epoch,
        "metrics": checkpoint.metrics,
        "history": history,
        "precision": machine.precision,
        "device": machine.device.type,
        "threads": request.threads,
        "torch": torch.__version__,
    }
    write_json(output / RECORD_NAME, record)
    result = {
        **record,
        "seconds": time.perf_counter() - started,
        "epoch_seconds": epoch_seconds,
        "images_per_second": len(epoch_seconds) * len(data["train"]) / max(sum(epoch_seconds), 1e-9),
        "resumed_from_epoch": resumed_from,
    }
    write_json(output / _SIDECAR, {"key": key, "result": result})
    shutil.rmtree(scratch)
    return result


def train_epoch(
    network: LensFinder,
    optimiser: torch.optim.Optimizer,
    data: SplitData,
    training: Training,
    machine: Machine,
    *,
    seed: int,
    epoch: int,
    epochs: int,
    batch_size: int,
) -> float:
    """Take one pass over the training rows and return the mean loss per row.

    Parameters
    ----------
    epoch, epochs : int
        This epoch, from 1, and how many there are: they place the learning rate.

    Raises
    ------
    DataError
        If the loss is not finite, naming the tasks of the batch.
    """
    steps = batch_count(len(data), batch_size)
    loss_function = LOSSES[training.loss]
    total = 0.0
    network.train()
    with torch.random.fork_rng():
        torch.manual_seed(torch_seed(seed, "train_dropout", f"epoch-{epoch}"))
        epoch_batches = batches(data, seed=seed, epoch=epoch, batch_size=batch_size, device=machine.device)
        label = f"train epoch {epoch} of {epochs} [steps]"
        for step, batch in enumerate(track(epoch_batches, total=steps, label=label)):
            rate = learning_rate((epoch - 1) * steps + step, epochs * steps, training)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with autocast(machine):
                logits = network(batch.images, batch.metadata)
            loss = loss_function(logits, batch.labels)
            _require_finite(loss, data, batch, epoch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
            total += float(loss.detach()) * len(batch.rows)
    return total / len(data)


def predict_split(network: LensFinder, data: SplitData, device: torch.device) -> NDArray[np.float64]:
    """Return the logit of every row of a split, in float32 as at inference, shape (n,)."""
    network.eval()
    parts = [
        forward_logits(
            network,
            data.images[start : start + BATCH_ROWS],
            data.metadata[start : start + BATCH_ROWS],
            BATCH_ROWS,
            device,
        )
        for start in range(0, len(data), BATCH_ROWS)
    ]
    return np.concatenate(parts)


def _load(request: TrainRequest, scratch: Path) -> tuple[dict[str, SplitData], PreprocessSpec]:
    """Read both splits; the metadata scaling is fitted on training rows alone."""
    experiment, profile = request.parsed_experiment(), request.parsed_profile()
    spec = PreprocessSpec.from_config(experiment.preprocess, crop_px=profile.stamp_px)
    rows = {split: read_rows(request.shards(split), split, spec.metadata_columns) for split in SPLITS}
    spec = spec.fit_metadata(rows["train"])
    data = {
        split: cache_split(request.shards(split), table, spec, scratch / f"{split}.npy")
        for split, table in rows.items()
    }
    return data, spec


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


def _read_state(path: Path, key: str) -> dict[str, Any] | None:
    """Return the state after the last whole epoch of the same run, if there is one."""
    if not path.is_file():
        return None
    state = load_tensors(path)
    return state if state["key"] == key else None


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
