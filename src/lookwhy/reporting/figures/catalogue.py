"""The list of all figures: their names, what each needs, and how it is drawn.

The command `analyze.py figures`, the pictures in the run folder and W&B all draw from this list.
To add a figure, write its function and add an entry to `FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lookwhy.reporting import reading
from lookwhy.reporting.figures import summary
from lookwhy.reporting.figures.deletion import deletion_curves, has_curves
from lookwhy.reporting.figures.epochs import Runs, agreement_over_epochs
from lookwhy.reporting.figures.glyphs import use_fonts
from lookwhy.reporting.figures.strips import example_strip
from lookwhy.reporting.figures.together import has_both, together
from lookwhy.towers.recipe import read_rgb
from lookwhy.types import AnalysisResult


@dataclass(frozen=True)
class Entry:
    """One kind of figure.

    Attributes:
        name: name of the file and of the image in W&B; the figure of a question adds the question's id.
        needs: "runs" (all epochs of all runs), "analysis" (one of them), or "question" (one analysis, one of
            its questions and its image).
        draw: the function that draws it; its last argument is the width in inches (None: chosen by it).
        each_epoch: whether it is drawn into the run folder and logged to W&B at every epoch.
        has_data: whether the figure's runs, or its analysis, have something to draw; else it is left out. A
            figure that every analysis should have is drawn without data, too, and says why.
    """

    name: str
    needs: Literal["runs", "analysis", "question"]
    draw: Callable[..., Figure]
    each_epoch: bool = True
    has_data: Callable[[Any], bool] = lambda _: True

    def make(self, *arguments: Any) -> Figure:
        """Draw the figure, with fonts for every character."""
        return use_fonts(self.draw(*arguments))


FIGURES = (
    Entry("agreement", "runs", agreement_over_epochs, each_epoch=False),
    Entry("together", "runs", together, each_epoch=False, has_data=has_both),
    Entry("example", "question", example_strip),
    Entry("most_important_words", "analysis", summary.most_important_words),
    Entry("deletion_curves", "analysis", deletion_curves, has_data=has_curves),
    Entry("accuracy_by_type", "analysis", summary.accuracy_by_type),
    Entry("failure_prediction", "analysis", summary.failure_prediction),
    # W&B draws these curves itself, from their tables.
    Entry("failure_curves", "analysis", summary.failure_curves, each_epoch=False),
)
EPOCH_CHARTS = tuple(one.name for one in FIGURES if one.needs == "analysis" and one.each_epoch)
"""Names of the charts that are drawn at every epoch, if the analysis has their data."""


class Drawing(NamedTuple):
    """A figure that `make` draws on demand, because hundreds of figures at once would fill the memory."""

    name: str
    make: Callable[[], Figure]


def charts(result: AnalysisResult, width: float | None = None) -> list[Drawing]:
    """All figures that need one analysis; `width` in inches."""
    return _drawings("analysis", result, width)


def comparisons(runs: Runs, width: float | None = None) -> list[Drawing]:
    """All figures that need all epochs of all runs; `width` in inches."""
    return _drawings("runs", runs, width)


def _drawings(needs: str, data: Any, width: float | None) -> list[Drawing]:
    wanted = [one for one in FIGURES if one.needs == needs and one.has_data(data)]
    return [Drawing(one.name, partial(one.make, data, width)) for one in wanted]


def example_name(question_id: int) -> str:
    """Name of the figure of one question."""
    return f"example_{question_id}"


def examples(
    result: AnalysisResult, questions: Iterable[int], width: float | None = None
) -> tuple[list[Drawing], list[str]]:
    """Figures ("strips") of questions by id, usually of `result.manifest["examples"]`; `width` in inches.

    Returns:
        The figures, and for each question without a figure the path of its missing image (or its id).
    """
    records, found, missing = reading.questions(result), [], []
    for question in dict.fromkeys(questions):
        path = reading.image_path(result, records[question][0]) if question in records else ""
        if path and Path(path).is_file():
            found.append(Drawing(example_name(question), partial(_strip, result, question, path, width)))
        else:
            missing.append(path or f"question {question}")
    return found, missing


def _strip(result: AnalysisResult, question: int, path: str, width: float | None) -> Figure:
    # The network reads images with the same function, so maps and picture agree for rotated photographs.
    return example_strip(result, question, np.array(read_rgb(Path(path))), width)
