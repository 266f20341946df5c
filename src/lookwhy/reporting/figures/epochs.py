"""Chart of runs over epochs: agreement with the annotators, and how specific it is to the question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lookwhy.keys import Row
from lookwhy.reporting import reading, style
from lookwhy.reporting.figures import chart
from lookwhy.store import UNTRAINED
from lookwhy.types import AnalysisResult

Runs = dict[str, dict[int, AnalysisResult]]
"""Analyses by name of the run and by epoch."""

RHO = "rank_correlation"
_BASELINE_DASHES = {"random": (0, (2, 3)), "centre_prior": (0, (8, 4)), "human": (0, (12, 4, 2, 4))}
"""Dashes that tell baselines apart without colour."""
_Values = dict[int, dict[tuple[str, str], Row]]
"""Measurements of a run by epoch, method and measure."""


def agreement_over_epochs(runs: Runs, width: float | None = None) -> Figure:
    """Draw the rank correlation with the annotators, and how specific it is to the question, by epoch.

    Only the scalars of the analyses are read; `width` in inches.
    """
    found = [result for run in runs.values() for result in run.values()]
    methods = sorted({method for result in found for method in reading.image_methods(result)})
    colours = {
        name: style.on_light(c) for name, c in style.method_colours([*methods, *style.BASELINES]).items()
    }
    figure = chart.new_figure(width or 7.0, 6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.25, 1))
    measured = {name: {epoch: _agreement(one) for epoch, one in run.items()} for name, run in runs.items()}
    for number, (name, epochs) in enumerate(measured.items()):
        for method in methods:
            look = {
                "color": colours[method],
                "label": style.method_name(method) + (f", {name}" if len(runs) > 1 else ""),
                "linestyle": chart.DASHES[number % len(chart.DASHES)],
                "marker": chart.MARKERS[number % len(chart.MARKERS)],
            }
            _curve(upper, epochs, (method, RHO), look)
            _curve(lower, epochs, (method, "specificity"), look)
    if not upper.lines:
        figure.set_figheight(2.2)
        annotated = any(("human", RHO) in one for epochs in measured.values() for one in epochs.values())
        why = f"no {'image' if annotated else 'annotator'} maps, so no agreement"
        return chart.undefined(figure, "Agreement with the annotators by epoch", why)
    for baseline in style.BASELINES:
        _baseline(upper, runs, measured, baseline, colours[baseline])
    lower.axhline(0, color=style.MUTED, linewidth=1, label="Same for every question")
    what = " or ".join(sorted({reading.compared(result) for result in found}))
    chart.tidy(upper, "", f"Rank correlation ρ of {what}")
    chart.tidy(lower, "Epoch", "ρ, own question\nminus another’s")
    _epoch_ticks(lower, [epoch for run in runs.values() for epoch in run], chart.narrow(figure))
    _legend(figure, [upper, lower])
    _describe(figure, upper, lower, runs, measured, methods)
    return figure


def _agreement(result: AnalysisResult) -> dict[tuple[str, str], Row]:
    return {(row.method, row.measure): row for row in reading.rows(result, "image") if row.value is not None}


def _describe(
    figure: Figure, upper: Axes, lower: Axes, runs: Runs, measured: dict[str, _Values], methods: list[str]
) -> None:
    """Name the annotators in the headings, and the runs without agreement in the footer."""
    agreeing = [
        (name, epoch)
        for name, epochs in measured.items()
        for epoch, found in epochs.items()
        if any((method, RHO) in found for method in methods)
    ]
    # A run without annotators has no name for them.
    who = dict.fromkeys(style.annotators(runs[name][epoch].manifest).lower() for name, epoch in agreeing)
    room = float(figure.get_figwidth()) - 0.9
    chart.heading(upper, f"Agreement with {' and '.join(who)}", room)
    chart.heading(lower, "Agreement that is specific to the question", room)
    without = [name for name in runs if name not in dict(agreeing)]
    left_out = f" No rank correlation is defined in: {', '.join(without)}." if without else ""
    notes = (str(one.manifest.get("data_note") or "") for run in runs.values() for one in run.values())
    chart.footer(figure, f"Bands: 95% confidence intervals.{left_out}", notes)


def _epoch_ticks(axes: Axes, epochs: list[int], few: bool) -> None:
    """Mark whole epochs, and the untrained model (just before the first) by its name."""
    first, last = max(min(epochs), 0), max(epochs)
    locator = MaxNLocator(nbins=5 if few else "auto", integer=True, min_n_ticks=1)
    ticks = [int(tick) for tick in locator.tick_values(first, max(last, first))]
    ticks = [tick for tick in dict.fromkeys(ticks) if first <= tick <= last]
    labels = [str(tick) for tick in ticks]
    if UNTRAINED in epochs:
        # The word is wider than a number, so the labels of close epochs are dropped.
        hidden = (last - first) * (0.24 if few else 0.12) - 1
        labels = ["" if tick < hidden else label for tick, label in zip(ticks, labels, strict=True)]
        ticks, labels = [UNTRAINED, *ticks], [style.epoch_name(UNTRAINED), *labels]
    axes.set_xticks(ticks, labels)
    axes.set_xlim(min(epochs) - 0.5, last + 0.5)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend above both panels; the figure grows by its height, so the panels keep theirs."""
    chart.shared_legend(figure, panels)
    entries = sum(text.get_text().count("\n") + 1 for text in figure.legends[-1].get_texts())
    lines = entries if chart.narrow(figure) else (entries + 1) // 2
    figure.set_figheight((5.0 if chart.narrow(figure) else 5.4) + 0.19 * lines)


def _curve(axes: Axes, epochs: _Values, name: tuple[str, str], look: dict[str, Any]) -> None:
    """Draw one value by epoch with its confidence band; an epoch without the value is a gap."""
    at = sorted(epochs)
    rows = [epochs[epoch].get(name, Row("image")) for epoch in at]
    cells = [[row.value, row.ci_low, row.ci_high] for row in rows]
    values, low, high = np.array(cells, float).reshape(-1, 3).T
    if np.isnan(values).all():
        return
    axes.fill_between(at, low, high, color=look["color"], alpha=0.16, linewidth=0)
    if len(at) == 1:
        # The band of a single epoch has no width, so a vertical line shows its interval.
        axes.vlines(at, low, high, look["color"], linewidth=1.4)
    axes.plot(at, values, markersize=3.4, **look)


def _baseline(axes: Axes, runs: Runs, measured: dict[str, _Values], method: str, colour: str) -> None:
    """Draw a horizontal line for each run; runs with the same value (same questions) share one line."""
    levels: dict[str, set[float]] = {}
    for name, epochs in measured.items():
        row = epochs[max(epochs)].get((method, RHO)) if epochs else None
        if row is not None and row.value is not None:
            # Runs on other data may have other annotators, so each run names its own.
            named = style.method_name(method, runs[name][max(epochs)].manifest)
            levels.setdefault(named, set()).add(round(row.value, 6))
    look: dict[str, Any] = {"color": colour, "linewidth": 1.6, "linestyle": _BASELINE_DASHES[method]}
    for named, values in levels.items():
        for number, level in enumerate(values):
            axes.axhline(level, label="_" if number else named, zorder=1, **look)
