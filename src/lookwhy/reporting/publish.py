"""Publish one analysis: pictures into the run's folder, everything to W&B where a run is given."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from lookwhy import store
from lookwhy.data.recipe import read_rgb
from lookwhy.reporting import reading
from lookwhy.reporting.figures import summary as figures
from lookwhy.types import AnalysisResult, LookwhyError

_log = logging.getLogger(__name__)

_CHARTS = ("most_important_words", "failure_prediction", "accuracy_by_type")


def figures_folder(run_folder: Path, epoch: int) -> Path:
    """Where the pictures of one epoch lie inside a run's folder."""
    return store.epoch_folder(run_folder, epoch) / "figures"


def publish(result: AnalysisResult, run_folder: Path, epoch: int, experiment: Any | None) -> list[Path]:
    """Draw the pictures of one analysis into the run's folder, and log it to W&B.

    To be called after `lookwhy.store.save`, which replaces the folder of the epoch as a whole.

    Args:
        result: the analysis.
        run_folder: of the training run.
        epoch: of the analysis.
        experiment: a W&B run, or None to leave W&B out.

    Returns:
        The pictures written.
    """
    folder = figures_folder(run_folder, epoch)
    drawn: dict[str, Path] = {}
    records, missing = reading.questions(result), []
    bar = tqdm(
        [*result.manifest.get("examples", ()), *_CHARTS],
        "drawing pictures",
        unit="picture",
        leave=False,
        disable=None,
    )
    for wanted in bar:
        if wanted in _CHARTS:
            drawn[wanted] = figures.save_figure(getattr(figures, wanted)(result), folder / f"{wanted}.png")
            continue
        rows = records.get(wanted)
        image = read_image(reading.image_path(result, rows[0])) if rows else None
        if image is None:
            missing.append(reading.image_path(result, rows[0]) if rows else str(wanted))
        else:
            name = f"example_{wanted}"
            strip = figures.example_strip(result, wanted, image)
            drawn[name] = figures.save_figure(strip, folder / f"{name}.png")
    if missing:
        _log.warning("no picture of %d examples, their images cannot be read: %s", len(missing), missing[0])
    if experiment is not None:
        # Only here: wandb takes a second to import, and nobody else needs it.
        from lookwhy.reporting.wandb import log as to_wandb

        to_wandb.publish(result, {}, experiment, epoch, pictures=drawn, run_folder=run_folder)
    return list(drawn.values())


def read_image(path: str) -> UInt8[np.ndarray, "H W 3"] | None:
    """Pixels of an image file, RGB 0-255; None where it cannot be read."""
    try:
        # The same reading as the network's: a photograph on its side would not lie under its maps.
        return np.array(read_rgb(Path(path)))
    except LookwhyError:
        return None
