"""The end of a training: metrics.json in the run folder, and the closing tables."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytorch_lightning as pl

from lookwhy import store
from lookwhy.files import atomic_path
from lookwhy.reporting.terminal.tables import print_tables, report_console
from lookwhy.reporting.wandb.summary import best_values, read_summaries

METRICS = "metrics.json"
"""File in the run folder of a finished training: the last and best values by their W&B names."""


def write_metrics(run: Path, trainer: pl.Trainer) -> None:
    """Write the last and best values by their W&B names; the file marks the training as finished."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    # Later epochs are left over from an earlier training, if this one resumed from a checkpoint before them.
    summaries = read_summaries(run, last=trainer.current_epoch - 1)
    if summaries:
        analysed = summaries[max(summaries)] | best_values(summaries)
        metrics |= {f"analysis/{name}": value for name, value in analysed.items()}
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    with atomic_path(run / METRICS) as partial:
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
        print_tables(store.load(folder), console)
        places.append(f"pictures    {folder / 'figures'}")
        if any((run / "wandb").glob("*run-*")):  # none without a logger, or with WANDB_MODE=disabled
            places.append(f"epochs      wandb leet {run / 'wandb'}")
    console.print("\n".join(places), soft_wrap=True)
