"""Tables, charts and images of an analysis in the types of W&B.

W&B draws a chart from the newest table that each run has logged under its key. Therefore key and title are
the same at every epoch and in every run, and each row names its run and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from PIL import Image
from wandb.plot import CustomChart

from lookwhy.keys import parse
from lookwhy.reporting import measures, reading, sanity, style
from lookwhy.reporting.figures import catalogue
from lookwhy.types import AnalysisResult

CURVES = {
    "roc": ("ROC", "false positive rate", "true positive rate"),
    "risk_coverage": ("Risk by coverage", "coverage", "risk"),
    "calibration": ("Calibration", "predicted probability of being right", "share of right answers"),
}
"""Title and axes of each curve, by its name in the key."""

LINE, PROBABILITY = "method, run", "probability of the answer"
DELETION = {
    f"{kind}_{fill}": (f"{style.in_words(kind)}, {name}", f"share of the cells {done}")
    for fill, name in measures.FILLS.items()
    for kind, done in (("deletion", "removed"), ("insertion", "shown"))
} | {
    "words_deletion": ("Deletion of words", "share of the words removed"),
    "words_insertion": ("Insertion of words", "share of the words shown"),
}
"""Title and horizontal axis of the charts of deletion and insertion, by name."""

MOST_POINTS = 50
"""Points of a curve that are logged: W&B checks every cell of a table, and a panel has few pixels."""

MOST_IMAGES = 108
"""Largest number of images that W&B shows and keeps under one key and step."""

WORDS = "most_important_words"
GROUP, SHARE, CHANCE = "part of speech", "P(most important)", "by chance"

_ASKED = ("question", "question_type", "answer_type", "ground_truth", "predicted", "confidence", "accuracy")


def questions_table(result: AnalysisResult, run: str, epoch: int) -> wandb.Table:
    """A table with one row a question: question, answers, and the finding of each method.

    W&B can join the tables of several runs and epochs by the first three columns.
    """
    image, words = reading.image_methods(result), reading.question_methods(result)
    columns: list[str | int] = ["run", "epoch", "question_id", *_ASKED]
    columns += [f"{column}/{method}" for method in image for column in ("rho", "flips")]
    columns += [f"{column}/{method}" for method in words for column in ("top_word", "top_tag", "flips_words")]
    table = wandb.Table(columns=columns, allow_mixed_types=True)
    for question_id, rows in reading.questions(result).items():
        row = [rows[0][column] for column in _ASKED]
        for domain, methods, found in (
            ("image", image, ("rho", "flips")),
            ("question", words, ("top_word", "top_tag", "flips")),
        ):
            for method in methods:
                record = reading.of_method(rows, domain, method)
                row += [record.get(column) for column in found]
        # A number stays a number, as in the tables of earlier runs, with which W&B can join this one.
        name = rows[0].get("question_id_text") or question_id
        table.add_data(run, epoch, name, *(cell if reading.known(cell) else None for cell in row))
    return table


def charts(result: AnalysisResult, run: str, epoch: int) -> dict[str, CustomChart]:
    """Charts that overlay the runs of a dashboard, by key: parts of speech, and all curves."""
    found = {
        f"{WORDS}/{method}": _words_chart(result, method, run, epoch)
        for method in reading.question_methods(result)
        if reading.groups(result)
    }
    for key, curve in result.curves.items():
        row, _ = parse(key)
        if row.domain != "failure" or row.measure not in CURVES:
            continue
        title, x, y = CURVES[row.measure]
        points = list(zip(curve["x"], curve["y"], curve.get("n", [None] * len(curve["x"])), strict=True))
        # Thinned evenly; both ends stay.
        places = np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int)
        rows = [[run, epoch, *points[place]] for place in places.tolist()]
        table = wandb.Table(columns=["run", "epoch", x, y, "questions"], data=rows)
        title = f"{title}: {style.in_words(row.method).lower()}"
        found[key] = wandb.plot.line(table, x, y, stroke="run", title=title)
    return found | _deletion_charts(result, run, epoch)


def deletion_names(result: AnalysisResult) -> list[str]:
    """Names of the charts of deletion and insertion that an analysis has, those of the words last."""
    names = [*reading.deletion_curves(result, "image")]
    names += [f"words_{name}" for name in reading.deletion_curves(result, "question")]
    return [name for name in DELETION if name in names]


def _deletion_charts(result: AnalysisResult, run: str, epoch: int) -> dict[str, CustomChart]:
    """A chart of each kind of deletion and insertion: a line for each method of each run.

    The key of a curve is that of its area, a scalar, so the charts have keys of their own.
    """
    curves = dict(reading.deletion_curves(result, "image"))
    curves |= {f"words_{name}": one for name, one in reading.deletion_curves(result, "question").items()}
    found = {}
    for name in deletion_names(result):
        title, x = DELETION[name]
        rows = [
            [run, epoch, style.method_name(method), f"{style.method_name(method)}, {run}", *point]
            for method, curve in curves[name].items()
            for point in zip(curve["x"], curve["y"], strict=True)
        ]
        table = wandb.Table(columns=["run", "epoch", "method", LINE, x, PROBABILITY], data=rows)
        found[f"curves/{name}"] = wandb.plot.line(table, x, PROBABILITY, stroke=LINE, title=title)
    return found


def _words_chart(result: AnalysisResult, method: str, run: str, epoch: int) -> CustomChart:
    table = wandb.Table(columns=["run", "epoch", GROUP, SHARE, CHANCE, "words"])
    rows = {row.group: row for row in reading.words(result) if row.method == method}
    for row in (rows[group] for group in reading.groups(result) if group in rows):
        table.add_data(run, epoch, style.in_words(row.group), row.value, row.expected, row.n)
    title = f"{SHARE} by part of speech, {style.method_name(method).lower()}"
    return wandb.plot.bar(table, GROUP, SHARE, title=title)


def figure_images(pictures: Mapping[str, Path], epoch: int) -> dict[str, wandb.Image]:
    """The charts of an epoch by name; `pictures` holds PNG files by the names of the catalogue."""
    return {
        name: wandb.Image(str(pictures[name]), caption=style.epoch_name(epoch))
        for name in catalogue.EPOCH_CHARTS
        if name in pictures
    }


def example_images(result: AnalysisResult, pictures: Mapping[str, Path], epoch: int) -> list[wandb.Image]:
    """Figures of the example questions, which are the same questions at every epoch."""
    records = reading.questions(result)
    found = [
        (pictures[name], _caption(records[question], epoch, result))
        for question in result.manifest.get("examples", ())
        if question in records and (name := catalogue.example_name(question)) in pictures
    ][:MOST_IMAGES]
    # W&B shows the images of one key in frames of one size, and cuts off what does not fit.
    sizes = [_size(path) for path, _ in found]
    frame = (max((w for w, _ in sizes), default=0), max((h for _, h in sizes), default=0))
    return [wandb.Image(_framed(path, frame), caption=text) for path, text in found]


def _caption(records: list[reading.Record], epoch: int, result: AnalysisResult) -> str:
    first = records[0]
    parts = [style.epoch_name(epoch), first["question"], f"answered {first['predicted']}"]
    if first["ground_truth"]:
        parts.append(f"true answer {first['ground_truth']}")
    found = [
        f"{style.method_name(one['method'])} {one['rho']:.2f}" for one in records if reading.known(one["rho"])
    ]
    if found:
        parts.append(f"ρ of {reading.compared(result)}: {', '.join(found)}")
    if lights := sanity.by_light(result):
        parts.append(f"sanity card: {'; '.join(lights)}")
    return " · ".join(parts)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def _framed(path: Path, frame: tuple[int, int]) -> Any:
    """The picture on a blank canvas of the frame's size; the path itself if the file has that size."""
    with Image.open(path) as picture:
        if picture.size == frame:
            return str(path)
        canvas = Image.new("RGB", frame, style.PAPER)
        canvas.paste(picture.convert("RGB"), (0, 0))
        return canvas
