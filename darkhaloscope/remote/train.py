"""Training on this or another machine: ``python -m darkhaloscope.remote.train REQUEST [ANSWER]``.

REQUEST is a :class:`~darkhaloscope.training.request.TrainRequest` as JSON. The
result, or the typed error, is written as JSON to ANSWER if one is named. When
Dagster launched the process through Pipes, every epoch is reported as it ends;
otherwise the log is all there is.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes

from darkhaloscope.artifacts import write_json
from darkhaloscope.errors import UserError
from darkhaloscope.training.loop import OnEpoch, train
from darkhaloscope.training.request import TrainRequest

_LOG = logging.getLogger(__name__)


def run(request_path: str | Path, answer_path: str | Path | None = None) -> int:
    """Train as asked and return the exit status: 0, 1 for a user's error.

    Parameters
    ----------
    request_path : path
        The request.
    answer_path : path, optional
        Where result or error is written, as ``darkhaloscope.remote.worker.read_answer`` reads it.

    Raises
    ------
    Exception
        Whatever is not a user's error, after it was written to the answer.
    """
    try:
        with _live_report() as on_epoch:
            result = train(TrainRequest.read(request_path), on_epoch)
    except Exception as error:
        _answer(
            answer_path,
            {
                "error": {
                    "type": type(error).__name__,
                    "message": str(error),
                    "unit_id": "training",
                    "traceback": traceback.format_exc(),
                }
            },
        )
        if not isinstance(error, UserError):
            raise
        _LOG.error("%s: %s", type(error).__name__, error)
        return 1
    _answer(answer_path, {"result": result})
    return 0


@contextmanager
def _live_report() -> Iterator[OnEpoch | None]:
    """Yield a callback that tells Dagster of every epoch, or None outside Dagster."""
    if DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ or not _is_first():
        yield None
        return
    with open_dagster_pipes() as pipes:

        def on_epoch(epoch: dict[str, Any]) -> None:
            auc = epoch["val"]["auc"]
            pipes.log.info(
                f"epoch {epoch['epoch']} of {epoch['epochs']}: "
                f"train loss {epoch['train_loss']:.4f}, val loss {epoch['val']['loss']:.4f}, "
                f"val AUC {auc['value']:.4f} [{auc['lower']:.4f}, {auc['upper']:.4f}], "
                f"{epoch['seconds']:.1f} s"
            )
            pipes.report_custom_message(epoch)

        yield on_epoch


def _is_first() -> bool:
    """Say whether this is the process that reports, of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _answer(path: str | Path | None, value: dict[str, Any]) -> None:
    if path is not None and _is_first():
        write_json(path, value)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m darkhaloscope.remote.train", description="Train a finder."
    )
    parser.add_argument("request", type=Path, help="TrainRequest as JSON")
    parser.add_argument("answer", type=Path, nargs="?", help="where to write result or error as JSON")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    sys.exit(run(arguments.request, arguments.answer))


if __name__ == "__main__":
    main()
