"""Table 1 of the paper for the terminal, and the style that all tables share.

Colours and weights only stress what the text says, so nothing is lost without them (NO_COLOR, a file).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from lookwhy.reporting import reading, style
from lookwhy.reporting.numbers import (
    NOTHING,
    PAPER,
    counted,
    counts,
    estimate,
    table_note,
    table_rows,
    table_title,
)
from lookwhy.types import AnalysisResult

WIDE = 100
"""Width in characters that Table 1 needs; on a narrower terminal its controls form a second table."""
GOOD, BAD, BEST, QUIET = "green", "red", "bold", "dim"
MARK = "*"


class _Column(NamedTuple):
    """A column of Table 1: its head, its width, and its cell for a method."""

    head: str
    width: int
    cell: Callable[[AnalysisResult, str], Text]


def _estimated(measure: str) -> Callable[[AnalysisResult, str], Text]:
    """A cell with mean and interval; the best method is bold, an interval that excludes 0 is marked."""

    def cell(result: AnalysisResult, method: str) -> Text:
        key = f"image/{method}/{measure}"
        mean, interval = estimate(result, key)
        text = Text().append(mark(result, key, 0.0))
        keys = {one: f"image/{one}/{measure}" for one in reading.image_methods(result)}
        text.append(mean, style=BEST if method in best(result, keys) else "")
        return text.append(f"\n{interval}", QUIET) if interval else text

    return cell


def _plain(measure: str) -> Callable[[AnalysisResult, str], Text]:
    def cell(result: AnalysisResult, method: str) -> Text:
        mean, below = counted(result, method, measure)
        text = Text(mean)
        return text.append(f"\n{below}", style=QUIET) if below else text

    return cell


_MEASURED = (
    _Column("Rank\ncorrelation", 16, _estimated("rank_correlation")),
    _Column("Question-\nspecific", 16, _estimated("specificity")),
)
_CONTROLS = (
    _Column("Mean\nmap", 6, _plain("mean_map")),
    _Column("Other\nquestion", 8, _plain("other_question")),
    _Column("Other\nimage", 6, _plain("other_image")),
)
_COUNT = _Column(
    "n\n(undef.)", 8, lambda result, method: Text(counts(result, f"image/{method}/rank_correlation"))
)
_PUBLISHED = _Column("Paper", 8, lambda result, method: Text(PAPER.get(method, NOTHING)))


def table_one(result: AnalysisResult, width: int = WIDE) -> list[Table | Text]:
    """Table 1 of the paper, with the controls that give it meaning.

    Args:
        result: analysis to show.
        width: width of the terminal; below `WIDE` the controls form a second table.
    """
    title, rows = table_title(result), table_rows(result)
    marked = f" Bold: the best method. {MARK}: its interval excludes 0." if rows else ""
    note = (table_note(result) if rows else "No annotator maps, so no agreement.") + marked
    if width >= WIDE or not rows:
        (own, specific), (mean, *others) = _MEASURED, _CONTROLS
        columns = (own, mean, _COUNT, *others, specific, _PUBLISHED)
        return [_agreement(title, note, columns, result, rows)]
    return [
        _agreement(title, "", (*_MEASURED, _COUNT, _PUBLISHED), result, rows),
        _agreement("Controls of this agreement", "", _CONTROLS, result, rows),
        Text(note, style=QUIET),
    ]


def _agreement(
    title: str, note: str, columns: Sequence[_Column], result: AnalysisResult, rows: list[str]
) -> Table:
    table = new_table(title, note)
    table.add_column("Method", min_width=15, max_width=20)
    for column in columns:
        table.add_column(column.head, justify="right", width=column.width)
    for method in rows:
        name = Text(
            style.method_name(method, result.manifest), style=QUIET if method in style.BASELINES else ""
        )
        table.add_row(name, *(column.cell(result, method) for column in columns))
    if not rows:
        table.add_row(*[NOTHING] * (len(columns) + 1))
    return table


def best(result: AnalysisResult, keys: Mapping[str, str], lowest: bool = False) -> set[str]:
    """Names with the best value.

    Args:
        result: analysis that holds the values.
        keys: key of the value of each name; undefined values do not compete.
        lowest: whether the lowest value is the best.
    """
    values = {name: result.summary[key] for name, key in keys.items() if key in result.summary}
    most = (min if lowest else max)(values.values(), default=None)
    return {name for name, value in values.items() if value == most}


def mark(result: AnalysisResult, key: str, level: float | None) -> Text:
    """The mark of an interval that lies above or below a level; empty if it holds it or is undefined."""
    low, high = (result.summary.get(f"{key}/{end}") for end in ("ci_low", "ci_high"))
    # Rounded as they are shown: an interval of rounding errors around 0 excludes nothing.
    if low is None or high is None or level is None or round(low, 3) <= round(level, 3) <= round(high, 3):
        return Text()
    return Text(MARK, style=GOOD if low > level else BAD)


def new_table(title: str, caption: str) -> Table:
    """Make a table without columns."""
    # Text, so that brackets in titles and captions are not markup.
    return Table(
        title=Text(title, style="bold"),
        caption=Text(caption, style="dim") if caption else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, 1, 0, 0),
    )
