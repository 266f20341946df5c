"""Table 1 of the paper for the terminal, and the style that all tables share.

Colours and weights only stress what the text says, so nothing is lost without them (NO_COLOR, a file).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from lookwhy.reporting import reading, style
from lookwhy.reporting.numbers import NOTHING, table_cells, table_note, table_rows, table_title
from lookwhy.types import AnalysisResult

WIDE = 100
"""Width in characters that Table 1 needs; on a narrower terminal its controls form a second table."""
GOOD, BAD, BEST, QUIET = "green", "red", "bold", "dim"
MARK = "*"


_COLUMNS = {
    "Rank correlation": ("Rank\ncorrelation", 16),
    "Mean map": ("Mean\nmap", 6),
    "n (undefined)": ("n\n(undef.)", 8),
    "Other question": ("Other\nquestion", 8),
    "Other image": ("Other\nimage", 6),
    "Question-specific": ("Question-\nspecific", 16),
    "Paper": ("Paper", 8),
}
"""Head and width of each column of Table 1."""
_TESTED = {"Rank correlation": "rank_correlation", "Question-specific": "specificity"}
"""Measures whose best method is bold and whose interval is marked if it excludes 0."""
_CONTROLS = ("Mean map", "Other question", "Other image")
_OWN = ("Rank correlation", "Question-specific", "n (undefined)", "Paper")


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
        return [_agreement(title, note, tuple(_COLUMNS), result, rows)]
    return [
        _agreement(title, "", _OWN, result, rows),
        _agreement("Controls of this agreement", "", _CONTROLS, result, rows),
        Text(note, style=QUIET),
    ]


def _agreement(
    title: str, note: str, columns: Sequence[str], result: AnalysisResult, rows: list[str]
) -> Table:
    table = new_table(title, note)
    table.add_column("Method", min_width=15, max_width=20)
    for column in columns:
        head, width = _COLUMNS[column]
        table.add_column(head, justify="right", width=width)
    for method in rows:
        name = style.method_name(method, result.manifest)
        cells = table_cells(result, method)
        table.add_row(
            Text(name, style=QUIET if method in style.BASELINES else ""),
            *(_cell(result, method, column, *cells[column]) for column in columns),
        )
    if not rows:
        table.add_row(*[NOTHING] * (len(columns) + 1))
    return table


def _cell(result: AnalysisResult, method: str, column: str, main: str, below: str) -> Text:
    text = Text(main)
    if column in _TESTED:
        keys = {one: f"image/{one}/{_TESTED[column]}" for one in reading.image_methods(result)}
        text = mark(result, f"image/{method}/{_TESTED[column]}", 0.0)
        text.append(main, style=BEST if method in best(result, keys) else "")
    return text.append(f"\n{below}", style=QUIET) if below else text


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
