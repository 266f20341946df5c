"""The chart of a training run, or of several: agreement with the annotators by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lookwhy.reporting import reading, style
from lookwhy.reporting.figures.chart import (
    figure_legend,
    footer,
    heading,
    narrow,
    new_figure,
    title,
    undefined,
)
from lookwhy.reporting.style import epoch_name
from lookwhy.store import UNTRAINED
from lookwhy.types import AnalysisResult

Runs = dict[str, dict[int, AnalysisResult]]
"""Analyses by name of the run and by epoch."""

RHO = "rank_correlation"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (8, 1.5, 1.5, 1.5)))
_MARKERS = ("o", "s", "^", "D")
_BASELINE_DASHES = {"random": (0, (2, 3)), "centre_prior": (0, (8, 4)), "human": (0, (12, 4, 2, 4))}
"""Runs and baselines are told apart without colour, too."""


def agreement_over_epochs(runs: Runs, width: float | None = None) -> Figure:
    """Rank correlation with the annotators, and how specific it is to the question, by epoch.

    Args:
        runs: by name of the run, its analyses by epoch; their scalars are enough.
        width: of the figure, in inches.
    """
    found = [result for run in runs.values() for result in run.values()]
    methods = sorted({method for result in found for method in reading.image_methods(result)})
    colours = {
        name: style.on_light(c) for name, c in style.method_colours([*methods, *style.BASELINES]).items()
    }
    figure = new_figure(width or 7.0, 6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
    room = float(figure.get_figwidth()) - 0.9
    # Not of runs that agree with none: a run without annotators has no name for them.
    agreeing = [result for result in found if _agrees(result, methods)]
    who = dict.fromkeys(style.annotators(result.manifest).lower() for result in agreeing)
    heading(upper, f"Agreement with {' and '.join(who)}", room)
    heading(lower, "Agreement that is specific to the question", room)
    for number, (name, epochs) in enumerate(runs.items()):
        look = {"linestyle": _DASHES[number % len(_DASHES)], "marker": _MARKERS[number % len(_MARKERS)]}
        suffix = f", {name}" if len(runs) > 1 else ""
        for method in methods:
            label = style.method_name(method) + suffix
            for axes, measure in ((upper, RHO), (lower, "specificity")):
                _curve(axes, epochs, f"image/{method}/{measure}", colours[method], label, look)
    if not upper.lines:
        title(figure, "Agreement with the annotators by epoch")
        figure.set_figheight(2.2)
        drawn = any(f"image/human/{RHO}" in result.summary for result in found)
        return undefined(figure, f"no {'image' if drawn else 'annotator'} maps, so no agreement")
    for baseline in style.BASELINES:
        _baseline(upper, runs, baseline, colours[baseline])
    lower.axhline(0, color=style.MUTED, linewidth=1, label="Same for every question")
    for axes, measured in ((upper, "Rank correlation ρ"), (lower, "ρ, own question\nminus another’s")):
        axes.set_ylabel(measured, size=style.TEXT, color=style.INK)
        style.tidy(axes, grid="y")
    lower.set_xlabel("Epoch", size=style.TEXT, color=style.INK)
    _epoch_ticks(lower, [epoch for run in runs.values() for epoch in run], narrow(figure))
    _legend(figure, upper, lower)
    notes = (str(result.manifest.get("data_note") or "") for result in found)
    without = [
        name for name, run in runs.items() if not any(_agrees(result, methods) for result in run.values())
    ]
    left_out = f" No rank correlation is defined in: {', '.join(without)}." if without else ""
    footer(figure, f"Bands: 95% confidence intervals.{left_out}", notes)
    return figure


def _agrees(result: AnalysisResult, methods: list[str]) -> bool:
    return any(f"image/{method}/{RHO}" in result.summary for method in methods)


def _epoch_ticks(axes: Axes, epochs: list[int], few: bool) -> None:
    """Whole epochs; the untrained model, just before the first, by its name."""
    first, last = max(min(epochs), 0), max(epochs)
    locator = MaxNLocator(nbins=5 if few else "auto", integer=True, min_n_ticks=1)
    ticks = [int(tick) for tick in locator.tick_values(first, max(last, first))]
    ticks = [tick for tick in dict.fromkeys(ticks) if first <= tick <= last]
    labels = [str(tick) for tick in ticks]
    if UNTRAINED in epochs:
        # The word is wider than a number: ticks give way to it where epochs stand close.
        hidden = (last - first) * (0.24 if few else 0.12) - 1
        labels = ["" if tick < hidden else label for tick, label in zip(ticks, labels, strict=True)]
        ticks, labels = [UNTRAINED, *ticks], [epoch_name(UNTRAINED), *labels]
    axes.set_xticks(ticks, labels)
    axes.set_xlim(min(epochs) - 0.5, last + 0.5)


def _legend(figure: Figure, upper: Axes, lower: Axes) -> None:
    """One for both panels: the curves are the same, only the zero line is the lower one's own.

    The panels keep their height: the figure grows with its legend.
    """
    handles, labels = upper.get_legend_handles_labels()
    own, words = lower.get_legend_handles_labels()
    figure_legend(figure, [*handles, own[-1]], [*labels, words[-1]])
    entries = sum(text.get_text().count("\n") + 1 for text in figure.legends[-1].get_texts())
    lines = entries if narrow(figure) else (entries + 1) // 2
    figure.set_figheight((5.0 if narrow(figure) else 5.4) + 0.19 * lines)


def _curve(
    axes: Axes,
    epochs: dict[int, AnalysisResult],
    key: str,
    colour: str,
    label: str,
    look: dict[str, Any],
) -> None:
    """One value by epoch with its confidence band; epochs without the value are gaps."""
    at = sorted(epochs)
    values, low, high = (
        np.array([epochs[epoch].summary.get(f"{key}{end}", np.nan) for epoch in at])
        for end in ("", "/ci_low", "/ci_high")
    )
    if np.isnan(values).all():
        return
    axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
    if len(at) == 1:
        # A single epoch has a band of no width: an upright line shows its interval.
        axes.vlines(at, low, high, colour, linewidth=1.4)
    axes.plot(at, values, color=colour, markersize=3.4, label=label, **look)


def _baseline(axes: Axes, runs: Runs, method: str, colour: str) -> None:
    """A level line for each run; one line where runs agree, as they do on the same questions."""
    key = f"image/{method}/rank_correlation"
    last = [epochs[max(epochs)] for epochs in runs.values() if epochs]
    # Runs on other data may have other annotators: each is called by its own name.
    levels = dict.fromkeys(
        (style.method_name(method, result.manifest), round(result.summary[key], 6))
        for result in last
        if key in result.summary
    )
    named: set[str] = set()
    for name, level in levels:
        label = "_" if name in named else name
        axes.axhline(
            level, color=colour, linewidth=1.6, linestyle=_BASELINE_DASHES[method], label=label, zorder=1
        )
        named.add(name)
