"""Chart of one analysis: the probability of the answer while cells are removed, and while they return.

Curves of a random map and of the centre prior are gray: a map that does no better tells nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lookwhy.reporting import measures, reading, style
from lookwhy.reporting.figures import chart
from lookwhy.types import AnalysisResult, Curve

WHAT = "Removing and showing cells, the most important first"
_PANELS = {"deletion": "Cells removed", "insertion": "Cells shown"}
"""Axis of each measure."""
_GRAY_DASHES = {"random": (0, (1.5, 1.5)), "centre_prior": (0, (6, 3))}


def has_curves(result: AnalysisResult) -> bool:
    """Whether an analysis has curves of deletion or insertion of cells."""
    return bool(reading.deletion_curves(result, "image"))


def deletion_curves(result: AnalysisResult, width: float | None = None) -> Figure:
    """Draw the mean curves of deletion and insertion, a panel for each of them and each fill.

    The panels are stacked if `width` (in inches) is that of a narrow figure (see `chart.narrow`).
    """
    found = reading.deletion_curves(result, "image")
    fills = [fill for fill in measures.FILLS if any(name.endswith(f"_{fill}") for name in found)]
    figure = chart.new_figure(width or 7.2, 1.6 + 2.45 * max(len(fills), 1), 1.6 + 4.5 * max(len(fills), 1))
    if not found:
        figure.subplots()
        return chart.undefined(figure, WHAT, "deletion and insertion were not measured")
    shape = (2 * len(fills), 1) if chart.narrow(figure) else (len(fills), 2)
    panels = list(figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).flat)
    methods = sorted({method for curves in found.values() for method in curves} - {*style.BASELINES})
    colours = style.method_colours(methods)
    kinds = [(kind, fill) for fill in fills for kind in _PANELS]
    is_narrow = chart.narrow(figure)
    for place, (axes, (kind, fill)) in enumerate(zip(panels, kinds, strict=True)):
        curves = found.get(f"{kind}_{fill}", {})
        for number, method in enumerate(one for one in methods if one in curves):
            dashes = chart.DASHES[number // 4 % len(chart.DASHES)]
            _draw(axes, curves[method], method, style.on_light(colours[method]), dashes)
        for method in (one for one in _GRAY_DASHES if one in curves):
            _draw(axes, curves[method], method, style.MUTED, _GRAY_DASHES[method])
        chart.heading(axes, f"{style.in_words(kind)}, {measures.FILLS[fill]}", 2.6)
        across = "Cells removed, or shown" if is_narrow else _PANELS[kind]
        is_last = place >= len(panels) - (1 if is_narrow else 2)
        up = "Probability\nof the answer" if is_narrow or place % 2 == 0 else ""
        chart.tidy(axes, across if is_last else "", up)
        _shares(axes)
    counts = {
        int(max(curve["n"])) for curves in found.values() for curve in curves.values() if curve.get("n")
    }
    chart.shared_legend(figure, panels, 4, WHAT)
    n = "–".join(map(str, sorted(counts)))
    chart.describe(
        figure,
        result,
        "Deletion: lower is better; insertion: higher is better. "
        f"Mean of {n} questions; bands: 95% intervals. Probability of the answer to the whole image; removed "
        f"cells are filled with the {' or the '.join(measures.FILLS[fill] for fill in fills)}.",
    )
    return figure


def _draw(axes: Axes, curve: Curve, method: str, colour: str, dashes: Any) -> None:
    is_baseline = method in style.BASELINES
    if "low" in curve and "high" in curve:
        opacity = 0.07 if is_baseline else 0.11
        axes.fill_between(curve["x"], curve["low"], curve["high"], color=colour, alpha=opacity, linewidth=0)
    look: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.4 if is_baseline else 1.7}
    axes.plot(curve["x"], curve["y"], label=style.method_name(method), **look)


def _shares(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
