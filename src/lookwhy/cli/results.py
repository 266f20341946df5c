"""The end of a training: metrics.json and the closing tables, or the line about a failed process."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytorch_lightning as pl
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from lookwhy import store
from lookwhy.callbacks import ImportanceCallback
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path
from lookwhy.reporting.comparisons import since_untrained
from lookwhy.reporting.terminal.tables import print_tables, report_console
from lookwhy.reporting.wandb.summary import best_values, read_summaries

_OWN_ERROR = f"{LookwhyError.__module__}.{LookwhyError.__name__}: "
_LOST_CONNECTION = ("Connection reset by peer", "Connection closed by peer", "Broken pipe")
"""Phrases in the error of a process (from gloo) when another process of the training has ended."""


def failed_process(error: Exception) -> LookwhyError | None:
    """The error line if another process of the training has failed."""
    text = str(error).strip()
    if isinstance(error, ProcessRaisedException) and (found := text.partition(_OWN_ERROR)[2]):
        # The strategy ddp_spawn quotes the traceback of the process.
        return LookwhyError(" ".join(found.split()))
    is_lost = isinstance(error, RuntimeError) and any(words in text for words in _LOST_CONNECTION)
    if not (is_lost or isinstance(error, ProcessExitedException)):
        return None
    return LookwhyError(
        "expected all processes of the training to run until its end, found that one ended early; its "
        "own error line, if any, says why; resume with --ckpt_path and the run's checkpoints/last.ckpt"
    )


def write_metrics(run: Path, trainer: pl.Trainer) -> None:
    """Write the last and best values by their W&B names; the file marks the training as finished."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    # Later epochs are left over from an earlier training, if this one resumed from a checkpoint before them.
    summaries = read_summaries(run, last=trainer.current_epoch - 1)
    if summaries:
        analysed = summaries[max(summaries)] | best_values(summaries)
        metrics |= {f"analysis/{name}": value for name, value in analysed.items()}
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    with atomic_path(run / store.METRICS) as partial:
        partial.write_text(json.dumps(finite, indent=2, sort_keys=True) + "\n")


def print_results(run: Path, trainer: pl.Trainer) -> None:
    """Print the validation accuracy, the tables of the last analysed epoch, and the places of the files."""
    console, last = report_console(), trainer.callback_metrics
    if "val/accuracy/overall" in last:
        console.print(
            f"validation accuracy {100 * float(last['val/accuracy/overall']):.2f}%; "
            f"always the most frequent answer: {100 * float(last['val/accuracy_most_frequent_answer']):.2f}%",
            soft_wrap=True,
        )
    places = [f"run folder  {run}"]
    if read_summaries(run):
        folder = [*store.stored_epochs(run).values()][-1]
        result = store.load(folder)
        print_tables(result, console, since_untrained(result, run))
        places.append(f"pictures    {folder / 'figures'}")
        if any((run / "wandb").glob("*run-*")):  # none without a logger, or with WANDB_MODE=disabled
            places.append(f"epochs      wandb leet {run / 'wandb'}")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ImportanceCallback):
            places += [f"missing     {line}" for line in callback.missing_lines()]
    console.print("\n".join(places), soft_wrap=True)
