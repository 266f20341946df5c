"""Tables for the terminal: the results of an analysis, and the time that its parts took.

Colours and weights only stress what the text says, so nothing is lost without them (NO_COLOR, a file).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lookwhy.analysis.paired import Comparison
from lookwhy.errors import printable
from lookwhy.keys import Row
from lookwhy.reporting import numbers, reading, style
from lookwhy.reporting.cautions import TITLE, cautions
from lookwhy.reporting.numbers import NOTHING, number
from lookwhy.reporting.terminal.believe import believe_tables, words_faithfulness_table
from lookwhy.reporting.terminal.cells import BEST, CAUTION, MARK, QUIET, WIDE, best, mark, new_table, star
from lookwhy.reporting.terminal.modality import modality_table
from lookwhy.reporting.terminal.paired import paired_tables
from lookwhy.reporting.terminal.sanity import sanity_table
from lookwhy.reporting.terminal.selective import failure_tables
from lookwhy.reporting.terminal.slices import slices_tables
from lookwhy.types import AnalysisResult

_COLUMNS = {
    "Rank correlation": ("Rank\ncorrelation", 16),
    "Mean map": ("Mean\nmap", 6),
    "n (undefined)": ("n\n(undef.)", 8),
    "Other question": ("Other\nquestion", 8),
    "Other image": ("Other\nimage", 6),
    "Question-specific": ("Question-\nspecific", 16),
    "Given centre": ("Given\ncentre", 6),
    "Paper": ("Paper", 8),
}
"""Head and width of each column of Table 1."""
_TESTED = {"Rank correlation": "rank_correlation", "Question-specific": "specificity"}
"""Measures whose best method is bold and whose interval is marked if it excludes 0."""
_CONTROLS = ("Mean map", "Other question", "Other image", "Given centre")
_OWN = ("Rank correlation", "Question-specific", "n (undefined)", "Paper")
_MOST_TYPES = 10
"""Largest number of question types in the table of accuracies."""


def table_one(result: AnalysisResult, width: int = WIDE) -> list[Table | Text]:
    """Table 1 of the paper, with the controls that give it meaning.

    Below a `width` of `WIDE` characters the controls form a second table.
    """
    title = numbers.table_title(result)
    if not numbers.table_rows(result):
        table = _agreement(title, "No annotator maps, so no agreement.", tuple(_COLUMNS), result)
        table.add_row(*[NOTHING] * len(table.columns))
        return [table]
    note = f"{numbers.table_note(result)} Bold: the best method. {MARK}: its interval excludes 0."
    if width >= WIDE:
        return [_agreement(title, note, tuple(_COLUMNS), result)]
    controls = _agreement("Controls of this agreement", "", _CONTROLS, result)
    return [_agreement(title, "", _OWN, result), controls, Text(note, style=QUIET)]


def _agreement(title: str, note: str, columns: Sequence[str], result: AnalysisResult) -> Table:
    table = new_table(title, note)
    # One space between columns: nine of them fit a hundred characters.
    table.padding = (0, 0, 0, 0)
    table.add_column("Method", min_width=15, max_width=15)
    for column in columns:
        head, width = _COLUMNS[column]
        table.add_column(head, justify="right", width=width)
    for method in numbers.table_rows(result):
        look = QUIET if method in style.BASELINES else ""
        name = Text(style.method_name(method, result.manifest), style=look)
        cells = numbers.table_cells(result, method)
        table.add_row(name, *(_cell(result, method, column, *cells[column]) for column in columns))
    return table


def _cell(result: AnalysisResult, method: str, column: str, main: str, below: str) -> Text:
    text = Text(main)
    if column in _TESTED:
        keys = {one: f"image/{one}/{_TESTED[column]}" for one in reading.image_methods(result)}
        text = mark(result, f"image/{method}/{_TESTED[column]}", 0.0)
        text.append(main, style=BEST if method in best(result, keys) else "")
    return text.append(f"\n{below}", style=QUIET) if below else text


def macro_table(result: AnalysisResult) -> Table:
    """Means over images of the agreement; without rows where they are the means over questions."""
    heads = ["Method", *numbers.MACRO_COLUMNS]
    table = new_table(numbers.MACRO_TITLE, numbers.MACRO_NOTE, heads)
    for method in numbers.table_rows(result) if numbers.has_macro(result) else ():
        cells = numbers.macro_cells(result, method).values()
        look = QUIET if method in style.BASELINES else ""
        name = Text(style.method_name(method, result.manifest), style=look)
        table.add_row(name, *(Text(main).append(f" {below}", style=QUIET) for main, below in cells))
    return table


def words_table(result: AnalysisResult) -> Table:
    """P(most important | part of speech) by question method (Figure 3 of the paper)."""
    methods = reading.question_methods(result)
    found = {(row.method, row.group): row for row in reading.words(result)}
    has_place = any(row.expected_by_place is not None for row in found.values())
    heads = [part for one in methods for part in (style.method_name(one), *["by place"] * has_place)]
    table = new_table(
        "Which words count: P(most important | part of speech)",
        numbers.words_note(result),
        ["Part of speech", *heads, "By chance", "Words"],
    )
    for group in reading.groups(result):
        rows = [found.get((method, group), Row("question")) for method in methods]
        cells: list[Text | str] = []
        for row in rows:
            is_marked = reading.differs_from_chance(row)
            mark = star((row.value or 0.0) > (row.expected or 0.0)) if is_marked else Text()
            cells.append(mark.append(_share(row.value)))
            cells += [Text(_share(row.expected_by_place), style=QUIET)] * has_place
        first = next(row for row in rows if row.value is not None)
        count = NOTHING if first.n is None else f"{first.n:.0f}"
        table.add_row(style.in_words(group), *cells, _share(first.expected), count)
    return table


def _words(result: AnalysisResult) -> Table | Text:
    """The table of parts of speech, or a line with the reason if all of them have too few words."""
    table = words_table(result)
    reason = "" if table.row_count else numbers.few_words(result)
    return Text(f"Which words count is not shown. {reason}\n") if reason else table


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def accuracy_table(result: AnalysisResult) -> Table:
    """The official VQA accuracy in percent: overall, by answer type and by question type."""
    names = {kind: reading.types(result, kind) for kind in ("answer_type", "question_type")}
    hidden = max(len(names["question_type"]) - _MOST_TYPES, 0)
    note = f"{hidden} less frequent question types are not shown." if hidden else ""
    table = new_table("VQA accuracy in percent", note, ["Questions", "Accuracy", "n"])
    if "accuracy/overall" in result.summary:
        total = sum(reading.count_types(result, "answer_type").values())
        overall = Text(number(result, "accuracy/overall", "{:.2%}"), style=BEST)
        table.add_row("all", overall, str(total or NOTHING))
    for kind, found in names.items():
        table.add_section()
        counted = reading.count_types(result, kind)
        for name in found if kind == "answer_type" else found[:_MOST_TYPES]:
            value = number(result, f"accuracy/{kind}/{name}", "{:.2%}")
            table.add_row(Text(name), value, str(counted.get(name, NOTHING)))
    return table


def profile_table(seconds: dict[str, float], questions: int) -> Table:
    """Seconds of each part of an analysis, the longest first; "part: inner" names a part inside another."""
    table = new_table(
        f"Seconds of an analysis of {questions} questions",
        "Wall-clock time. Image features are cached, so a second analysis is faster.",
        ["Part", "Seconds", "Share", "ms a question"],
    )
    parts = {name: value for name, value in seconds.items() if ": " not in name}
    total = sum(parts.values())

    def add(name: str, value: float, look: str = "") -> None:
        share = value / total if total else 0.0
        row = (name, f"{value:.2f}", f"{share:.1%}", f"{1000 * value / max(questions, 1):.1f}")
        table.add_row(*(Text(cell, style=look) for cell in row))

    for name in sorted(parts, key=lambda name: -parts[name]):
        add(name, parts[name])
        inner = {key: value for key, value in seconds.items() if key.startswith(f"{name}: ")}
        for key in sorted(inner, key=lambda key: -inner[key]):
            add(f"  {key.removeprefix(f'{name}: ')}", inner[key], QUIET)
    table.add_section()
    add("all", total)
    return table


class _Console(Console):
    """A console that shows names and texts as they are: brackets are no markup, colons no emoji."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render without the characters of the data that control a terminal."""
        for segment in super().render(renderable, options):
            text = "\n".join(map(printable, segment.text.split("\n")))
            yield segment if segment.control else segment._replace(text=text)

    def on_broken_pipe(self) -> None:
        """Leave it to the command what a reader that has gone means; rich would exit with code 1."""
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def report_console() -> Console:
    """A console as wide as the terminal; as wide as the tables if stdout is a file or a pipe."""
    console = _Console()
    return console if console.is_terminal else _Console(WIDE)


def print_tables(result: AnalysisResult, console: Console, untrained: Comparison | None = None) -> None:
    """Print every table that has a row; an empty Table 1 is printed, too, with the reason.

    Above them stands what a reader must know before quoting a number. `untrained` is the difference from the
    untrained model (`comparisons.since_untrained`).
    """
    if lines := cautions(result):
        console.print(Text(f"{TITLE}:", style="bold"))
        for line in lines:
            console.print(Text("! ", style=CAUTION).append(line, style="default"))
        console.print()
    macro = [table] if (table := macro_table(result)).row_count else []
    for part in (*table_one(result, console.width), *macro, *believe_tables(result, console.width)):
        console.print(part)
    for table in paired_tables(result, console.width, untrained):
        console.print(table)
    if (card := sanity_table(result)).row_count:
        console.print(card)
    words = _words(result), words_faithfulness_table(result), modality_table(result)
    for part in (*words, *failure_tables(result), accuracy_table(result)):
        if isinstance(part, Text) or part.row_count:
            console.print(part)
    for table in slices_tables(result, console.width):
        console.print(table)
