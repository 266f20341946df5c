"""The tables of Goyal et al. 2016 beside the paper's own numbers, as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lookwhy.files import atomic_path
from lookwhy.reporting import numbers, reading, selective, style
from lookwhy.reporting.numbers import NOTHING, number
from lookwhy.store import UNTRAINED
from lookwhy.types import AnalysisResult

PAPER_FIGURE = "wh-words first, then adjectives and nouns"
"""Finding of Figure 3, section 4.2."""
ORIGINAL_ACCURACY = "58.16 open-ended and 63.09 multiple choice, on test-standard"
SAN_NOTE = (
    "The paper quotes its number for a SAN (Yang et al. 2015); the authors of VQA-HAT published about +0.25 "
    "for such a model (Das et al. 2016)."
)
COLUMNS = ("Rank correlation", "n (undefined)", "Other question", "Other image", "Question-specific")
"""Columns of Table 1 that all reports have."""
CHOICES = {
    "three channels of a pixel's gradient to one number": "GuidedBackprop.channels",
    "224 x 224 pixels to 16 x 16 cells": "GuidedBackprop.pool",
    "annotator maps of any size to 16 x 16": "plan.resize",
    "absolute value of a signed occlusion map": "plan.compared",
    "ties in the ranking": "plan.ties",
    "maps that are constant": "plan.constant_maps",
    "several annotators of one question": "both are reported: each map's correlation, and that of their mean",
    "agreement between annotators": "both are reported: against each other, and against the others' mean",
    "cells along each side": "plan.grid",
    "colour of the patch": "Occlusion.patch_rgb",
    "taking a word away": "WordDrop.unknown",
    "importance of a word from its embedding's gradient": "WordGradient.norm",
    "probability or logit": "explains",
    "tags that are told apart": "plan.frequent_tags",
    "punctuation marks as words": "plan.punctuation",
    "when is an answer a success": "plan.correct_above",
    "features of the failure predictor": "all are reported: flips, map shapes, both, confidence, all",
    "its evaluation": "plan.folds",
}
"""Choices that the paper leaves open (docs/paper.md): the setting, or the answer where there is none."""


def numbers_of_paper(
    result: AnalysisResult,
    epochs: Mapping[int, AnalysisResult],
    accuracy: Mapping[str, Mapping[str, float]],
    config: Path,
) -> dict[str, Any]:
    """All numbers and settings behind the tables, in plain types.

    Args:
        result: analysis of the trained model.
        epochs: analyses during the training; that of the untrained model is the floor of Table 1.
        accuracy: official accuracies (0..1) of the answers to all validation questions, by task.
        config: config.yaml of the training.
    """
    plan, manifest = result.manifest["plan"], result.manifest
    untrained = epochs.get(UNTRAINED)
    return {
        "summary": result.summary,
        "untrained": untrained.summary if untrained else {},
        "accuracy": {task: dict(found) for task, found in accuracy.items()},
        "paper": {
            "rank_correlation": {name: float(value) for name, value in numbers.PAPER.items()},
            "failure_accuracy": float(numbers.PAPER_FAILURE.rstrip("%")) / 100,
            "most_important": PAPER_FIGURE,
        },
        "choices": {question: _chosen(plan, setting) for question, setting in CHOICES.items()},
        "training": _training(config),
        "plan": plan,
        **{name: manifest[name] for name in ("epoch", "annotators", "data_note", "tagger", "excluded")},
    }


def write_paper(found: Mapping[str, Any], result: AnalysisResult, path: Path) -> None:
    """Write the tables as Markdown, with the pictures in `figures/`, and then the numbers as JSON."""
    with atomic_path(path.with_suffix(".md")) as partial:
        partial.write_text("\n".join(_lines(found, result, path.parent)) + "\n", encoding="utf-8")
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _lines(found: Mapping[str, Any], result: AnalysisResult, folder: Path) -> Iterable[str]:
    yield "# Goyal et al. 2016, measured again\n"
    yield (
        f"{len(result.question_ids)} validation questions with the maps of {found['annotators']}, after "
        f"epoch {found['epoch']} (the first is 0). Brackets: 95% intervals, with the images as clusters. "
        f"{found['data_note']}\n"
    )
    yield f"## Table 1: rank correlation of {reading.compared(result)} with where annotators looked\n"
    yield from _table_one(found, result)
    yield f"\n{numbers.table_note(result)} {SAN_NOTE}\n\n![Agreement by epoch](figures/agreement.png)\n"
    yield "## Figure 3: P(word is the most important | part of speech)\n"
    yield from _figure_three(result)
    yield f"\nThe paper: {PAPER_FIGURE}. {numbers.words_note(result)}\n"
    yield "![Most important words](figures/most_important_words.png)\n"
    yield "## Failure prediction\n"
    yield from _failure(result)
    yield (
        f"\nThe paper: {numbers.PAPER_FAILURE} accuracy (section 4.2), without the majority there, so its "
        "gain is unknown. Cross-validated, no image on both sides. Majority: always the more frequent "
        f"outcome; gain: accuracy above it. {selective.increment_note(result)}\n\n"
        "![Failure prediction](figures/failure_prediction.png)\n"
    )
    yield "## Accuracy in percent\n"
    shares = [(task, name, value) for task, of in found["accuracy"].items() for name, value in of.items()]
    rows = [(style.in_words(t), n, f"{100 * v:.2f}") for t, n, v in shares if "question_type" not in n]
    explained = number(result, "accuracy/overall", "{:.2%}").rstrip("%")
    rows.append(("Open ended", "explained questions", explained))
    yield from _table(("task", "questions", "accuracy"), rows)
    yield f"\nThe model's authors (Lu et al. 2015) report {ORIGINAL_ACCURACY}: other questions.\n"
    for picture in sorted((folder / "figures").glob("example_*.png")):
        yield f"![Example](figures/{picture.name})\n"
    for title, name in (("Choices that the paper leaves open", "choices"), ("Training", "training"),
                        ("Environment", "environment"), ("SHA-256 of the inputs", "inputs")):  # fmt: skip
        yield f"## {title}\n"
        yield from _table(("name", "value"), found[name].items())
        yield ""


def _table_one(found: Mapping[str, Any], result: AnalysisResult) -> Iterable[str]:
    untrained, measured = AnalysisResult(found["untrained"]), numbers.table_rows(result)
    rows = []
    for method in measured:
        cells = numbers.table_cells(result, method)
        shown = [*(cells[name] for name in COLUMNS), numbers.table_cells(untrained, method)[COLUMNS[0]]]
        name = style.method_name(method, result.manifest)
        rows.append([name, *(" ".join(parts) for parts in shown), numbers.PAPER.get(method, NOTHING)])
    if "attention" not in measured:
        rows.append(["Attention of a SAN, not trained here", *[NOTHING] * 6, numbers.PAPER["attention"]])
    return _table(["method", *map(str.lower, COLUMNS), "untrained model", "the paper"], rows)


def _figure_three(result: AnalysisResult) -> Iterable[str]:
    methods = reading.question_methods(result)
    rows = []
    for group in reading.groups(result):
        keys = [f"question/{method}/most_important/{group}" for method in methods]
        cells = [(_with_interval(result, key), _by_place(result, key)) for key in keys]
        shares = [cell for both in cells for cell in both]
        known = next((key for key in keys if key in result.summary), keys[0])
        last = number(result, f"{known}/expected", "{:.1%}"), number(result, f"{known}/n", "{:.0f}")
        rows.append([style.in_words(group), *shares, *last])
    heads = [head for one in methods for head in (style.method_name(one), "by place")]
    return _table(["part of speech", *heads, "by chance", "words"], rows)


def _by_place(result: AnalysisResult, key: str) -> str:
    return number(result, f"{key}/expected_by_place", "{:.1%}")


def _with_interval(result: AnalysisResult, key: str, form: str = "{:.1%}") -> str:
    ends = [number(result, f"{key}/{end}", form) for end in ("ci_low", "ci_high")]
    return number(result, key, form) + ("" if NOTHING in ends else f" [{', '.join(ends)}]")


def _failure(result: AnalysisResult) -> Iterable[str]:
    rows = []
    for name in reading.feature_sets(result):
        keys = {one: f"failure/{name}/{one.key}" for one in selective.FAILURE}
        cells = [_with_interval(result, key, one.form) for one, key in keys.items()]
        rows.append([style.in_words(name), *cells, number(result, f"failure/{name}/n", "{:.0f}")])
    heads = ("the predictor sees", *(one.head for one in selective.FAILURE), "n")
    why = selective.not_measured(result) or "not defined for these questions"
    return _table(heads, rows or [[why, *[NOTHING] * (len(heads) - 1)]])


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        cells = (" ".join(str(cell).split()).replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def _chosen(plan: Mapping[str, Any], setting: str) -> str:
    """The value of a setting in a plan: "plan.grid = 16"."""
    methods = [*plan["image_methods"], *plan["question_methods"]]
    given = {one["class_path"].rpartition(".")[2]: one["init_args"] for one in methods}
    if setting == "explains":
        return ", ".join(
            f"{name}: {values['explains']}" for name, values in given.items() if "explains" in values
        )
    owner, dot, name = setting.partition(".")
    if not dot or " " in owner:
        return setting
    values = plan if owner == "plan" else given.get(owner, {})
    return f"{setting} = {values[name]}" if name in values else f"{owner} is not in the plan"


def _training(config: Path) -> dict[str, Any]:
    """The settings of the training that change its weights, with dots in their names."""
    options = yaml.safe_load(config.read_text(encoding="utf-8"))
    wanted = {
        "seed_everything": None,
        "model": None,
        "data": ("batch_size", "sampling", "steps_per_epoch"),
        "trainer": ("max_epochs", "max_steps", "precision", "devices"),
    }
    found: dict[str, Any] = {}
    for section, names in wanted.items():
        values = options[section]
        kept = {name: values.get(name) for name in names} if names else values
        found |= _flat(section, kept)
    return found


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    return {key: one for inner, part in value.items() for key, one in _flat(f"{name}.{inner}", part).items()}
