"""Paired tests of the methods for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from lookwhy.analysis.paired import Comparison
from lookwhy.keys import Row
from lookwhy.reporting import paired
from lookwhy.reporting.numbers import NOTHING
from lookwhy.reporting.terminal.cells import MARK, QUIET, WIDE, new_table, short, star
from lookwhy.types import AnalysisResult

_HEADS = {
    "Question-specific": "Question-\nspecific",
    "Faithfulness": "Faithful-\nness",
    "Pointing game": "Pointing\ngame",
}
"""Heads of two lines."""


def paired_tables(
    result: AnalysisResult, width: int = WIDE, untrained: Comparison | None = None
) -> list[Table]:
    """Differences between methods, from baselines and the untrained model, by measure; empty without tests.

    Below a `width` of `WIDE` characters, the last measures are a table of their own.
    """
    heads = paired.columns(result)
    if not heads:
        return []
    names = [*heads]
    parts = [names] if width >= WIDE or len(names) < 5 else [names[:5], names[5:]]
    note = paired.note(result, MARK)
    changes = paired.changes(untrained) if untrained else []
    if changes:
        note += f" Differences from the untrained model are families of their own, of {len(changes)} each."
    pairs = [*paired.pairs(result), *changes]
    return [
        _table(heads, pairs, some, note if some is parts[-1] else "", number)
        for number, some in enumerate(parts)
    ]


def _table(
    heads: Mapping[str, str], pairs: Sequence[paired.Pair], measures: Sequence[str], note: str, part: int
) -> Table:
    table = new_table(paired.TITLE if not part else f"{paired.TITLE}, continued", note)
    table.padding = (0, 0, 0, 0)
    table.add_column("\nFirst minus second", min_width=15, max_width=24)
    for measure in measures:
        table.add_column(_HEADS.get(heads[measure], f"\n{heads[measure]}"), justify="right", no_wrap=True)
    before = ""
    for pair in pairs:
        second = pair.second if pair.second in paired.SECONDS else ""
        if second != before:
            table.add_section()
        before = second
        cells = [_cell(pair.differences.get(measure)) for measure in measures]
        table.add_row(pair.name, *cells)
    return table


def _cell(row: Row | None) -> Text:
    if row is None or row.value is None:
        return Text(NOTHING)
    text = star(paired.is_better(row)) if paired.is_significant(row) else Text()
    text.append(short(row.value, "{:+.3f}"))
    if row.ci_low is not None and row.ci_high is not None:
        text.append(f"\n{short(row.ci_low)}–{short(row.ci_high)}", style=QUIET)
    return text
