"""Logs analyses to a W&B run. Only modules of this folder import wandb.

Four rules keep the charts readable:

* Lightning ties every metric to its own step, so each metric of an analysis is tied to the epoch under its
  EXACT name: overlapping patterns would mix the axes.
* One `log` call an epoch carries everything, with "epoch", and never names a `step`: W&B drops values for a
  step that has passed.
* Every epoch logs a new table under the same key: W&B does not notice that an old table has grown.
* The best values are written into the run's summary beside the metrics: a metric for which W&B itself keeps
  the best value loses its last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import wandb
from wandb.plot import CustomChart

from lookwhy import store
from lookwhy.reporting.figures.catalogue import EPOCH_CHARTS
from lookwhy.reporting.wandb import state
from lookwhy.reporting.wandb.media import charts, example_images, figure_images, questions_table
from lookwhy.reporting.wandb.summary import best_values, read_summaries
from lookwhy.types import AnalysisResult

PREFIX, EPOCH = "analysis/", "epoch"

_defined: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def publish(
    result: AnalysisResult, experiment: Any, epoch: int, pictures: Mapping[str, Path], run_folder: Path
) -> dict[str, Any]:
    """Log one analysis to a W&B run, in one call.

    Args:
        result: analysis to log.
        experiment: W&B run, as `wandb.init` or `WandbLogger.experiment` returns it.
        epoch: epoch of the analysis, its position on the x axis.
        pictures: PNG files by the names of `lookwhy.reporting.figures.catalogue`.
        run_folder: run folder; the best values are read from its stored epochs, and a file in it records
            which epochs are logged.

    Returns:
        Everything logged, by key; empty if the analysis has been logged before.
    """
    # Also of epochs before the run was resumed, and of an analysis that is logged already.
    if best := best_values(read_summaries(run_folder, epoch)):
        experiment.summary.update({f"{PREFIX}{key}": value for key, value in best.items()})
    weights = result.manifest.get("weights_sha256")
    if state.is_logged(run_folder, epoch, weights):
        return {}
    run = str(experiment.name or experiment.id)
    logged: dict[str, Any] = {**result.summary, **charts(result, run, epoch)}
    logged["questions"] = questions_table(result, run, epoch)
    logged |= {f"figures/{name}": one for name, one in figure_images(pictures, epoch).items()}
    if examples := example_images(result, pictures, epoch):
        logged["examples"] = examples
    logged = {f"{PREFIX}{key}": value for key, value in logged.items()}
    _define(experiment, logged)
    experiment.log({**logged, EPOCH: epoch})
    state.mark_logged(run_folder, epoch, weights)
    return logged


def logged_keys(result: AnalysisResult) -> set[str]:
    """Keys under which `publish` logs an analysis, with those of the run summary and of chart tables."""
    plots = charts(result, "", 0)
    names = {*result.summary, *best_values({0: result.summary}), *plots, "questions"}
    names |= {f"{plot}_table" for plot in plots} | {f"figures/{name}" for name in EPOCH_CHARTS}
    if result.manifest.get("examples"):
        names.add("examples")
    return {f"{PREFIX}{name}" for name in names} | {EPOCH}


def log_artifact(run_folder: Path, experiment: Any) -> Any | None:
    """Log the analyses of a run folder, complete, as one artifact of its W&B run; each call logs a version.

    W&B copies the files into its staging folder first, so an offline run can be uploaded after the folder
    has changed. W&B ignores a version with the same content as the last one.

    Returns:
        The artifact; None if nothing has been analysed or the run is disabled.
    """
    summaries = read_summaries(run_folder)
    if not summaries or experiment.disabled:
        return None
    artifact = wandb.Artifact(
        f"analysis-{experiment.id}",
        type="analysis",
        description="The analysis folder of the run: manifest, scalars, records, maps and figures by epoch.",
        metadata={"run": experiment.name, "epochs": list(summaries)},
    )
    for folder in store.stored_epochs(run_folder).values():
        # File by file, because partial folders of a killed process lie beside these folders.
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            artifact.add_file(str(path), f"{folder.name}/{path.relative_to(folder)}", skip_cache=True)
    return experiment.log_artifact(artifact)


def _define(experiment: Any, names: Mapping[str, Any]) -> None:
    """Make the epoch the x axis of each metric, once a run; a metric may first appear at a later epoch."""
    known = _defined.setdefault(experiment, set())
    # W&B logs the rows of a custom chart under the chart's key with this ending.
    tables = [f"{name}_table" for name, value in names.items() if isinstance(value, CustomChart)]
    for name in (*names, *tables):
        if name not in known and "*" not in name:
            experiment.define_metric(name, step_metric=EPOCH)
            known.add(name)
