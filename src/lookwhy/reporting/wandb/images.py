"""Pictures of an analysis as W&B images with captions; example strips have frames of one size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import wandb
from PIL import Image

from lookwhy.reporting import reading, style
from lookwhy.reporting.figures import catalogue
from lookwhy.types import AnalysisResult

MOST_IMAGES = 108
"""Largest number of images that W&B shows and keeps under one key and step."""


def figure_images(pictures: Mapping[str, Path], epoch: int) -> dict[str, wandb.Image]:
    """The charts of an epoch by name.

    Args:
        pictures: image files by the names of `lookwhy.reporting.figures.catalogue`.
        epoch: epoch for the captions.
    """
    return {
        name: wandb.Image(str(pictures[name]), caption=style.epoch_name(epoch))
        for name in catalogue.EPOCH_CHARTS
        if name in pictures
    }


def caption(records: list[reading.Record], epoch: int) -> str:
    """Text under an example: epoch, question, answer, true answer, agreement by method."""
    first = records[0]
    parts = [style.epoch_name(epoch), first["question"], f"answered {first['predicted']}"]
    if first["ground_truth"]:
        parts.append(f"true answer {first['ground_truth']}")
    parts += [
        f"ρ {style.method_name(record['method'])} {record['rho']:.2f}"
        for record in records
        if reading.known(record["rho"])
    ]
    return " · ".join(parts)


def example_images(result: AnalysisResult, pictures: Mapping[str, Path], epoch: int) -> list[wandb.Image]:
    """The strips of the example questions, which are the same questions at every epoch."""
    records = reading.questions(result)
    found = [
        (pictures[name], caption(records[question], epoch))
        for question in result.manifest.get("examples", ())
        if question in records and (name := catalogue.example_name(question)) in pictures
    ][:MOST_IMAGES]
    # W&B shows the images of one key in frames of one size, and cuts off what does not fit.
    sizes = [_size(path) for path, _ in found]
    frame = (max((w for w, _ in sizes), default=0), max((h for _, h in sizes), default=0))
    return [wandb.Image(_framed(path, frame), caption=text) for path, text in found]


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def _framed(path: Path, frame: tuple[int, int]) -> Image.Image | str:
    """The picture on a ground of the frame's size; a file of that size is not encoded again."""
    with Image.open(path) as picture:
        if picture.size == frame:
            return str(path)
        canvas = Image.new("RGB", frame, style.PAPER)
        canvas.paste(picture.convert("RGB"), (0, 0))
        return canvas
