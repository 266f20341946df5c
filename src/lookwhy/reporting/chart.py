"""What every chart shares: its frame, legend, footer, what it says where nothing is defined; and files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lookwhy.reporting import style
from lookwhy.reporting.sheet import DPI, wrap
from lookwhy.types import AnalysisResult

HEADING: dict[str, Any] = {"size": style.HEADING + 1, "weight": "bold", "color": style.INK}
TITLE = HEADING | {"x": 0.014, "ha": "left"}
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": style.TEXT, "labelcolor": style.INK}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, laid out so that nothing is cut off."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=style.PAPER)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.09)
    return figure


def legend_above(axes: Axes, columns: int) -> None:
    """Above the axes, where it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, **LEGEND)


def undefined(figure: Figure, axes: Axes, reason: str) -> Figure:
    """The figure, saying why there is nothing to draw."""
    axes.clear()
    axes.axis("off")
    axes.text(0.5, 0.5, f"Undefined: {reason}", ha="center", va="center", size=style.TEXT, color=style.MUTED)
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


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as its name's ending says (.png, .svg, ...); a reader never meets half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            write(figure, file, path.suffix.lstrip(".") or "png")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write(figure: Figure, file: BufferedIOBase, kind: str) -> None:
    """Write a figure into an open file; the same results make the same bytes."""
    metadata = {"Date": None} if kind == "svg" else None
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": "lookwhy"}):
        # A letter that the font lacks is drawn as a box; that is no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        # Half the time of writing a PNG is spent on its last few percent of smallness.
        more: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
        figure.savefig(cast(IO[bytes], file), format=kind, metadata=metadata, **more)
