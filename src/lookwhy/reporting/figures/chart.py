"""Parts that all charts share: frame, titles, legend, footer, the text for undefined values, and saving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lookwhy.files import atomic_path
from lookwhy.reporting import style
from lookwhy.reporting.figures.sheet import DPI, text_width, wrap
from lookwhy.types import AnalysisResult

WIDTHS = {"single": 3.5, "double": 7.2}
"""Width in inches of one column of a journal page, and of two."""
_NARROW = 5.0
_HANDLE, _ENTRY = 0.62, 2.7
"""Width in inches of a legend entry without its text, and of the text before it is wrapped."""
_LEFT = 0.8
"""Width in inches of the labels left of a panel."""

_HEADING: dict[str, Any] = {"size": style.HEADING + 1, "weight": "bold"}
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": style.TEXT, "labelcolor": style.INK}

DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (8, 1.5, 1.5, 1.5)),
    (0, (9, 1.5, 1.5, 1.5, 1.5, 1.5)),
)
MARKERS = ("o", "s", "^", "D", "v")
"""Dashes and markers that tell runs and feature sets apart without colour."""


def new_figure(width: float, height: float, narrow_height: float | None = None) -> Figure:
    """Make an empty figure (size in inches) whose layout cuts nothing off.

    A figure that is one column wide may have another height, `narrow_height`.
    """
    height = narrow_height if narrow_height and width < _NARROW else height
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=style.PAPER)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.09)
    return figure


def narrow(figure: Figure) -> bool:
    """Whether a figure is one column wide, so that panels are stacked."""
    return float(figure.get_figwidth()) < _NARROW


def title(figure: Figure, text: str) -> None:
    """Set the title of the figure, wrapped to its width."""
    figure.suptitle(_wrapped(text, _room(figure)), x=0.014, ha="left", color=style.INK, **_HEADING)


def heading(axes: Axes, text: str, room: float) -> None:
    """Set the title of one of several axes, wrapped to `room` inches."""
    axes.set_title(_wrapped(text, room), loc="left", color=style.INK, **_HEADING)


def _room(figure: Figure) -> float:
    return float(figure.get_figwidth()) - 0.2


def _wrapped(text: str, room: float) -> str:
    return "\n".join(wrap(text, style.HEADING + 1, room, "bold"))


def legends(figure: Figure, panels: Sequence[Axes], columns: int, what: str) -> None:
    """Title a figure and put a legend above each of its panels, or one for all if the figure is narrow.

    One legend is put above a single panel, too, whose entries are too long for one line.
    """
    labels = panels[0].get_legend_handles_labels()[1]
    line = sum(text_width(label, style.TEXT) + _HANDLE for label in labels)
    too_long = len(panels) == 1 and line > _room(figure) - _LEFT
    if narrow(figure) or (too_long and columns > 1):
        shared_legend(figure, panels, columns, what)
        return
    title(figure, what)
    for axes in panels:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, **_LEGEND)


def shared_legend(figure: Figure, panels: Sequence[Axes], columns: int = 2, title: str = "") -> None:
    """Put one legend with the entries of all panels above them, each entry once, wrapped to the figure.

    The legend holds the title of the figure, because it would overlap a `suptitle`.
    """
    drawn = [axes.get_legend_handles_labels() for axes in panels]
    handles = {label: handle for found in drawn for handle, label in zip(*found, strict=True)}
    widest = min(max((text_width(label, style.TEXT) for label in handles), default=0.0), _ENTRY)
    columns = max(min(columns, int(_room(figure) / (widest + _HANDLE))), 1)
    room = _room(figure) / columns - _HANDLE
    legend = figure.legend(
        list(handles.values()),
        ["\n".join(wrap(label, style.TEXT, room)) for label in handles],
        loc="outside upper left",
        ncols=columns,
        handlelength=2.8,
        title=_wrapped(title, _room(figure)) or None,
        title_fontproperties=_HEADING,
        alignment="left",
        **_LEGEND,
    )
    legend.get_title().set_color(style.INK)
    for text in legend.get_texts():
        text.set_parse_math(False)


def undefined(figure: Figure, what: str, reason: str) -> Figure:
    """Title a figure and replace its axes with the reason why there is nothing to draw."""
    title(figure, what)
    for axes in list(figure.axes):
        axes.remove()
    whole = figure.add_subplot()
    whole.axis("off")
    lines = wrap(f"Undefined: {reason}", style.TEXT, _room(figure) - 0.3)
    whole.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", size=style.TEXT, color=style.MUTED)
    return figure


def footer(figure: Figure, text: str, notes: Iterable[str]) -> None:
    """Write below the charts how they were made and from which data."""
    room, written = _room(figure), (text, *dict.fromkeys(notes))
    lines = [part for line in written for part in wrap(line, style.SMALL, room)]
    below = figure.supxlabel("\n".join(lines), x=0.014, ha="left", size=style.SMALL, color=style.MUTED)
    below.set_parse_math(False)


def describe(figure: Figure, result: AnalysisResult, text: str) -> None:
    """Write the footer of a chart of one analysis: its epoch, how it was made, the note on the data."""
    epoch = result.manifest.get("epoch")
    named = "" if epoch is None else f"{style.epoch_name(epoch)}. "
    footer(figure, named[:1].upper() + named[1:] + text, [str(result.manifest.get("data_note") or "")])


def tidy(axes: Axes, across: str = "", up: str = "", grid: Literal["x", "y"] = "y") -> None:
    """Label the axes and draw them plainly: no box, muted ticks, a faint grid along one axis."""
    axes.set_xlabel(across, size=style.TEXT, color=style.INK)
    axes.set_ylabel(up, size=style.TEXT, color=style.INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=style.MUTED, linewidth=0.8)
    axes.tick_params(labelsize=style.TEXT, colors=style.INK, width=0.8, length=3, color=style.MUTED)
    axes.patch.set_alpha(0.0)
    axes.set_axisbelow(True)
    axes.grid(True, axis=grid, color=style.FAINT, linewidth=0.7)


_NO_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_REAL_TEXT: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "lookwhy"}
"""Settings that keep text as text, so that it can be searched, copied and edited."""


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> Path:
    """Write a figure atomically, in the format of the ending (.png, .svg, .pdf); the bytes are reproducible.

    `dpi`: dots an inch of a .png and of pictures inside other formats; None: the figure's own.
    """
    kind = path.suffix.lstrip(".") or "png"
    # Full compression takes two to three times as long for files that are an eighth smaller.
    fast = {"compress_level": 3, "compress_type": Image.RLE}
    more: dict[str, Any] = {"pil_kwargs": fast} if kind == "png" else {}
    with atomic_path(path) as partial, matplotlib.rc_context(_REAL_TEXT):
        figure.savefig(partial, format=kind, metadata=_NO_DATE.get(kind), dpi=dpi or "figure", **more)
    return path
