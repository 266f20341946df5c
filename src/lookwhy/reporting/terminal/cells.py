"""Parts that the tables of the terminal share: marks, the best value, and the form of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from lookwhy.reporting.numbers import MARK, NOTHING, as_text, number
from lookwhy.reporting.reading import has_few_images
from lookwhy.types import AnalysisResult

WIDE = 100
"""Width in characters that the widest tables need; on a narrower terminal they are split into two."""
GOOD, BAD, BEST, QUIET, CAUTION = "green", "red", "bold", "dim", "bold yellow"


def best(result: AnalysisResult, keys: Mapping[str, str], lowest: bool = False) -> set[str]:
    """Names with the best value; `keys` holds the key of each name, and undefined values do not compete."""
    values = {name: result.summary[key] for name, key in keys.items() if key in result.summary}
    most = (min if lowest else max)(values.values(), default=None)
    return {name for name, value in values.items() if value == most}


def mark(result: AnalysisResult, key: str, level: float | None, sign: float = 1.0) -> Text:
    """Mark of an interval that excludes a level; empty if it contains the level or is undefined.

    Nothing is marked on fewer than `FEWEST_IMAGES` images.
    The mark is green on the better side of the level, which is above it for a `sign` of 1.
    """
    low, high = (result.summary.get(f"{key}/{end}") for end in ("ci_low", "ci_high"))
    # Compare the values as shown, so that rounding errors around 0 do not exclude 0.
    if low is None or high is None or level is None or round(low, 3) <= round(level, 3) <= round(high, 3):
        return Text()
    return Text() if has_few_images(result, key) else star(bool((low > level) == (sign > 0)))


def star(is_better: bool) -> Text:
    """The mark, green on the better side."""
    return Text(MARK, style=GOOD if is_better else BAD)


def new_table(title: str, caption: str, heads: Sequence[str] = (), max_width: int | None = None) -> Table:
    """Make a table; its first column is aligned left, the others right."""
    # Text, so that brackets in titles and captions are not markup.
    table = Table(
        title=Text(title, style="bold"),
        caption=Text(caption, style=QUIET) if caption else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, 1, 0, 0),
    )
    for place, name in enumerate(heads):
        table.add_column(name, justify="right" if place else "left", max_width=max_width if place else None)
    return table


def interval(result: AnalysisResult, key: str, form: str = "{:.3f}") -> str:
    """The interval of a value in brackets; a dash if it has none."""
    ends = [number(result, f"{key}/{end}", form) for end in ("ci_low", "ci_high")]
    return NOTHING if NOTHING in ends else f"[{', '.join(ends)}]"


def short(value: float, form: str = "{:.2f}") -> str:
    """A number without the zero before its point: ".24", "+.024"."""
    return re.sub(r"^([+-]?)0\.", r"\1.", as_text(value, form))
