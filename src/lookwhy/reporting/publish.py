"""Publishes one analysis: draws pictures into the run folder, and logs everything if there is a W&B run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lookwhy import store
from lookwhy.errors import LookwhyError, printable
from lookwhy.progress import progress
from lookwhy.reporting.figures import catalogue
from lookwhy.reporting.figures.chart import save_figure
from lookwhy.types import AnalysisResult

_log = logging.getLogger(__name__)


def publish(result: AnalysisResult, run_folder: Path, epoch: int, experiment: Any | None) -> list[Path]:
    """Draw the pictures of one analysis into the run folder, and log the analysis to W&B.

    Call it after `lookwhy.store.save`, which replaces the folder of the epoch. `experiment` is the W&B run;
    None logs nothing. Returns the paths of the pictures.
    """
    folder = store.epoch_folder(run_folder, epoch) / "figures"
    # A plan without methods explains nothing, so its examples have nothing to show.
    shown = result.manifest.get("examples", ()) if result.records else ()
    strips, missing = catalogue.examples(result, shown)
    charts = [one for one in catalogue.charts(result) if one.name in catalogue.EPOCH_CHARTS]
    drawn: dict[str, Path] = {}
    for drawing in progress([*strips, *charts], "drawing pictures", unit="picture", leave=False):
        try:
            drawn[drawing.name] = save_figure(drawing.make(), folder / f"{drawing.name}.png")
        except LookwhyError as error:
            missing.append(str(error))
    if missing:
        _log.warning(
            "no picture of %d examples, their images cannot be read: %s", len(missing), printable(missing[0])
        )
    if experiment is not None:
        # Imported here, because wandb takes a second to import.
        from lookwhy.reporting.wandb import log

        log.publish(result, experiment, epoch, drawn, run_folder)
    return list(drawn.values())
