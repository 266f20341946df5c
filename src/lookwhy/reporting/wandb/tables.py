"""The table of questions of an analysis, which W&B can filter and join with those of other runs."""

from __future__ import annotations

from typing import Any

import wandb

from lookwhy.reporting import reading
from lookwhy.types import AnalysisResult

KEYS = ("run", "epoch", "question_id")
"""Columns that identify a row in the tables of several runs and epochs."""

_ASKED = ("question", "question_type", "answer_type", "ground_truth", "predicted", "confidence", "accuracy")


def questions_table(result: AnalysisResult, run: str, epoch: int) -> Any:
    """Make a table with one row a question: question, answers, and the finding of each method.

    Args:
        result: analysis to show.
        run: name of the run, repeated in every row.
        epoch: epoch of the analysis, repeated in every row.
    """
    image, words = reading.image_methods(result), reading.question_methods(result)
    columns: list[str | int] = [*KEYS, *_ASKED]
    columns += [f"{column}/{method}" for method in image for column in ("rho", "flips")]
    columns += [f"{column}/{method}" for method in words for column in ("top_word", "top_tag", "flips_words")]
    table = wandb.Table(columns=columns, allow_mixed_types=True)
    for question_id, rows in reading.questions(result).items():
        row = [run, epoch, question_id, *(_plain(rows[0][column]) for column in _ASKED)]
        for method in image:
            found = reading.of_method(rows, "image", method)
            row += [_plain(found.get("rho")), _plain(found.get("flips"))]
        for method in words:
            found = reading.of_method(rows, "question", method)
            row += [_plain(found.get(column)) for column in ("top_word", "top_tag", "flips")]
        table.add_data(*row)
    return table


def _plain(value: Any) -> Any:
    return value if reading.known(value) else None
