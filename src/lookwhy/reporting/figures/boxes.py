"""Outlines of the most important boxes over a picture: the stronger a box, the wider and darker its line."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lookwhy.reporting import style

SHOWN, LEAST = 5, 0.05
"""Largest number of boxes that are outlined, and least share of the strongest value that such a box has: the
outlines of 36 boxes would hide the picture."""
_THIN, _WIDER, _CASING = 1.0, 2.4, 1.2
"""Points: width of the weakest line, what the strongest has more, and the dark edge around each line."""
_LABEL = 0.14
"""Height of a label, as a share of the picture's height."""


def strongest(values: Float[np.ndarray, " R"], most: int = SHOWN) -> list[int]:
    """Numbers of the boxes with the largest magnitudes, strongest first; none below `LEAST` of the largest.

    Example:
        >>> strongest(np.array([0.1, np.nan, -0.5, 0.0]))
        [2, 0]
    """
    sizes = np.nan_to_num(np.abs(values))
    least = max(LEAST * sizes.max(initial=0.0), np.finfo(float).tiny)
    return [number for number in np.argsort(-sizes, kind="stable").tolist()[:most] if sizes[number] >= least]


def caption_of(values: Float[np.ndarray, " R"]) -> str:
    """How many of the boxes are outlined."""
    found, count = len(strongest(values)), int(np.isfinite(values).sum())
    if not found:
        return "the value of every box is zero"
    shown = "the strongest" if found == 1 else f"the {found} strongest"
    return f"{shown} of {count} boxes" if found < count else f"all {count} boxes"


def draw_boxes(
    axes: Axes,
    size: tuple[int, int],
    boxes: Float[np.ndarray, "R 4"],
    values: Float[np.ndarray, " R"],
    signed: bool,
) -> None:
    """Outline the strongest boxes over a picture, and write the value of the strongest beside it.

    Args:
        axes: axes that show the picture.
        size: height and width of the picture in its own pixels.
        boxes: x1, y1, x2, y2, relative to the picture (0..1).
        values: importance of each box; NaN for padding.
        signed: whether a negative value is evidence against the answer.
    """
    height, width = size
    chosen = strongest(values)
    # Lines stay inside of the picture by half of the widest line: pixels of the picture along each side.
    half = (_THIN + _WIDER + _CASING) / 2 * axes.figure.dpi / 72
    edges = np.array([half * width / axes.bbox.width, half * height / axes.bbox.height] * 2)
    for place, number in reversed([*enumerate(chosen)]):
        share = float(values[number] / abs(values[chosen[0]]))
        colour = style.SIGNED((share + 1) / 2) if signed else style.MAGNITUDE(abs(share))
        sides = boxes[number].astype(float) * (width, height, width, height)
        inside = np.clip(sides, edges, np.array([width, height, width, height]) - edges)
        left, top, right, bottom = (inside - 0.5).tolist()
        line = _THIN + _WIDER * abs(share)
        for edgecolor, linewidth in ((style.INK, line + _CASING), (colour, line)):
            outline: dict[str, Any] = {"fill": False, "edgecolor": edgecolor, "linewidth": linewidth}
            axes.add_patch(Rectangle((left, top), right - left, bottom - top, **outline))
        if place == 0:
            text = f"{values[number]:{'+' * signed}.2g}"
            _label(axes, text, (left, top, right, bottom), size, colour)


def _label(
    axes: Axes, text: str, box: tuple[float, float, float, float], size: tuple[int, int], colour: Any
) -> None:
    """Write a text at the corner of a box: above it if there is room, else below it, else inside."""
    (left, top, right, bottom), (height, width) = box, size
    is_left, is_above = left + right < width, top > _LABEL * height
    is_below = not is_above and bottom < (1 - _LABEL) * height
    axes.text(
        left if is_left else right,
        bottom if is_below else top,
        text,
        size=style.TEXT,
        weight="bold",
        color=style.ink_on(colour),
        ha="left" if is_left else "right",
        va="bottom" if is_above else "top",
        bbox={"facecolor": colour, "edgecolor": style.INK, "linewidth": 0.6, "boxstyle": "square,pad=0.18"},
        parse_math=False,
    )
