"""Logs analyses to a W&B run. Only modules of this folder import wandb.

Five rules keep the charts readable:

* Lightning ties every metric to its own step, so each metric of an analysis is tied to the epoch under its
  EXACT name: overlapping patterns would mix the axes.
* One `log` call an epoch carries its scalars and pictures, with "epoch", and never names a `step`: W&B drops
  values for a step that has passed.
* Ends of intervals, counts, levels of chance, means over images, paired differences and the measures of
  selective prediction are logged, but hidden: W&B would draw a panel for each.
* Tables, which a chart reads only from the last epoch, are logged once, at the end of the training. A killed
  run has them in its folder, and the training that resumes it logs them.
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
from lookwhy.keys import parse
from lookwhy.reporting.figures import catalogue
from lookwhy.reporting.wandb import state
from lookwhy.reporting.wandb.media import charts, example_images, figure_images, questions_table
from lookwhy.reporting.wandb.summary import BestValues, best_values, read_summaries
from lookwhy.types import AnalysisResult

PREFIX, EPOCH = "analysis/", "epoch"

_defined: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
_last_epoch: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_best: WeakKeyDictionary[Any, BestValues] = WeakKeyDictionary()


def publish(
    result: AnalysisResult, experiment: Any, epoch: int, pictures: Mapping[str, Path], run_folder: Path
) -> dict[str, Any]:
    """Log the scalars and pictures of one analysis to a W&B run, in one call.

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
    # Also of epochs before the run was resumed, and of an analysis that is logged already. The stored epochs
    # are read once: at each epoch, time and memory would grow with their number.
    if experiment not in _best:
        _best[experiment] = BestValues()
        for stored, summary in read_summaries(run_folder, epoch - 1).items():
            _best[experiment].add(stored, summary)
    _best[experiment].add(epoch, result.summary)
    if best := _best[experiment].scalars():
        experiment.summary.update({f"{PREFIX}{key}": value for key, value in best.items()})
    weights = result.manifest.get("weights_sha256")
    _last_epoch[experiment] = epoch
    if state.is_logged(run_folder, epoch, weights):
        return {}
    logged: dict[str, Any] = dict(result.summary)
    logged |= {f"figures/{name}": one for name, one in figure_images(pictures, epoch).items()}
    if examples := example_images(result, pictures, epoch):
        logged["examples"] = examples
    logged = _log(experiment, logged, epoch)
    state.mark_logged(run_folder, epoch, weights)
    return logged


def _log(experiment: Any, values: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    logged = {f"{PREFIX}{key}": value for key, value in values.items()}
    _define(experiment, logged)
    experiment.log({**logged, EPOCH: epoch})
    return logged


def logged_keys(result: AnalysisResult) -> set[str]:
    """Keys under which a run logs an analysis, with those of the run summary and of chart tables."""
    plots = charts(result, "", 0)
    drawn = [one.name for one in catalogue.charts(result) if one.name in catalogue.EPOCH_CHARTS]
    names = {*result.summary, *best_values({0: result.summary}), *plots, "questions"}
    names |= {f"{plot}_table" for plot in plots} | {f"figures/{name}" for name in drawn}
    if result.manifest.get("examples"):
        names.add("examples")
    return {f"{PREFIX}{name}" for name in names} | {EPOCH}


def finish(run_folder: Path, experiment: Any) -> Any | None:
    """Log what a W&B run holds once, at the end of its training: tables of the last epoch, and the artifact.

    Returns:
        The artifact; None if nothing has been analysed or the run is disabled.
    """
    summaries = read_summaries(run_folder)
    if not summaries or experiment.disabled:
        return None
    # A run that was resumed from an earlier checkpoint has later epochs in its folder.
    epoch = _last_epoch.get(experiment, max(summaries))
    result, run = store.load(store.epoch_folder(run_folder, epoch)), str(experiment.name or experiment.id)
    _log(experiment, {**charts(result, run, epoch), "questions": questions_table(result, run, epoch)}, epoch)
    return _log_artifact(run_folder, experiment, list(summaries))


def _log_artifact(run_folder: Path, experiment: Any, epochs: list[int]) -> Any:
    """Log the analyses of a run folder, complete, as one artifact of its W&B run; each call logs a version.

    W&B copies the files into its staging folder first, so an offline run can be uploaded after the folder
    has changed. W&B ignores a version with the same content as the last one.
    """
    artifact = wandb.Artifact(
        f"analysis-{experiment.id}",
        type="analysis",
        description="The analysis folder of the run: manifest, scalars, records, maps and figures by epoch.",
        metadata={"run": experiment.name, "epochs": epochs},
    )
    for folder in store.stored_epochs(run_folder).values():
        # File by file, because partial folders of a killed process lie beside these folders.
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            artifact.add_file(str(path), f"{folder.name}/{path.relative_to(folder)}", skip_cache=True)
    return experiment.log_artifact(artifact)


def _define(experiment: Any, names: Mapping[str, Any]) -> None:
    """Make the epoch the x axis of each metric, once a run; a metric may first appear at a later epoch.

    Further values of a measurement get no panel of their own.
    """
    known = _defined.setdefault(experiment, set())
    # W&B logs the rows of a custom chart under the chart's key with this ending.
    tables = [f"{name}_table" for name, value in names.items() if isinstance(value, CustomChart)]
    for name in (*names, *tables):
        if name not in known and "*" not in name:
            row, field = parse(name.removeprefix(PREFIX))
            hidden = field != "value" or row.measure == "n" or row.domain in ("paired", "selective")
            hidden |= row.measure.endswith(("/macro", "_other_question"))
            experiment.define_metric(name, step_metric=EPOCH, hidden=hidden or None)
            known.add(name)
