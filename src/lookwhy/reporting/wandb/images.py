"""The pictures of an analysis as W&B images: example strips in frames of one size, with what they show."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import wandb
from matplotlib.figure import Figure
from PIL import Image

from lookwhy.reporting import reading, style
from lookwhy.reporting.figures import summary as figures
from lookwhy.types import AnalysisResult

MOST_IMAGES = 108
"""W&B shows and keeps no more images under one key and step."""

Images = Callable[[str], np.ndarray] | Mapping[int, np.ndarray]
"""How to get at pictures: a reader of image files, or pixels (H, W, 3) uint8 by question id."""

FIGURES = ("most_important_words", "failure_prediction", "accuracy_by_type")


def figure_images(result: AnalysisResult, epoch: int, drawn: Mapping[str, Path]) -> dict[str, wandb.Image]:
    """The summarising figures, by name; what is not drawn yet is."""
    return {
        name: wandb.Image(
            str(drawn[name]) if name in drawn else _render(getattr(figures, name)(result)),
            caption=style.epoch_name(epoch),
        )
        for name in FIGURES
    }


def caption(rows: list[reading.Record], epoch: int) -> str:
    """What stands under an example: epoch, question, answer, truth, agreement by method."""
    row = rows[0]
    parts = [style.epoch_name(epoch), row["question"], f"answered {row['predicted']}"]
    if row["ground_truth"]:
        parts.append(f"true answer {row['ground_truth']}")
    parts += [
        f"ρ {style.method_name(record['method'])} {record['rho']:.2f}"
        for record in rows
        if reading.known(record["rho"])
    ]
    return " · ".join(parts)


def example_images(
    result: AnalysisResult, images: Images, epoch: int, drawn: Mapping[str, Path]
) -> list[wandb.Image]:
    """The strips of the example questions, the same questions at every epoch, with captions."""
    found: list[tuple[Image.Image | Path, str]] = []
    records = reading.questions(result)
    for question_id in result.manifest.get("examples", ()):
        rows = records.get(question_id)
        if not rows or len(found) == MOST_IMAGES:
            continue
        picture: Image.Image | Path | None = drawn.get(f"example_{question_id}")
        if picture is None:
            pixels = _pixels(images, question_id, reading.image_path(result, rows[0]))
            if pixels is None:
                continue
            picture = _render(figures.example_strip(result, question_id, pixels))
        found.append((picture, caption(rows, epoch)))
    # W&B shows the images of one key in frames of one size, and cuts what does not fit.
    sizes = [_size(picture) for picture, _ in found]
    frame = (max((width for width, _ in sizes), default=0), max((height for _, height in sizes), default=0))
    return [
        wandb.Image(_framed(picture, size, frame), caption=words)
        for (picture, words), size in zip(found, sizes, strict=True)
    ]


def _size(picture: Image.Image | Path) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.size
    with Image.open(picture) as opened:
        return opened.size


def _framed(picture: Image.Image | Path, size: tuple[int, int], frame: tuple[int, int]) -> Image.Image | str:
    """The picture at the frame's size; a file that has it already is taken as it is, not encoded again."""
    if size == frame and isinstance(picture, Path):
        return str(picture)
    canvas = Image.new("RGB", frame, style.PAPER)
    canvas.paste(picture if isinstance(picture, Image.Image) else _read(picture), (0, 0))
    return canvas


def _pixels(images: Images, question_id: int, path: str) -> np.ndarray | None:
    if isinstance(images, Mapping):
        return images.get(question_id)
    return images(path) if path else None


def _render(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figures.write(figure, buffer, "png")
    # A figure made without pyplot is registered nowhere: cleared, it goes with its last reference.
    figure.clear()
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def _read(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")
