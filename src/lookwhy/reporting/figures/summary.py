"""Charts of an analysis: pure functions from results to figures.

Everything drawn is read from the results. What is undefined there is left out, or said to be undefined.
Each takes the width of the figure in inches, as print wants it; without one it has the width that suits it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lookwhy.reporting import reading, style
from lookwhy.reporting.figures.chart import (
    epoch_and_note,
    figure_legend,
    footer,
    legend_above,
    narrow,
    new_figure,
    save_figure,
    title,
    undefined,
    write,
)
from lookwhy.reporting.figures.epochs import agreement_over_epochs
from lookwhy.reporting.figures.failure_curves import failure_curves
from lookwhy.reporting.figures.sheet import shorten, wrap
from lookwhy.reporting.figures.strips import example_strip, explanation_figure
from lookwhy.types import AnalysisResult

__all__ = [
    "accuracy_by_type",
    "agreement_over_epochs",
    "example_strip",
    "explanation_figure",
    "failure_curves",
    "failure_prediction",
    "most_important_words",
    "save_figure",
    "write",
]

_MOST_TYPES = 20
_GROUP = 0.75
"""Inches that a part of speech needs under upright bars."""


def most_important_words(result: AnalysisResult, width: float | None = None) -> Figure:
    """P(word is the most important of its question | its part of speech) (the paper's Figure 3).

    Args:
        result: the analysis.
        width: in inches; where it has no room for upright bars, they lie.
    """
    groups, methods = reading.groups(result), reading.question_methods(result)
    upright = width is None or (width - 1.0) / max(len(groups), 1) >= _GROUP
    height = 3.9 if upright else 1.9 + (0.16 + 0.12 * len(methods)) * len(groups)
    figure = new_figure(width or max(6.6, 1.4 + 0.72 * len(groups)), height)
    axes = figure.subplots()
    what = "Which words count: the most important word of each question"
    if not groups:
        title(figure, what)
        return undefined(figure, "no part of speech has a value in this analysis")
    _word_bars(axes, result, groups, methods, upright)
    break_, crowded = ("\n", len(groups) > 9) if upright else (", ", False)
    labels = [f"{style.group_name(group)}{break_}{_count_label(result, methods, group)}" for group in groups]
    measured = (
        "P(most important |\npart of speech)" if narrow(figure) else "P(most important | part of speech)"
    )
    if upright:
        axes.set_xticks(
            range(len(groups)), labels, rotation=40 if crowded else 0, ha="right" if crowded else "center"
        )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel(measured, size=style.TEXT, color=style.INK)
    else:
        axes.set_yticks(range(len(groups)), labels)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4 if narrow(figure) else 6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(measured, size=style.TEXT, color=style.INK)
    style.tidy(axes, grid="y" if upright else "x")
    tagger = result.manifest.get("tagger")
    epoch, note = epoch_and_note(result)
    how = "n: words. Thin lines: 95% intervals. Most frequent part of speech first."
    footer(figure, f"{epoch}{how} Tagged by {tagger}.", [note])
    _legends(figure, [axes], len(methods) + 1, what)
    return figure


def _legends(figure: Figure, panels: Sequence[Axes], columns: int, what: str) -> None:
    """Each above its axes, where there is room; else one for the whole figure."""
    if not narrow(figure):
        title(figure, what)
        for axes in panels:
            legend_above(axes, columns)
        return
    drawn = [axes.get_legend_handles_labels() for axes in panels]
    handles = {label: handle for found in drawn for handle, label in zip(*found, strict=True)}
    figure_legend(figure, list(handles.values()), list(handles), columns, what)


def _word_bars(
    axes: Axes, result: AnalysisResult, groups: Sequence[str], methods: Sequence[str], upright: bool
) -> None:
    """A bar for each method at each group, its interval, and what chance would give."""
    bar, along, across = (
        (axes.bar, axes.vlines, axes.hlines) if upright else (axes.barh, axes.hlines, axes.vlines)
    )
    colours = style.method_colours(list(methods))
    thick = 0.8 / max(len(methods), 1)
    for number, method in enumerate(methods):
        at = np.arange(len(groups)) + (number - (len(methods) - 1) / 2) * thick
        values, low, high, chance = (
            [result.summary.get(f"question/{method}/most_important/{group}{end}", np.nan) for group in groups]
            for end in ("", "/ci_low", "/ci_high", "/expected")
        )
        bar(at, values, thick * 0.92, color=colours[method], label=style.method_name(method))
        along(at, low, high, style.INK, linewidth=0.9, alpha=0.75)
        label = "By chance" if number == len(methods) - 1 else "_"
        across(chance, at - thick * 0.46, at + thick * 0.46, style.INK, linewidth=1.6, label=label)


def failure_prediction(result: AnalysisResult, width: float | None = None) -> Figure:
    """How well right and wrong answers are told apart, by what the predictor sees of a question.

    Args:
        result: the analysis.
        width: in inches; in one column the two measures are stacked.
    """
    names = reading.feature_sets(result)
    bars = 0.34 * max(len(names), 2)
    figure = new_figure(width or 7.0, 1.8 + bars)
    if narrow(figure):
        figure.set_figheight(3.2 + 2 * bars)
    shape = (2, 1) if narrow(figure) else (1, 2)
    left, right = figure.subplots(*shape, sharey=True)
    what = "Predicting whether the answer is right"
    if not names:
        title(figure, what)
        return undefined(figure, "not enough right and wrong answers to learn from")
    colour = style.method_colours(["guided_backprop"])["guided_backprop"]
    majority = [result.summary.get(f"failure/{name}/majority_accuracy", np.nan) for name in names]
    for axes, key, words in ((left, "accuracy", "Accuracy"), (right, "auroc", "Area under the ROC curve")):
        values = [result.summary.get(f"failure/{name}/{key}", np.nan) for name in names]
        axes.barh(range(len(names)), values, 0.62, color=colour)
        if key == "accuracy":
            _value_labels(axes, values, "{:.0%}", majority)
        else:
            _value_labels(axes, values, "{:.2f}", [0.5] * len(names))
        axes.set_xlabel(words, size=style.TEXT, color=style.INK)
        style.tidy(axes, grid="x")
        axes.set_xlim(0, 1.3 if narrow(figure) else 1.16)
        axes.set_xticks([0, 0.5, 1] if narrow(figure) else [0, 0.25, 0.5, 0.75, 1])
    left.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    at = np.arange(len(names))
    left.vlines(majority, at - 0.4, at + 0.4, style.INK, linewidth=1.8, label="Always the more frequent")
    right.axvline(0.5, color=style.INK, linewidth=1.8, linestyle=(0, (3, 2)), label="By chance")
    room = 1.0 if narrow(figure) else 2.0
    left.set_yticks(at, ["\n".join(wrap(style.feature_set_name(name), style.TEXT, room)) for name in names])
    left.invert_yaxis()
    _legends(figure, [left, right], 1, what)
    n = {int(result.summary[key]) for name in names if (key := f"failure/{name}/n") in result.summary}
    counted = f"{'–'.join(map(str, sorted(n)))} questions, cross-validated." if n else "Cross-validated."
    epoch, note = epoch_and_note(result)
    footer(figure, epoch + counted, [note])
    return figure


def accuracy_by_type(result: AnalysisResult, width: float | None = None) -> Figure:
    """The official VQA accuracy: overall, by answer type and by question type.

    Args:
        result: the analysis.
        width: in inches.
    """
    rows = (
        [("All questions", "accuracy/overall", style.INK, 0)] if "accuracy/overall" in result.summary else []
    )
    hidden = 0
    for kind, colour in (("answer_type", "#0072B2"), ("question_type", "#56B4E9")):
        counts, names = reading.count_types(result, kind), reading.types(result, kind)
        hidden += max(len(names) - _MOST_TYPES, 0)
        for name in names[:_MOST_TYPES]:
            rows.append((name, f"accuracy/{kind}/{name}", colour, counts.get(name, 0)))
    figure = new_figure(width or 6.4, 1.3 + 0.26 * max(len(rows), 3))
    axes = figure.subplots()
    title(figure, "VQA accuracy by type of answer and question")
    if not rows:
        return undefined(figure, "no question of this analysis has known answers")
    values = [result.summary[key] for _, key, _, _ in rows]
    axes.barh(range(len(rows)), values, 0.7, color=[colour for _, _, colour, _ in rows])
    _value_labels(axes, values, "{:.1%}")
    room = 0.9 if narrow(figure) else 2.2
    names = [shorten(name, style.TEXT, room) for name, _, _, _ in rows]
    labels = [f"{name}  (n = {n})" if n else name for name, (_, _, _, n) in zip(names, rows, strict=True)]
    axes.set_yticks(range(len(rows)), labels)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.32 if narrow(figure) else 1.12)
    axes.set_xticks([0, 0.5, 1] if narrow(figure) else [0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    style.tidy(axes, grid="x")
    more = f" The {_MOST_TYPES} most frequent types; {hidden} more are not shown." if hidden else ""
    epoch, note = epoch_and_note(result)
    footer(figure, f"{epoch}Dark: answer types, light: question types.{more}", [note])
    return figure


def _count_label(result: AnalysisResult, methods: Sequence[str], group: str) -> str:
    keys = [f"question/{method}/most_important/{group}/n" for method in methods]
    counts = sorted({int(result.summary[key]) for key in keys if key in result.summary})
    return f"n = {'–'.join(str(n) for n in counts)}" if counts else ""


def _value_labels(
    axes: Axes, values: Sequence[float], form: str, marks: Sequence[float] | None = None
) -> None:
    """Values behind their bars, and behind the mark at each bar where it would strike them out."""
    for row, value in enumerate(values):
        if not np.isnan(value):
            mark = np.nan if marks is None else marks[row]
            at = mark if value <= mark < value + 0.2 else value
            axes.text(at + 0.015, row, form.format(value), va="center", size=style.SMALL, color=style.INK)
