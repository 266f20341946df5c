"""Parts that all charts share: frame, titles, legend, footer, the text for undefined values, and saving."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lookwhy.files import atomic_path
from lookwhy.reporting import style
from lookwhy.reporting.figures.sheet import DPI, text_width, wrap
from lookwhy.types import AnalysisResult

WIDTHS = {"single": 3.5, "double": 7.2}
"""Width in inches of one column of a journal page, and of two."""
_NARROW = 5.0
_HANDLE, _ENTRY = 0.62, 2.7
"""Width in inches of a legend entry without its text, and of the text before it is wrapped."""

HEADING: dict[str, Any] = {"size": style.HEADING + 1, "weight": "bold", "color": style.INK}
TITLE = HEADING | {"x": 0.014, "ha": "left"}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": style.TEXT, "labelcolor": style.INK}

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (8, 1.5, 1.5, 1.5)))
MARKERS = ("o", "s", "^", "D")
"""Dashes and markers that tell runs and feature sets apart without colour."""


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure (size in inches) whose layout cuts nothing off."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=style.PAPER)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.09)
    return figure


def narrow(figure: Figure) -> bool:
    """Whether a figure is one column wide, so that panels are stacked."""
    return float(figure.get_figwidth()) < _NARROW


def title(figure: Figure, text: str) -> None:
    """Set the title of the figure, wrapped to its width."""
    room = float(figure.get_figwidth()) - 0.2
    figure.suptitle("\n".join(wrap(text, style.HEADING + 1, room, "bold")), **TITLE)


def heading(axes: Axes, text: str, room: float) -> None:
    """Set the title of one of several axes, wrapped to `room` inches."""
    axes.set_title("\n".join(wrap(text, style.HEADING + 1, room, "bold")), loc="left", **HEADING)


def legend_above(axes: Axes, columns: int) -> None:
    """Put the legend above the axes, where it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, **LEGEND)


def figure_legend(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    columns: int = 2,
    title: str | None = None,
) -> None:
    """Put one legend above all axes; entries too long for the figure are wrapped.

    Args:
        figure: a figure without `suptitle`, which would overlap the legend.
        handles: lines and bars.
        labels: text of each handle.
        columns: largest number of columns.
        title: title of the figure.
    """
    width = float(figure.get_figwidth()) - 0.2
    columns = _columns(labels, width, columns)
    room = width / columns - _HANDLE
    figure.legend(
        handles,
        ["\n".join(wrap(label, style.TEXT, room)) for label in labels],
        loc="outside upper left",
        ncols=columns,
        handlelength=2.8,
        title="\n".join(wrap(title or "", style.HEADING + 1, width, "bold")) or None,
        title_fontproperties={"size": style.HEADING + 1, "weight": "bold"},
        alignment="left",
        **LEGEND,
    )
    figure.legends[-1].get_title().set_color(style.INK)
    for text in figure.legends[-1].get_texts():
        text.set_parse_math(False)


def shared_legend(figure: Figure, panels: Sequence[Axes], columns: int, title: str) -> None:
    """Put one legend with the entries of all panels above them, each entry once."""
    drawn = [axes.get_legend_handles_labels() for axes in panels]
    handles = {label: handle for found in drawn for handle, label in zip(*found, strict=True)}
    figure_legend(figure, list(handles.values()), list(handles), columns, title)


def _columns(labels: Sequence[str], width: float, most: int) -> int:
    """Number of legend columns that fit, at most `most`."""
    widest = min(max((text_width(label, style.TEXT) for label in labels), default=0.0), _ENTRY)
    return max(min(most, int(width / (widest + _HANDLE))), 1)


def undefined(figure: Figure, reason: str) -> Figure:
    """Replace the axes with the reason why there is nothing to draw."""
    for axes in list(figure.axes):
        axes.remove()
    whole = figure.add_subplot()
    whole.axis("off")
    lines = wrap(f"Undefined: {reason}", style.TEXT, float(figure.get_figwidth()) - 0.5)
    whole.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", size=style.TEXT, color=style.MUTED)
    return figure


def footer(figure: Figure, text: str, notes: Iterable[str]) -> None:
    """Write below the charts how they were made and from which data."""
    room = float(figure.get_figwidth()) - 0.2
    lines = [part for line in (text, *dict.fromkeys(notes)) for part in wrap(line, style.SMALL, room)]
    below = figure.supxlabel("\n".join(lines), x=0.014, ha="left", size=style.SMALL, color=style.MUTED)
    below.set_parse_math(False)


def describe(figure: Figure, result: AnalysisResult, text: str) -> None:
    """Write the footer of a chart of one analysis: its epoch, how it was made, the note on the data."""
    epoch = result.manifest.get("epoch")
    named = "" if epoch is None else f"{style.epoch_name(epoch)}. "
    footer(figure, named[:1].upper() + named[1:] + text, [str(result.manifest.get("data_note") or "")])


def label_axes(axes: Axes, across: str = "", up: str = "") -> None:
    """Label the axes in the style of all charts."""
    axes.set_xlabel(across, size=style.TEXT, color=style.INK)
    axes.set_ylabel(up, size=style.TEXT, color=style.INK)


_NO_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_REAL_TEXT: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "lookwhy"}
"""Settings that keep text as text, so that it can be searched, copied and edited."""


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> Path:
    """Write a figure atomically, in the format of the ending (.png, .svg, .pdf); equal results, equal bytes.

    Args:
        figure: figure to write.
        path: file to write.
        dpi: dots an inch of a .png and of pictures inside other formats; None: the figure's own.
    """
    kind = path.suffix.lstrip(".") or "png"
    # The last few percent of compression would take half of the time.
    more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
    with (
        atomic_path(path) as partial,
        partial.open("wb") as file,
        warnings.catch_warnings(),
        matplotlib.rc_context(_REAL_TEXT),
    ):
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(
            file, format=kind, metadata=_NO_DATE.get(kind), dpi=figure.dpi if dpi is None else dpi, **more
        )
    return path
