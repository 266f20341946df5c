"""The prediction of failures as curves: ROC, risk by coverage, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lookwhy.reporting import reading, style
from lookwhy.reporting.figures.chart import (
    epoch_and_note,
    figure_legend,
    footer,
    heading,
    narrow,
    new_figure,
    title,
    undefined,
)
from lookwhy.types import AnalysisResult, Curve

_PANELS = (
    ("roc", "ROC", "False positive rate", "True positive rate"),
    ("risk_coverage", "Risk by coverage", "Share of questions\nanswered", "Share of wrong\namong them"),
    ("calibration", "Calibration", "Predicted probability\nof being right", "Share of right answers"),
)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (8, 1.5, 1.5, 1.5)))
_MARKERS = ("o", "s", "^", "D")


def failure_curves(result: AnalysisResult, width: float | None = None) -> Figure:
    """How well each feature set tells right answers from wrong ones, as the curves stored with the analysis.

    Args:
        result: the analysis; one of an earlier version holds no curves, and the figure says so.
        width: in inches; in one column the three panels are stacked.
    """
    figure = new_figure(width or 7.2, 3.9)
    if narrow(figure):
        figure.set_figheight(8.6)
    panels = figure.subplots(3, 1) if narrow(figure) else figure.subplots(1, 3)
    what = "Predicting whether the answer is right, by what the predictor sees"
    curves = _by_panel(result)
    if not any(curves.values()):
        title(figure, what)
        why = "no curves are stored; too few right or wrong answers, or an analysis of an earlier version"
        return undefined(figure, why)
    sets = [name for name in _order(result) if any(name in found for found in curves.values())]
    for axes, (kind, name, across, up) in zip(panels, _PANELS, strict=True):
        _panel(axes, kind, curves[kind], sets)
        heading(axes, name, 2.0)
        axes.set_xlabel(across, size=style.TEXT, color=style.INK)
        axes.set_ylabel(up, size=style.TEXT, color=style.INK)
    drawn = [axes.get_legend_handles_labels() for axes in panels]
    handles = {label: handle for found in drawn for handle, label in zip(*found, strict=True)}
    figure_legend(figure, list(handles.values()), list(handles), columns=4, title=what)
    epoch, note = epoch_and_note(result)
    how = "Dotted diagonal: chance (ROC), perfect (calibration: the larger a mark, the more questions)."
    footer(figure, f"{epoch}{how} Risk: lower is better. Cross-validated.", [note])
    return figure


def _by_panel(result: AnalysisResult) -> dict[str, dict[str, Curve]]:
    """By kind of curve and feature set."""
    found: dict[str, dict[str, Curve]] = {kind: {} for kind, *_ in _PANELS}
    for key, curve in result.curves.items():
        _, feature_set, kind = key.split("/")
        if kind in found:
            found[kind][feature_set] = curve
    return found


def _order(result: AnalysisResult) -> list[str]:
    named = {key.split("/")[1] for key in result.curves}
    usual = reading.feature_sets(result)
    return usual + sorted(named - set(usual))


def _panel(axes: Axes, kind: str, curves: dict[str, Curve], sets: list[str]) -> None:
    for number, name in enumerate(sets):
        if name not in curves:
            continue
        colour = style.on_light(style.SERIES[number % len(style.SERIES)])
        # Dots of the calibration stand for the bins; the other curves have too many points to mark.
        marker: dict[str, Any] = {}
        if kind == "calibration":
            marker = {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 2.4}
        axes.plot(
            curves[name]["x"],
            curves[name]["y"],
            color=colour,
            linestyle=_DASHES[number % len(_DASHES)],
            linewidth=1.5,
            label=style.feature_set_name(name),
            **marker,
        )
        if kind == "calibration":
            _weigh(axes, curves[name], colour, marker["marker"])
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
    style.tidy(axes, grid="y")


def _weigh(axes: Axes, curve: Curve, colour: str, marker: str) -> None:
    """A mark for each bin, of an area that grows with its questions: a bin of one says little."""
    n = np.asarray(curve.get("n", []), float)
    if len(n):
        axes.scatter(curve["x"], curve["y"], s=3 + 45 * n / n.max(), marker=marker, color=colour, linewidth=0)
