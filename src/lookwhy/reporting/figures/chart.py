"""What every chart shares: its frame, legend, footer, what it says where nothing is defined; and files."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lookwhy.data.files import atomic_path
from lookwhy.reporting import style
from lookwhy.reporting.figures.sheet import DPI, text_width, wrap
from lookwhy.types import AnalysisResult

WIDTHS = {"single": 3.5, "double": 7.2}
"""Inches: one column of a journal's page, and both."""
_NARROW = 5.0
_HANDLE, _ENTRY = 0.62, 2.7
"""Inches of a legend's entry beside its words, and of the words before they go over several lines."""

HEADING: dict[str, Any] = {"size": style.HEADING + 1, "weight": "bold", "color": style.INK}
TITLE = HEADING | {"x": 0.014, "ha": "left"}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": style.TEXT, "labelcolor": style.INK}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, laid out so that nothing is cut off."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=style.PAPER)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.09)
    return figure


def narrow(figure: Figure) -> bool:
    """Whether a figure is one column wide: what stands side by side elsewhere is stacked then."""
    return float(figure.get_figwidth()) < _NARROW


def title(figure: Figure, text: str) -> None:
    """The figure's title, on as many lines as it needs."""
    room = float(figure.get_figwidth()) - 0.2
    figure.suptitle("\n".join(wrap(text, style.HEADING + 1, room, "bold")), **TITLE)


def heading(axes: Axes, text: str, room: float) -> None:
    """The title of one of several axes, on lines no wider than the room (inches)."""
    axes.set_title("\n".join(wrap(text, style.HEADING + 1, room, "bold")), loc="left", **HEADING)


def legend_above(axes: Axes, columns: int) -> None:
    """Above the axes, where it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, **LEGEND)


def figure_legend(
    figure: Figure,
    handles: Sequence[Any],
    labels: Sequence[str],
    columns: int = 2,
    title: str | None = None,
) -> None:
    """One legend for all axes, above them; entries too long for the figure go over several lines.

    Args:
        figure: without a title of its own, which would stand at the same place.
        handles: of the lines and bars.
        labels: what they are.
        columns: at most.
        title: of the figure.
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


def _columns(labels: Sequence[str], width: float, most: int) -> int:
    """How many columns of a legend fit, at most as many as wanted."""
    widest = min(max((text_width(label, style.TEXT) for label in labels), default=0.0), _ENTRY)
    return max(min(most, int(width / (widest + _HANDLE))), 1)


def undefined(figure: Figure, reason: str) -> Figure:
    """The figure, saying in place of its axes why there is nothing to draw."""
    for axes in list(figure.axes):
        axes.remove()
    whole = figure.add_subplot()
    whole.axis("off")
    lines = wrap(f"Undefined: {reason}", style.TEXT, float(figure.get_figwidth()) - 0.5)
    whole.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", size=style.TEXT, color=style.MUTED)
    return figure


def footer(figure: Figure, text: str, notes: Iterable[str]) -> None:
    """What a reader must know beside the picture, under it: how it was made, of which data."""
    room = float(figure.get_figwidth()) - 0.2
    lines = [part for line in (text, *dict.fromkeys(notes)) for part in wrap(line, style.SMALL, room)]
    below = figure.supxlabel("\n".join(lines), x=0.014, ha="left", size=style.SMALL, color=style.MUTED)
    below.set_parse_math(False)


def epoch_and_note(result: AnalysisResult) -> tuple[str, str]:
    """Which epoch a chart shows, to start its footer with, and the note on its data."""
    manifest: Mapping[str, Any] = result.manifest
    epoch = f"{style.epoch_name(manifest['epoch'])}. " if manifest.get("epoch") is not None else ""
    return epoch[:1].upper() + epoch[1:], str(manifest.get("data_note") or "")


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> Path:
    """Write a figure as its name's ending says (.png, .svg, ...); a reader never meets half of one.

    Args:
        figure: what to write.
        path: of the file.
        dpi: of a .png, and of the pictures inside other files; by default the figure's own.
    """
    with atomic_path(path) as partial, partial.open("wb") as file:
        write(figure, file, path.suffix.lstrip(".") or "png", dpi)
    return path


_NO_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_REAL_TEXT: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "lookwhy"}
"""Text stays text: it can be searched, copied and edited."""


def write(figure: Figure, file: BufferedIOBase, kind: str, dpi: float | None = None) -> None:
    """Write a figure into an open file; the same results make the same bytes."""
    with warnings.catch_warnings(), matplotlib.rc_context(_REAL_TEXT):
        # A letter that the font lacks is drawn as a box; that is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        # Half the time of writing a PNG is spent on its last few percent of smallness.
        more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
        figure.savefig(
            cast(IO[bytes], file),
            format=kind,
            metadata=_NO_DATE.get(kind),
            dpi=figure.dpi if dpi is None else dpi,
            **more,
        )
