"""Chart of runs: do agreement with annotators, faithfulness to the model and truth go together?

Each method is a path through the epochs. Agreement is what the paper reports; only beside the other two does
it say whether a map that looks where people look is also the map to believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lookwhy.keys import Row
from lookwhy.reporting import reading, style
from lookwhy.reporting.figures import chart
from lookwhy.reporting.figures.epochs import RHO, Runs
from lookwhy.reporting.figures.sheet import text_width, wrap
from lookwhy.types import AnalysisResult

WHAT = "Do agreement, faithfulness and truth go together?"
_PANELS = {
    "faithfulness/correlation": ("Faithfulness to the model", "Faithfulness correlation"),
    "localisation/mass_accuracy": ("Truth: where the answer lies", "Mass inside the mask"),
}
"""Title and vertical axis of each measure."""
_HOW = (
    "Each path is a method from its first analysed epoch (hollow) to its last (filled, 95% intervals). "
    "Over questions: are the maps that agree more also the more faithful, or the truer ones? Spearman’s "
    "correlation within each method, mean over methods; bootstrap over images."
)
_CONTROLS = ("random", "centre_prior")
_LINE = 0.165
"""Height in inches of a line of a name."""
_NAMES = (0.98, 1.45)
"""Largest width in inches of the names beside the points, in a narrow figure and in a wide one."""


@dataclass(frozen=True)
class _Path:
    """A method of a run: its name, look, and agreement and measure by epoch."""

    name: str
    colour: str
    marker: str
    points: list[tuple[Row, Row]]

    @property
    def last(self) -> tuple[float, float]:
        """Where the path ends."""
        across, up = self.points[-1]
        return float(across.value or 0.0), float(up.value or 0.0)


def has_both(runs: Runs) -> bool:
    """Whether an image method of a run has agreement beside faithfulness or localisation."""
    return any(_paths(runs, measure, False) for measure in _PANELS)


def together(runs: Runs, width: float | None = None) -> Figure:
    """Draw agreement against faithfulness, and against mass accuracy, of each method through the epochs.

    Only the scalars of the analyses are read; `width` in inches.
    """
    shown = [measure for measure in _PANELS if _paths(runs, measure, False)]
    figure = chart.new_figure(width or 7.2, 1.35 + 3.0 * max(len(shown), 1))
    if not shown:
        figure.set_figheight(2.2)
        figure.subplots()
        why = "no method has agreement beside faithfulness or localisation"
        return chart.undefined(figure, WHAT, why)
    chart.title(figure, WHAT)
    panels = list(figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0])
    paths = {measure: _paths(runs, measure, True) for measure in shown}
    for axes, measure in zip(panels, shown, strict=True):
        _panel(figure, axes, measure, paths[measure], runs)
    who = f"with {_annotators(runs)}"
    what = " or ".join(sorted({reading.compared(one) for run in runs.values() for one in run.values()}))
    across = f"Agreement: rank correlation of {what}{chr(10) if chart.narrow(figure) else ' '}{who}"
    panels[-1].set_xlabel(across, size=style.TEXT, color=style.INK)
    notes = [str(one.manifest.get("data_note") or "") for run in runs.values() for one in run.values()]
    chart.footer(figure, _HOW, notes)
    _limits(figure, panels)
    tallest = max(sum(_heights(figure, found)) for found in paths.values())
    figure.set_figheight(1.35 + max(3.0, tallest + 1.2) * len(shown))
    # Lay out the panels, whose heights say how far apart the names are.
    figure.draw_without_rendering()
    for axes, measure in zip(panels, shown, strict=True):
        _names(figure, axes, paths[measure])
    return figure


def _panel(figure: Figure, axes: Axes, measure: str, paths: list[_Path], runs: Runs) -> None:
    for path in paths:
        _draw(axes, path)
    title, up = _PANELS[measure]
    _headline(axes, title, _correlation_text(runs, measure), float(figure.get_figwidth()) - 0.9)
    chart.tidy(axes, "", up)
    axes.grid(True, axis="x", color=style.FAINT, linewidth=0.7)


def _paths(runs: Runs, measure: str, controls: bool) -> list[_Path]:
    """Path of each method of each run, and the last point of each control."""
    names = sorted({m for run in runs.values() for one in run.values() for m in reading.image_methods(one)})
    colours = style.method_colours([*names, *style.BASELINES])
    found = []
    for number, (run, epochs) in enumerate(runs.items()):
        marker = chart.MARKERS[number % len(chart.MARKERS)]
        for method in (*names, *(_CONTROLS if controls else ())):
            points = [pair for epoch in sorted(epochs) if (pair := _pair(epochs[epoch], method, measure))]
            if points:
                name = style.method_name(method) + (f", {run}" if len(runs) > 1 else "")
                is_control = method in _CONTROLS
                colour = style.MUTED if is_control else style.on_light(colours[method])
                found.append(_Path(name, colour, marker, points[-1:] if is_control else points))
    return found


def _pair(result: AnalysisResult, method: str, measure: str) -> tuple[Row, Row] | None:
    rows = {row.measure: row for row in reading.rows(result, "image") if row.method == method}
    pair = rows.get(RHO), rows.get(measure)
    if pair[0] is None or pair[1] is None or pair[0].value is None or pair[1].value is None:
        return None
    return pair[0], pair[1]


def _draw(axes: Axes, path: _Path) -> None:
    x, y = np.array([[a.value, b.value] for a, b in path.points], float).T
    look: dict[str, Any] = {"color": path.colour, "marker": path.marker}
    axes.plot(x, y, color=path.colour, linewidth=1.3, alpha=0.75, zorder=2)
    axes.plot(x[1:-1], y[1:-1], linestyle="", markersize=2.6, zorder=3, **look)
    across, up = path.points[-1]
    for row, line, fixed in ((across, axes.hlines, y[-1]), (up, axes.vlines, x[-1])):
        if row.ci_low is not None and row.ci_high is not None:
            line(fixed, row.ci_low, row.ci_high, path.colour, linewidth=1.1, alpha=0.55, zorder=2)
    axes.plot(x[-1:], y[-1:], linestyle="", markersize=7, zorder=4, label=path.name, **look)
    if len(x) > 1:
        axes.plot(x[:1], y[:1], linestyle="", markersize=6, zorder=4, markerfacecolor=style.PAPER, **look)


def _headline(axes: Axes, title: str, below: str, room: float) -> None:
    """The title of a panel, above the correlation over questions in small letters."""
    lines = wrap(below, style.SMALL, room) if below else []
    heading: dict[str, Any] = {"size": style.HEADING + 1, "weight": "bold"}
    axes.set_title(title, loc="left", color=style.INK, pad=6 + 1.25 * style.SMALL * len(lines), **heading)
    if lines:
        look: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "va": "bottom"}
        axes.annotate(
            "\n".join(lines), (0, 1), xycoords="axes fraction", size=style.SMALL, color=style.MUTED, **look
        )


def _correlation_text(runs: Runs, measure: str) -> str:
    """The correlation over questions at the last epoch of each run, in words."""
    found = []
    for name, epochs in runs.items():
        last = epochs[max(epochs)] if epochs else None
        rows = [] if last is None else reading.rows(last, "agreement_with")
        for row in (one for one in rows if one.measure == measure and one.value is not None):
            ends = f" [{row.ci_low:.2f}, {row.ci_high:.2f}]" if row.ci_low is not None else ""
            whose = f"{name}: " if len(runs) > 1 else ""
            count = f", {row.n:.0f} questions" if row.n is not None else ""
            found.append(
                f"{whose}Spearman {row.value:.2f}{ends}{count}, {style.epoch_name(max(epochs))}".replace(
                    "-", "−"
                )
            )
    return f"Over questions, within a method: {'; '.join(found)}" if found else ""


def _annotators(runs: Runs) -> str:
    found = [
        style.annotators(one.manifest).lower()
        for run in runs.values()
        for one in run.values()
        if any(row.measure == RHO for row in reading.rows(one, "image"))
    ]
    return " and ".join(dict.fromkeys(found))


def _limits(figure: Figure, panels: Sequence[Axes]) -> None:
    """Leave room for the names at the right of all panels."""
    labels = [line.get_label() for axes in panels for line in axes.lines]
    names = [name for name in labels if isinstance(name, str) and not name.startswith("_")]
    widest = _widest(figure, names) + 0.3
    inside = float(figure.get_figwidth()) - 0.95
    low, high = panels[0].get_xlim()
    ticks = MaxNLocator(nbins=4 if chart.narrow(figure) else 8, steps=[1, 2, 5, 10]).tick_values(low, high)
    panels[0].set_xticks([tick for tick in ticks if low <= tick <= high])
    panels[0].set_xlim(low, low + (high - low) * inside / (inside - widest))


def _widest(figure: Figure, names: Sequence[str]) -> float:
    lines = [line for name in names for line in _wrapped(figure, name)]
    return max(text_width(line, style.SMALL) for line in lines)


def _heights(figure: Figure, paths: Sequence[_Path]) -> list[float]:
    return [len(_wrapped(figure, path.name)) * _LINE for path in paths]


def _wrapped(figure: Figure, name: str) -> list[str]:
    return wrap(name, style.SMALL, _NAMES[0 if chart.narrow(figure) else 1])


def _names(figure: Figure, axes: Axes, paths: list[_Path]) -> None:
    """Write the name of each path in a column at the right, in the order of their ends, with a thin line."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    inside = float(figure.get_figwidth()) - 0.95
    at = right - (right - left) * _widest(figure, [path.name for path in paths]) / inside
    height = float(axes.get_position().height * figure.get_figheight())
    order = sorted(paths, key=lambda path: path.last[1])
    inches, wanted = np.array(_heights(figure, order)), np.array([path.last[1] for path in order])
    for _ in range(4):
        # Room for the first and the last name makes the axis longer, and so each name taller on it.
        sizes = inches * (top - bottom) / height
        places = spread(wanted, sizes)
        bottom, top = min(bottom, places[0] - 0.7 * sizes[0]), max(top, places[-1] + 0.7 * sizes[-1])
    # A white ground, so that no line of the grid crosses a name.
    ground = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 1.2}
    for path, y in zip(order, places, strict=True):
        look: dict[str, Any] = {"va": "center", "ha": "left", "parse_math": False, "bbox": ground}
        axes.text(at, y, "\n".join(_wrapped(figure, path.name)), size=style.SMALL, color=path.colour, **look)
        gap = 0.012 * (right - left)
        leader: dict[str, Any] = {"color": path.colour, "linewidth": 0.9, "alpha": 0.6, "zorder": 1}
        axes.plot([path.last[0], at - gap], [path.last[1], y], linestyle=(0, (1, 2.5)), **leader)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def spread(wanted: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Places of labels in rising order, as near as possible to the wanted ones, without overlaps.

    Labels that would overlap form a block around the mean of their wanted places.

    Example:
        >>> spread(np.array([0.0, 0.0, 5.0]), np.ones(3)).tolist()
        [-0.5, 0.5, 5.0]
    """
    blocks: list[tuple[list[int], float]] = []  # members, and the start of the block
    for number in range(len(wanted)):
        blocks.append(([number], float(wanted[number] - sizes[number] / 2)))
        while len(blocks) > 1 and blocks[-2][1] + sizes[blocks[-2][0]].sum() > blocks[-1][1]:
            last, before = blocks.pop(), blocks.pop()
            members = before[0] + last[0]
            middles = np.cumsum(sizes[members]) - sizes[members] / 2
            blocks.append((members, float((wanted[members] - middles).mean())))
    places = np.empty(len(wanted))
    for members, start in blocks:
        places[members] = start + np.cumsum(sizes[members]) - sizes[members] / 2
    return places
