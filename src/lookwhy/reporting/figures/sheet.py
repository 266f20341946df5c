"""A figure that is filled from top to bottom and grows with its content, so that no text is cut off.

matplotlib lays out charts, but not texts of any length such as questions, answers and words. So a sheet
measures and wraps every text before it makes the figure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox, TransformedBbox

from lookwhy.reporting.figures.glyphs import families, readable, use_fonts
from lookwhy.reporting.style import FAINT, HEADING, INK, MUTED, PAPER, SMALL, TEXT, ink_on

MARGIN, GAP, PANEL = 0.22, 0.22, 2.1
"""Inches: margin of the sheet, gap between panels, width of a panel."""
LABEL = 1.75
"""Width in inches of the method's name to the left of the words of a question."""
_NARROW, _SMALLEST = 5.0, 1.3
"""Inches: a sheet narrower than this has the method's name above the words; width of the smallest panel."""
DPI = 120
_LEADING = 1.32 / 72
"""Height of a line in inches for each point of the font's size."""
_WORD, _PAD, _LINE = 10.5, 0.36, 0.31
"""Words of a question: font size in points, padding of a box in font sizes, height of a line in inches."""


_PIECE = re.compile(
    r"\s*(?:[\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff]"
    r"|[^\s\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff]+)"
)
"""A word, or one character of the scripts that are written without spaces between words."""


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line of text, plus 3% for hinting."""
    text = readable(text)
    font = FontProperties(family=families(text), size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72 * 1.03


def shorten(text: str, size: float, room: float, weight: str = "normal") -> str:
    """Shorten a text with an ellipsis to fit `room` inches."""
    text = " ".join(readable(text).split())
    if text_width(text, size, weight) <= room:
        return text
    too_long = bisect_right(
        range(len(text)), room, key=lambda end: text_width(text[:end] + "…", size, weight)
    )
    return text[: max(too_long - 1, 0)].rstrip() + "…"


def wrap(text: str, size: float, room: float, weight: str = "normal") -> list[str]:
    """Wrap a text into lines of at most `room` inches; a longer word is shortened."""
    lines: list[str] = []
    for piece in _PIECE.findall(readable(text)):
        word = piece.strip()
        longer = lines[-1] + " " * piece[0].isspace() + word if lines else word
        if lines and text_width(longer, size, weight) <= room:
            lines[-1] = longer
        else:
            lines.append(shorten(word, size, room, weight))
    return lines


@dataclass(frozen=True)
class Scale:
    """Meaning of the colours of a map: the colours, and the words at both ends."""

    colours: Colormap
    low: str
    high: str


@dataclass(frozen=True)
class Panel:
    """A picture, or a function that draws one, with a title above, and the colours and a caption below."""

    title: str
    content: np.ndarray | Callable[[Axes], None]
    caption: str = ""
    scale: Scale | None = None
    width: float = PANEL


def fitting(width: float, count: int) -> float:
    """Width of each of `count` panels: they fill as few rows as possible, evenly, and stay readable."""
    room = width - 2 * MARGIN + GAP
    columns = max(min(count, int(room / (_SMALLEST + GAP))), 1)
    rows = -(-count // columns)
    return min(room / -(-count // rows) - GAP, PANEL)


class Sheet:
    """Collects content from top to bottom; `figure` draws it."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.room = width - 2 * MARGIN
        self._used = MARGIN
        self._steps: list[Callable[[Figure, float], None]] = []

    def space(self, inches: float) -> None:
        """Leave a vertical gap."""
        self._used += inches

    def text(self, text: str, size: float = TEXT, colour: str = INK, weight: str = "normal") -> None:
        """Add a paragraph over the whole width."""
        self._used += self._lines(text, MARGIN, self._used, self.room, size, colour, weight)

    def panels(self, panels: Sequence[Panel], height: float) -> None:
        """Add panels side by side, in as many rows as they need; the pictures are `height` inches tall."""
        row: list[Panel] = []
        for panel in panels:
            if row and sum(p.width + GAP for p in row) + panel.width > self.room + 1e-6:
                self._row(row, height)
                row = []
            row.append(panel)
        if row:
            self._row(row, height)

    def words(
        self, label: str, scale: Scale, words: Sequence[str], shades: Sequence[float | None], top: int | None
    ) -> None:
        """Add the words of a question as coloured boxes.

        Args:
            label: name to the left of the words, or above them on a narrow sheet.
            scale: meaning of the colours.
            words: words in their order.
            shades: position of each word on the colour scale, 0..1; None where undefined.
            top: index of the most important word, which gets a frame.
        """
        beside = self.width >= _NARROW
        left = MARGIN + LABEL * beside
        below = self._used + self._lines(
            label, MARGIN, self._used, LABEL - 0.15 if beside else self.room, weight="bold"
        )
        below += self._legend(scale, MARGIN, below + 0.02, LABEL - 0.3 if beside else LABEL)
        x, y = left, self._used if beside else below + 0.06
        for place, (word, shade) in enumerate(zip(words, shades, strict=True)):
            framed = place == top
            weight = "bold" if framed else "normal"
            padding = 2 * _PAD * _WORD / 72
            word = shorten(word, _WORD, self.width - MARGIN - left - padding, weight)
            taken = text_width(word, _WORD, weight) + padding
            if x > left and x + taken > self.width - MARGIN:
                x, y = left, y + _LINE
            colour = scale.colours(shade) if shade is not None else (1.0, 1.0, 1.0, 1.0)
            box = {
                "boxstyle": f"round,pad={_PAD - 0.06},rounding_size=0.25",
                "facecolor": colour,
                "edgecolor": INK if framed else FAINT,
                "linewidth": 1.4 if framed else 0.6,
            }
            look = {"weight": weight, "bbox": box, "va": "center_baseline"}
            self._put(word, x + padding / 2, y + 0.15, _WORD, ink_on(colour), **look)
            x += taken + 0.05
        self._used = max(y + _LINE, below) + 0.1

    def figure(self) -> Figure:
        """Draw everything."""
        height = self._used + MARGIN
        figure = Figure(figsize=(self.width, height), dpi=DPI, facecolor=PAPER)
        for step in self._steps:
            step(figure, height)
        return use_fonts(figure)

    def _row(self, panels: Sequence[Panel], height: float) -> None:
        x = MARGIN
        titles = [len(wrap(panel.title, HEADING, panel.width, "bold")) for panel in panels]
        top = self._used + max(titles) * HEADING * _LEADING + 0.05
        lowest = top + height
        for panel, lines in zip(panels, titles, strict=True):
            above = top - 0.05 - lines * HEADING * _LEADING
            self._lines(panel.title, x, above, panel.width, HEADING, weight="bold")
            if callable(panel.content):
                self._axes(panel.content, x, top, panel.width, height)
            else:
                self._image(panel.content, x, top, panel.width, height, interpolation="antialiased")
            y = top + height + 0.06
            if panel.scale:
                y += self._legend(panel.scale, x, y, panel.width)
            y += self._lines(panel.caption, x, y, panel.width)
            lowest = max(lowest, y)
            x += panel.width + GAP
        self._used = lowest + 0.1

    def _legend(self, scale: Scale, x: float, y: float, width: float) -> float:
        """Add a small colour bar with the words at its ends; returns the height used in inches."""
        colours = scale.colours(np.linspace(0, 1, 256)[None])
        self._image(colours, x, y, width, 0.08, interpolation="nearest")
        low = shorten(scale.low, SMALL, width * 0.5)
        high = shorten(scale.high, SMALL, width - text_width(low, SMALL) - 0.06)
        # Aligned by the baseline: aligned by their tops, words with and without ascenders would not be level.
        for text, place, side in ((low, x, "left"), (high, x + width, "right")):
            self._put(text, place, y + 0.1 + 0.95 * SMALL / 72, SMALL, MUTED, ha=side)
        return 0.1 + SMALL * _LEADING + 0.04

    def _image(
        self, image: np.ndarray, x: float, y: float, width: float, height: float, *, interpolation: str
    ) -> None:
        """Add an image in a thin frame; axes around it would take ten times as long."""

        def step(figure: Figure, total: float) -> None:
            corner = (x / self.width, 1 - (y + height) / total)
            size = (width / self.width, height / total)
            place = TransformedBbox(Bbox.from_bounds(*corner, *size), figure.transFigure)
            shown = BboxImage(place, interpolation=interpolation, origin="upper")
            shown.set_data(image)
            frame = Rectangle(corner, *size, transform=figure.transFigure)
            frame.set(fill=False, edgecolor=FAINT, linewidth=0.8)
            figure.add_artist(shown, clip=False)
            figure.add_artist(frame, clip=False)

        self._steps.append(step)

    def _axes(self, draw: Callable[[Axes], None], x: float, y: float, width: float, height: float) -> None:
        def step(figure: Figure, total: float) -> None:
            box = (x / self.width, 1 - (y + height) / total, width / self.width, height / total)
            draw(figure.add_axes(box, xticks=[], yticks=[]))

        self._steps.append(step)

    def _lines(
        self, text: str, x: float, y: float, room: float, size: float = TEXT, colour: str = INK,
        weight: str = "normal",
    ) -> float:  # fmt: skip
        """Add a text, wrapped to `room` inches; returns the height used in inches."""
        lines = wrap(text, size, room, weight)
        for number, line in enumerate(lines):
            self._put(line, x, y + number * size * _LEADING + 0.95 * size / 72, size, colour, weight=weight)
        return len(lines) * size * _LEADING

    def _put(self, text: str, x: float, y: float, size: float, colour: str, **look: Any) -> None:
        """Add one line of text with its baseline at `y`."""

        def step(figure: Figure, total: float) -> None:
            place = (x / self.width, 1 - y / total)
            figure.text(*place, text, size=size, color=colour, parse_math=False, **look)

        self._steps.append(step)
