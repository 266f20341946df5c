"""Charts of one analysis: most important words, prediction of failures (measures and curves), accuracy.

Everything drawn is read from the result. A value that is undefined there is left out, or the chart says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lookwhy.keys import Row
from lookwhy.reporting import numbers, reading, style
from lookwhy.reporting.figures import chart
from lookwhy.reporting.figures.sheet import shorten, wrap
from lookwhy.types import AnalysisResult, Curve

_MOST_TYPES = 20
_GROUP = 0.75
"""Width in inches that the name of a part of speech needs below vertical bars."""
_CURVES = {
    "roc": ("ROC", "False positive rate", "True positive rate"),
    "risk_coverage": ("Risk by coverage", "Share of questions\nanswered", "Share of wrong\namong them"),
    "calibration": ("Calibration", "Predicted probability\nof being right", "Share of right answers"),
}
"""Title and axes of each curve of the failure predictor, by its name."""


def most_important_words(result: AnalysisResult, width: float | None = None) -> Figure:
    """P(word is the most important of its question | its part of speech) (Figure 3 of the paper).

    The bars are horizontal if `width` (in inches) is too small for vertical ones.
    """
    groups, methods = reading.groups(result), reading.question_methods(result)
    upright = width is None or (width - 1.0) / max(len(groups), 1) >= _GROUP
    height = 4.6 if upright else 2.7 + (0.16 + 0.12 * len(methods)) * len(groups)
    figure = chart.new_figure(width or max(6.6, 1.4 + 0.72 * len(groups)), height)
    axes = figure.subplots()
    what = "Which words count: the most important word of each question"
    if not groups:
        return chart.undefined(figure, what, numbers.no_words(result))
    rows = {(row.method, row.group): row for row in reading.words(result)}
    _word_bars(axes, rows, groups, methods, upright)
    labels = []
    for group in groups:
        counts = sorted({int(row.n) for row in rows.values() if row.group == group and row.n is not None})
        counted = f"n = {'–'.join(map(str, counts))}" if counts else ""
        labels.append(f"{style.in_words(group)}{chr(10) if upright else ', '}{counted}")
    _name_groups(axes, labels, upright, few=chart.narrow(figure))
    share = f"P(most important |{chr(10) if chart.narrow(figure) else ' '}part of speech)"
    chart.tidy(axes, *(("", share, "y") if upright else (share, "", "x")))
    how = "n: words. Thin lines: 95% intervals. Most frequent part of speech first."
    chart.describe(figure, result, f"{how} {numbers.words_note(result)}")
    chart.legends(figure, [axes], len(methods) + 2, what)
    return figure


def _word_bars(
    axes: Axes, rows: dict[tuple[str, str], Row], groups: list[str], methods: list[str], upright: bool
) -> None:
    """Draw a bar for each method in each group, its interval, a star, and the values by chance and place."""
    bar, along, across = (
        (axes.bar, axes.vlines, axes.hlines) if upright else (axes.barh, axes.hlines, axes.vlines)
    )
    colours = style.method_colours(methods)
    thick = 0.8 / max(len(methods), 1)
    for number, method in enumerate(methods):
        at = np.arange(len(groups)) + (number - (len(methods) - 1) / 2) * thick
        found = [rows.get((method, group), Row("question")) for group in groups]
        values, low, high, chance, place = np.array(
            [[row.value, row.ci_low, row.ci_high, row.expected, row.expected_by_place] for row in found],
            float,
        ).T
        bar(at, values, thick * 0.92, color=colours[method], label=style.method_name(method))
        along(at, low, high, style.INK, linewidth=0.9, alpha=0.75)
        label = "By chance" if number == len(methods) - 1 else "_"
        across(chance, at - thick * 0.46, at + thick * 0.46, style.INK, linewidth=1.6, label=label)
        if not np.isnan(place).all():
            label = "By place" if number == len(methods) - 1 else "_"
            ends = at - thick * 0.46, at + thick * 0.46
            across(place, *ends, style.INK, linewidth=1.3, linestyle=(0, (1, 1)), label=label)
        for row, where in zip(found, at, strict=True):
            if reading.differs_from_chance(row):
                beside = (row.value, row.ci_high, row.expected, row.expected_by_place)
                _star(axes, where, max(one or 0.0 for one in beside), upright)


def _star(axes: Axes, at: float, end: float, upright: bool) -> None:
    """Write a star beyond a bar, its interval and its levels, which end at `end`."""
    place, shift, align = ((at, end), (0, -1), "center") if upright else ((end, at), (2, -2.5), "left")
    look: dict[str, Any] = {"ha": align, "va": "bottom" if upright else "center", "size": style.TEXT}
    axes.annotate(numbers.MARK, place, shift, textcoords="offset points", color=style.INK, **look)


def _name_groups(axes: Axes, labels: Sequence[str], upright: bool, few: bool) -> None:
    """Label the groups on one axis, and put percents on the other (few ticks if it is horizontal)."""
    if upright:
        turned: dict[str, Any] = {"rotation": 40, "ha": "right"} if len(labels) > 9 else {}
        axes.set_xticks(range(len(labels)), labels, **turned)
        axes.set_ylim(bottom=0)
    else:
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
    measured = axes.yaxis if upright else axes.xaxis
    measured.set_major_locator(MaxNLocator(nbins=4 if few and not upright else 6, steps=[1, 2, 5, 10]))
    measured.set_major_formatter(PercentFormatter(1.0, decimals=0))


def failure_prediction(result: AnalysisResult, width: float | None = None) -> Figure:
    """Draw how well the failure predictor tells right from wrong answers, by the features that it sees.

    The two measures are stacked if `width` (in inches) is that of a narrow figure (see `chart.narrow`).
    """
    names = reading.feature_sets(result)
    bars = 0.34 * max(len(names), 2)
    figure = chart.new_figure(width or 7.0, 1.8 + bars, narrow_height=3.2 + 2 * bars)
    left, right = figure.subplots(*((2, 1) if chart.narrow(figure) else (1, 2)), sharey=True)
    what = "Predicting whether the answer is right"
    if not names:
        return chart.undefined(figure, what, "not enough right and wrong answers to learn from")
    measured = {(row.method, row.measure): row for row in reading.rows(result, "failure")}

    def values_of(measure: str) -> Any:
        """Value and both ends of the interval of each feature set."""
        rows = [measured.get((name, measure), Row("failure")) for name in names]
        return np.array([[row.value, row.ci_low, row.ci_high] for row in rows], float).T

    accuracy, auroc = values_of("accuracy"), values_of("auroc")
    majority, counts = values_of("majority_accuracy")[0], values_of("n")[0]
    colour = style.method_colours(["guided_backprop"])["guided_backprop"]
    at, chance = np.arange(len(names)), np.full(len(names), 0.5)
    for axes, (values, low, high), form, marks, words in (
        (left, accuracy, "{:.0%}", majority, "Accuracy"),
        (right, auroc, "{:.2f}", chance, "Area under the ROC curve"),
    ):
        axes.barh(at, values, 0.62, color=colour)
        axes.hlines(at + 0.2, low, high, style.INK, linewidth=0.9, alpha=0.75)
        _share_axis(axes, 1.3 if chart.narrow(figure) else 1.16, words, percent=axes is left)
        _value_labels(axes, values, form, marks)
    left.vlines(majority, at - 0.4, at + 0.4, style.INK, linewidth=1.8, label="Always the more frequent")
    right.axvline(0.5, color=style.INK, linewidth=1.8, linestyle=(0, (3, 2)), label="By chance")
    room = 1.0 if chart.narrow(figure) else 2.0
    known = not np.isnan([accuracy[1], auroc[1]]).all()
    left.set_yticks(at, ["\n".join(wrap(style.in_words(name), style.TEXT, room)) for name in names])
    left.invert_yaxis()
    chart.legends(figure, [left, right], 1, what)
    n = "–".join(map(str, sorted({int(count) for count in counts if not np.isnan(count)})))
    counted = f"{n} questions, cross-validated." if n else "Cross-validated."
    chart.describe(figure, result, f"{counted} Thin lines: 95% intervals." if known else counted)
    return figure


def failure_curves(result: AnalysisResult, width: float | None = None) -> Figure:
    """Draw the stored curves of the failure predictor: how well each feature set finds wrong answers.

    A result of an early version holds no curves, and the figure says so. The panels are stacked if `width`
    (in inches) is that of a narrow figure (see `chart.narrow`).
    """
    figure = chart.new_figure(width or 7.2, 3.9, narrow_height=8.6)
    panels = list(figure.subplots(3, 1) if chart.narrow(figure) else figure.subplots(1, 3))
    what = "Predicting whether the answer is right, by what the predictor sees"
    curves = reading.curves(result)
    usual = reading.feature_sets(result)
    order = [*usual, *sorted(curves.keys() - set(usual))]
    sets = [name for name in order if curves.get(name, {}).keys() & _CURVES]
    if not sets:
        why = "no curves are stored; too few right or wrong answers, or an analysis of an earlier version"
        return chart.undefined(figure, what, why)
    for axes, (kind, (name, across, up)) in zip(panels, _CURVES.items(), strict=True):
        _curve_panel(axes, kind, {one: curves[one].get(kind) for one in sets})
        chart.heading(axes, name, 2.0)
        chart.tidy(axes, across, up)
    chart.shared_legend(figure, panels, 4, what)
    how = "Dotted diagonal: chance (ROC), perfect (calibration: the larger a mark, the more questions)."
    chart.describe(figure, result, f"{how} Risk: lower is better. Cross-validated.")
    return figure


def _curve_panel(axes: Axes, kind: str, curves: dict[str, Curve | None]) -> None:
    for number, (name, curve) in enumerate(curves.items()):
        if curve is None:
            continue
        colour = style.on_light(style.SERIES[number % len(style.SERIES)])
        look: dict[str, Any] = {"color": colour, "linestyle": chart.DASHES[number % len(chart.DASHES)]}
        # Only calibration has few enough points (its bins) to mark each of them.
        if kind == "calibration":
            look |= {"marker": chart.MARKERS[number % len(chart.MARKERS)], "markersize": 2.4}
            if n := curve.get("n"):
                # The area of a mark grows with the number of questions of its bin.
                area = 3 + 45 * np.asarray(n, float) / max(n)
                axes.scatter(curve["x"], curve["y"], area, colour, marker=look["marker"], linewidth=0)
        axes.plot(curve["x"], curve["y"], linewidth=1.5, label=style.in_words(name), **look)
    if kind != "risk_coverage":
        axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        axes.set_ylim(-0.02, 1.02)
    else:
        axes.set_ylim(0, max(axes.get_ylim()[1], 0.05))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.5, 1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def accuracy_by_type(result: AnalysisResult, width: float | None = None) -> Figure:
    """Draw the official VQA accuracy: overall, by answer type and by question type; `width` in inches."""
    measured = {(row.measure, row.group): row.value for row in reading.rows(result, "accuracy")}
    overall = measured.get(("overall", ""))
    # Label, accuracy, colour and number of questions of each bar.
    rows = [] if overall is None else [("All questions", overall, style.INK, 0)]
    hidden = 0
    for kind, colour in (("answer_type", "#0072B2"), ("question_type", "#56B4E9")):
        counts, types = reading.count_types(result, kind), reading.types(result, kind)
        hidden += max(len(types) - _MOST_TYPES, 0)
        for name in types[:_MOST_TYPES]:
            rows.append((name, measured[kind, name] or 0.0, colour, counts.get(name, 0)))
    figure = chart.new_figure(width or 6.4, 1.3 + 0.26 * max(len(rows), 3))
    axes = figure.subplots()
    what = "VQA accuracy by type of answer and question"
    if not rows:
        return chart.undefined(figure, what, "no question of this analysis has known answers")
    chart.title(figure, what)
    names, values, colours, totals = zip(*rows, strict=True)
    axes.barh(range(len(rows)), values, 0.7, color=colours)
    _value_labels(axes, values, "{:.1%}")
    short = [shorten(name, style.TEXT, 0.9 if chart.narrow(figure) else 2.2) for name in names]
    labels = [f"{name}  (n = {n})" if n else name for name, n in zip(short, totals, strict=True)]
    axes.set_yticks(range(len(rows)), labels)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.invert_yaxis()
    _share_axis(axes, 1.32 if chart.narrow(figure) else 1.12)
    more = f" The {_MOST_TYPES} most frequent types; {hidden} more are not shown." if hidden else ""
    chart.describe(figure, result, f"Dark: answer types, light: question types.{more}")
    return figure


def _share_axis(axes: Axes, end: float, words: str = "", percent: bool = True) -> None:
    """Make a horizontal axis for shares from 0 to 1, with room for labels up to `end`."""
    chart.tidy(axes, words, grid="x")
    if percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlim(0, end)
    axes.set_xticks([0, 0.5, 1] if end > 1.2 else [0, 0.25, 0.5, 0.75, 1])


def _value_labels(axes: Axes, values: Iterable[float], form: str, marks: Iterable[float] = ()) -> None:
    """Write each value after the end of its bar, or after the bar's mark if the mark would cross it."""
    for row, (value, mark) in enumerate(zip_longest(values, marks, fillvalue=np.nan)):
        if not np.isnan(value):
            at = mark if value <= mark < value + 0.2 else value
            axes.text(at + 0.015, row, form.format(value), va="center", size=style.SMALL, color=style.INK)
