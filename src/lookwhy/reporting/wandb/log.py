"""The W&B side of an analysis. Only the modules `wandb*` of this folder import wandb.

What keeps the charts readable:

* Lightning ties every metric to its own step, so each metric of an analysis is tied to the epoch under
  its EXACT name: patterns overlap and mix the axes.
* One `log` an epoch carries everything, "epoch" included, and never says `step`: W&B drops what is
  logged for a step that has passed.
* A table is a new one every time, under one key: W&B does not notice that an old one has grown.
* The best values are written into the run's summary, beside the metrics: a metric that W&B itself is told to
  keep the best of loses its last value.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import wandb
from wandb.plot import CustomChart

from lookwhy import store
from lookwhy.reporting import reading
from lookwhy.reporting.wandb import state as wandb_state
from lookwhy.reporting.wandb.charts import CURVES, WORDS, charts
from lookwhy.reporting.wandb.images import FIGURES, Images, example_images, figure_images
from lookwhy.reporting.wandb.summary import best_values, read_summaries
from lookwhy.reporting.wandb.tables import questions_table
from lookwhy.types import AnalysisResult

PREFIX = "analysis/"
EPOCH = "epoch"
ARTIFACT_TYPE = "analysis"

_defined: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def publish(
    result: AnalysisResult,
    images: Images,
    experiment: Any,
    epoch: int,
    pictures: Mapping[str, Path] | None = None,
    run_folder: Path | None = None,
) -> dict[str, Any]:
    """Log one analysis to a W&B run, in one call.

    Args:
        result: the analysis.
        images: where the pictures of the example questions come from.
        experiment: the run, as `wandb.init` or `WandbLogger.experiment` gives it.
        epoch: its place on the axis.
        pictures: PNG files already drawn, by the names that `lookwhy.reporting.publish` gives them;
            what is not there is drawn.
        run_folder: where the epochs are stored that the best values are found in, and what is logged
            already is remembered; without it neither is done.

    Returns:
        What was logged, by key; nothing where this very analysis had been.
    """
    weights = result.manifest.get("weights_sha256")
    if run_folder is not None and wandb_state.is_logged(run_folder, epoch, weights):
        _keep_best(experiment, run_folder, epoch)
        return {}
    drawn, run = pictures or {}, str(experiment.name or experiment.id)
    logged: dict[str, Any] = {**result.summary, **charts(result, run, epoch)}
    logged["questions"] = questions_table(result, run, epoch)
    logged |= {f"figures/{name}": one for name, one in figure_images(result, epoch, drawn).items()}
    examples = example_images(result, images, epoch, drawn)
    if examples:
        logged["examples"] = examples
    logged = {f"{PREFIX}{key}": value for key, value in logged.items()}
    _define(experiment, logged)
    experiment.log({**logged, EPOCH: epoch})
    if run_folder is not None:
        _keep_best(experiment, run_folder, epoch)
        wandb_state.mark_logged(run_folder, epoch, weights)
    return logged


def logged_keys(result: AnalysisResult) -> set[str]:
    """The keys under which `publish` logs an analysis, with the summary's and the tables of the charts."""
    plots = [f"{WORDS}/{method}" for method in reading.question_methods(result) if reading.groups(result)]
    plots += [key for key in result.curves if key.rsplit("/", 1)[-1] in CURVES]
    names = {*result.summary, *best_values({0: result.summary}), *plots, "questions"}
    names |= {f"{plot}_table" for plot in plots} | {f"figures/{name}" for name in FIGURES}
    if result.manifest.get("examples"):
        names.add("examples")
    return {f"{PREFIX}{name}" for name in names} | {EPOCH}


def log_artifact(run_folder: Path, experiment: Any) -> Any | None:
    """Keep the analyses of a run folder, whole, with its W&B run: one artifact, a version each time.

    Files are copied into W&B's staging folder first, so an offline run can be uploaded after the folder has
    changed; a version with the same content as the last one is none for W&B.

    Returns:
        The artifact; None where nothing has been analysed or the run is disabled.
    """
    summaries = read_summaries(run_folder)
    if not summaries or experiment.disabled:
        return None
    artifact = wandb.Artifact(
        f"analysis-{experiment.id}",
        type=ARTIFACT_TYPE,
        description="The analysis folder of the run: manifest, scalars, records, maps and figures by epoch.",
        metadata={"run": experiment.name, "epochs": list(summaries)},
    )
    for folder in store.stored_epochs(run_folder).values():
        # File by file: what a killed process has left half written lies beside these folders.
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            artifact.add_file(str(path), f"{folder.name}/{path.relative_to(folder)}", skip_cache=True)
    return experiment.log_artifact(artifact)


def _keep_best(experiment: Any, run_folder: Path, epoch: int) -> None:
    """From the run folder, not from what this process has seen: a resumed run has a past."""
    best = best_values(read_summaries(run_folder, epoch))
    if best:
        experiment.summary.update({f"{PREFIX}{key}": value for key, value in best.items()})


def _define(experiment: Any, names: Mapping[str, Any]) -> None:
    """Tie each metric to the epoch, once a run; a key may turn up later than at the first epoch."""
    known = _defined.setdefault(experiment, set())
    # W&B itself logs the rows of a custom chart, under the chart's key and this ending.
    tables = [f"{name}_table" for name, value in names.items() if isinstance(value, CustomChart)]
    for name in (*names, *tables):
        if name not in known and "*" not in name:
            experiment.define_metric(name, step_metric=EPOCH)
            known.add(name)
