"""Chart of the failure predictor's curves: ROC, risk by coverage, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lookwhy.reporting import reading, style
from lookwhy.reporting.figures import chart
from lookwhy.types import AnalysisResult, Curve

_PANELS = {
    "roc": ("ROC", "False positive rate", "True positive rate"),
    "risk_coverage": ("Risk by coverage", "Share of questions\nanswered", "Share of wrong\namong them"),
    "calibration": ("Calibration", "Predicted probability\nof being right", "Share of right answers"),
}
"""Title and axes of each panel, by the name of its curve."""


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
    sets = [name for name in order if curves.get(name, {}).keys() & _PANELS]
    if not sets:
        why = "no curves are stored; too few right or wrong answers, or an analysis of an earlier version"
        return chart.undefined(figure, what, why)
    for axes, (kind, (name, across, up)) in zip(panels, _PANELS.items(), strict=True):
        _panel(axes, kind, {one: curves[one].get(kind) for one in sets})
        chart.heading(axes, name, 2.0)
        chart.tidy(axes, across, up)
    chart.shared_legend(figure, panels, 4, what)
    how = "Dotted diagonal: chance (ROC), perfect (calibration: the larger a mark, the more questions)."
    chart.describe(figure, result, f"{how} Risk: lower is better. Cross-validated.")
    return figure


def _panel(axes: Axes, kind: str, curves: dict[str, Curve | None]) -> None:
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
