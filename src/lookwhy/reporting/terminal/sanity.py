"""The sanity card for the terminal: do maps change when parts of the model become random?"""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from lookwhy.reporting import sanity
from lookwhy.reporting.terminal.cells import QUIET, new_table
from lookwhy.types import AnalysisResult


def sanity_table(result: AnalysisResult) -> Table:
    """Similarity of each method's maps with those of random models; no row without a card."""
    table = new_table(sanity.TITLE, "\n".join([*sanity.lines(result), sanity.note(result)]))
    table.padding = (0, 0, 0, 0)
    table.add_column("\nMethod", min_width=15, max_width=19)
    table.add_column("\nMeasure", min_width=13, max_width=15)
    for one in sanity.columns(result):
        table.add_column(sanity.SHOWN[one], justify="right", max_width=10)
    before = ""
    for row in sanity.card_rows(result):
        if row.name != before:
            table.add_section()
        head = Text() if row.name == before else _head(result, row.name)
        table.add_row(head, row.measure, *(_cell(*cell) for cell in row.cells))
        before = row.name
    return table


def _head(result: AnalysisResult, name: str) -> Text:
    light = sanity.light(result, name)
    return Text(f"{light.sign} " if light else "", style=light.colour if light else "").append(
        sanity.method_of(name), style="default"
    )


def _cell(value: str, interval: str) -> Text:
    text = Text(value)
    return text.append(f"\n{interval}", style=QUIET) if interval else text
